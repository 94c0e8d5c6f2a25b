// Package actors decides who owns mutable state, and in which order messages touch it: the shards with their published tables,
// the loader between them and the store, the writer between the journal and the store, and their supervisor.
package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/carom-dev/carom/actors/stage"
	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/engine/limit"
	"github.com/carom-dev/carom/engine/table"
)

// Config is what the actors need. Links, Clicks, Journal and SetAside must be set; the rest has working zero values.
type Config struct {
	Links   engine.LinkLoader
	Clicks  engine.ClickStore
	Journal engine.ClickSource
	// SetAside keeps a click that the store refuses, durably, with the reason.
	SetAside func(c engine.Click, reason error) error
	// Names lets a writer go on under another name when a second process uses its own; nil: it stops storing, and says so.
	Names Names
	// Changes is the log of edits that other instances make to the same store; nil when this is the only instance.
	Changes ChangeLog
	// Bus makes the others' edits arrive at once; nil without one: they arrive by the change log, within three seconds.
	Bus engine.Bus

	Shards        int           // a power of two from 1 to 1024; 0 means 16
	CacheBytes    int64         // of all published tables; 0 means 1 GiB
	CacheTTL      time.Duration // how long an entry is trusted; 0 means 300 s; whole seconds from 10 s to 24 h
	LookupsMax    int           // visitors that wait for one shard at once; more are shed; 0 means 1024
	LookupTimeout time.Duration // how long a visitor waits for the store; 0 means 225 ms
	LoadTimeout   time.Duration // how long a query may take; 0 means 2 s
	BatchMax      int           // clicks in a batch, up to sixteen times as many while much comes; 0 means 5000
	BatchInterval time.Duration // how long a click waits for its batch; 0 means 200 ms
	Logger        *slog.Logger  // nil: slog.Default
	Tracer        engine.Tracer // of queries and batches; nil: nothing is traced
	Now           func() time.Time
}

// ChangeLog is the part of engine.LinkStore that the feed reads.
type ChangeLog interface {
	ChangesSince(ctx context.Context, after engine.AuditID, limit int) ([]engine.Change, error)
	LastChange(ctx context.Context) (engine.AuditID, error)
}

// The bounds and defaults of Config.
const (
	shardsDefault        = 16
	shardsMax            = 1024
	cacheBytesDefault    = 1 << 30
	cacheTTLDefault      = 300 * time.Second
	lookupsMaxDefault    = 1024
	lookupTimeoutDefault = 225 * time.Millisecond
	loadTimeoutDefault   = 2 * time.Second
	batchMaxDefault      = 5000
	batchIntervalDefault = 200 * time.Millisecond

	sweepInterval = time.Second
	saltInterval  = time.Minute
	// announceTimeout bounds the wait for a shard to take an edit over.
	announceTimeout = 250 * time.Millisecond
	// stopTimeout bounds the end of the actors once the journal is drained, or was given up: idle ones end in microseconds.
	stopTimeout = 5 * time.Second
)

// withDefaults fills the zero values.
func (c Config) withDefaults() Config {
	setDefault(&c.Shards, shardsDefault)
	setDefault(&c.CacheBytes, cacheBytesDefault)
	setDefault(&c.CacheTTL, cacheTTLDefault)
	setDefault(&c.LookupsMax, lookupsMaxDefault)
	setDefault(&c.LookupTimeout, lookupTimeoutDefault)
	setDefault(&c.LoadTimeout, loadTimeoutDefault)
	setDefault(&c.BatchMax, batchMaxDefault)
	setDefault(&c.BatchInterval, batchIntervalDefault)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Tracer == nil {
		c.Tracer = engine.NoTracer{}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate names what is missing or out of bounds.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Links != nil && c.Clicks != nil && c.Journal != nil && c.SetAside != nil, "actors: Links, Clicks, Journal and SetAside must be set")
	check(c.Bus == nil || c.Changes != nil, "actors: Bus is set without Changes; the bus is no truth of its own")
	check(c.Shards >= 1 && c.Shards <= shardsMax && c.Shards&(c.Shards-1) == 0, "actors: Shards is %d; a power of two from 1 to %d is accepted", c.Shards, shardsMax)
	if c.Shards >= 1 {
		check(c.CacheBytes/int64(c.Shards) >= table.BytesMin, "actors: CacheBytes is %d; at least %d are needed for %d shards", c.CacheBytes, table.BytesMin*c.Shards, c.Shards)
	}
	check(c.CacheTTL >= 10*time.Second && c.CacheTTL <= 24*time.Hour, "actors: CacheTTL is %v; 10s to 24h are accepted", c.CacheTTL)
	check(c.LookupsMax >= 1, "actors: LookupsMax is %d; at least 1 is needed", c.LookupsMax)
	check(c.LookupTimeout >= time.Millisecond && c.LookupTimeout <= time.Minute, "actors: LookupTimeout is %v; 1ms to 1m are accepted", c.LookupTimeout)
	check(c.LoadTimeout >= c.LookupTimeout, "actors: LoadTimeout is %v; at least LookupTimeout, %v, is needed", c.LoadTimeout, c.LookupTimeout)
	check(c.BatchMax >= 1 && c.BatchMax <= 100_000, "actors: BatchMax is %d; 1 to 100000 are accepted", c.BatchMax)
	check(c.BatchInterval >= time.Millisecond && c.BatchInterval <= time.Minute, "actors: BatchInterval is %v; 1ms to 1m are accepted", c.BatchInterval)
	return errors.Join(errs...)
}

// Actors is the running whole. Made by New, Start once, Stop once. Its other methods are safe for concurrent use between the two;
// Lookup also before and after.
type Actors struct {
	cfg        Config
	stage      *stage.Stage
	shards     []*shard
	loader     *loader
	writer     *writer
	feed       *feed  // nil when this is the only instance
	rates      *rates // nil with feed
	visitors   *visitors
	supervisor *supervisor
	replies    replyPool
	leasable   atomic.Bool
	salting    atomic.Bool
	started    atomic.Bool

	// stopTicks ends the tickers; written once by Start.
	stopTicks context.CancelFunc
}

// New makes the actors; nothing runs yet but their mailboxes.
func New(cfg Config) (*Actors, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	a := &Actors{cfg: cfg.withDefaults(), stopTicks: func() {}}
	a.supervisor = &supervisor{cfg: &a.cfg}
	var err error
	if a.stage, err = stage.New(stage.Config{Logger: a.cfg.Logger, OnFault: a.supervisor.fault}); err != nil {
		return nil, err
	}
	declareFailpoints(a.stage, &a.cfg)
	a.visitors = newVisitors(&a.cfg)
	a.writer = &writer{cfg: &a.cfg, stage: a.stage, leasable: &a.leasable, batchMax: a.cfg.BatchMax, tried: map[engine.LaneMove]struct{}{}, settled: once{done: make(chan struct{})}}
	a.writer.mailbox = stage.Spawn(a.stage, "writer", 16, a.writer)
	a.loader = &loader{cfg: &a.cfg, stage: a.stage, leasable: &a.leasable, queries: map[*query]struct{}{}, giveBacks: map[engine.LinkID]int64{}}
	a.loader.mailbox = stage.Spawn(a.stage, "loader", 2*a.cfg.Shards, a.loader)
	a.writer.tell = func() { a.loader.mailbox.Post(loaderMessage{leasable: true}) }
	for i := range a.cfg.Shards {
		s := newShard(i, &a.cfg, a.loader.mailbox.Post)
		// Twice the visitors: refreshes and announcements go through the same door.
		s.mailbox = stage.Spawn(a.stage, fmt.Sprintf("shard-%d", i), 2*a.cfg.LookupsMax, s)
		a.shards = append(a.shards, s)
	}
	if a.cfg.Changes != nil {
		a.join()
	}
	return a, nil
}

// join makes the actors that keep this instance together with others.
func (a *Actors) join() {
	a.feed = &feed{
		cfg: &a.cfg, node: a.cfg.Journal.Node(), stage: a.stage, peers: map[engine.NodeID]*peer{}, pending: map[uint64]*announcement{},
		apply: func(changes []engine.Change, then func()) { a.apply(changes, nil, then) },
		distrust: func(why doubt) {
			for _, s := range a.shards {
				s.mailbox.Post(shardMessage{kind: kindDistrust, doubt: why})
			}
		},
		recalled: func(changes []engine.Change) {
			for _, c := range changes {
				a.shardOf(c.Key).mailbox.TrySend(shardMessage{kind: kindRecalled, id: c.Link}) // when it is full, the other asks again
			}
		},
		sequence: uint64(a.cfg.Now().UnixMicro()),
	}
	for _, s := range a.shards {
		s.recall = a.feed.recall
	}
	a.feed.live.Store(1)
	a.feed.mailbox = stage.Spawn(a.stage, "feed", feedMailboxMax, a.feed)
	a.rates = &rates{cfg: &a.cfg, feed: a.feed}
	a.rates.mailbox = stage.Spawn(a.stage, "rates", 4, a.rates)
}

// ExchangeRates names the limiters whose spending the instances tell each other. Call it before Start.
func (a *Actors) ExchangeRates(limiters map[string]*limit.Limiter) {
	if a.rates != nil {
		a.rates.limiters = limiters
	}
}

// RateShare is this instance's part of each rate limit: see limit.Limiter.Take. Safe for concurrent use.
func (a *Actors) RateShare() float64 {
	if a.rates == nil {
		return 1
	}
	return a.rates.share()
}

func (a *Actors) shardOf(key engine.Key) *shard {
	return a.shards[engine.ShardOf(key.Hash(), len(a.shards))]
}

// Start begins to drain the journal and to keep time. It never blocks.
func (a *Actors) Start(ctx context.Context) {
	ctx, a.stopTicks = context.WithCancel(context.WithoutCancel(ctx))
	a.started.Store(true)
	// At once, as links with a budget wait for the first flush.
	a.writer.mailbox.TrySend(writerMessage{tick: true})
	a.stage.Every(ctx, a.cfg.BatchInterval, func() { a.writer.mailbox.TrySend(writerMessage{tick: true}) })
	a.stage.Every(ctx, sweepInterval, func() {
		for _, s := range a.shards {
			s.mailbox.TrySend(shardMessage{kind: kindSweep})
		}
	})
	if a.feed != nil {
		a.follow(ctx)
	}
	renew := func() {
		// One at a time; a store that hangs must not pile up workers.
		if a.salting.CompareAndSwap(false, true) {
			a.stage.Go("salts", func() {
				defer a.salting.Store(false)
				a.stage.Failpoint("worker/salts/before")
				a.visitors.renew(ctx)
				a.stage.Failpoint("worker/salts/behind")
			}, nil)
		}
	}
	renew()
	a.stage.Every(ctx, saltInterval, renew)
}

// follow begins to listen to the other instances.
func (a *Actors) follow(ctx context.Context) {
	a.feed.mailbox.Post(feedMessage{tick: true})
	a.stage.Every(ctx, heartbeatInterval, func() { a.feed.mailbox.TrySend(feedMessage{tick: true}) })
	if a.cfg.Bus == nil {
		return
	}
	a.stage.Every(ctx, rateInterval, func() { a.rates.mailbox.TrySend(struct{}{}) })
	a.listen(ctx)
}

// listen takes what the bus brings until ctx ends; after a panic it begins again.
func (a *Actors) listen(ctx context.Context) {
	a.stage.Go("bus", func() {
		a.cfg.Bus.Listen(ctx, a.feed.node, func(m engine.BusMessage) {
			a.stage.Failpoint("worker/listen/before")
			if m.Kind != engine.BusSpend {
				a.feed.hear(m)
			} else if m.From != a.feed.node {
				a.rates.absorb(m.Spends)
			}
			a.stage.Failpoint("worker/listen/behind")
		})
	}, func(error) {
		// Not at once: what panics may do so each time.
		pause, cancel := context.WithTimeout(ctx, heartbeatInterval)
		defer cancel()
		if <-pause.Done(); ctx.Err() == nil {
			a.listen(ctx)
		}
	})
}

// Stop gives leased visits back, stores what the journal holds, and ends all actors. Call it when no visitor is served any
// more. ctx bounds it: what could not be stored by then stays in the journal and is stored after the next start.
func (a *Actors) Stop(ctx context.Context) error {
	for _, s := range a.shards {
		done := make(chan struct{})
		if s.mailbox.Post(shardMessage{kind: kindRelease, then: sync.OnceFunc(func() { close(done) })}) {
			await(ctx, done)
		}
	}
	var errs []error
	drained := make(chan error, 1)
	// Before Start nothing was recorded, and nobody would try again to store what an earlier process left.
	if a.started.Load() && a.writer.mailbox.Post(writerMessage{drain: drained}) {
		if err := answer(ctx, drained); err != nil {
			errs = append(errs, fmt.Errorf("store the clicks of the journal, which keeps them for the next start: %w", err))
		}
	}
	returned := make(chan struct{})
	// A store that takes no clicks takes no visits back, either; that is not waited for once more.
	if len(errs) > 0 || a.loader.mailbox.Post(loaderMessage{returned: returned}) && !await(ctx, returned) {
		a.cfg.Logger.Warn("leased visits that were not used may stay leased until the next start, or for a day")
	}
	a.stopTicks()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return errors.Join(append(errs, a.stage.Stop(ctx))...)
}

// answer waits for an answer or the end of ctx.
func answer(ctx context.Context, answered <-chan error) error {
	select {
	case err := <-answered:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// await waits for done or the end of ctx, and reports whether it was done.
func await(ctx context.Context, done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

// Visitor implements engine.VisitorHasher.
func (a *Actors) Visitor(at int64, addr engine.TruncatedAddr, userAgent []byte) uint64 {
	return a.visitors.Visitor(at, addr, userAgent)
}
