package actors

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/carom-dev/carom/actors/stage"
	"github.com/carom-dev/carom/engine"
)

// loader takes the shards' questions to the store, a bounded number at a time, on workers of its own. It keeps no answer.
// Its queues are bounded by those who ask: loadsMax batches a shard, and one lease a link that a visitor waits for.
type loader struct {
	cfg     *Config
	stage   *stage.Stage
	mailbox *stage.Mailbox[loaderMessage]
	// leasable is set once the node's leases from before its start have been reclaimed; until then none may be taken.
	leasable *atomic.Bool

	loads     []*load
	leases    []*lease
	giveBacks map[engine.LinkID]int64
	loading   int  // workers
	leasing   int  // workers
	giving    bool // a worker gives visits back

	answered atomic.Int64 // Unix nanoseconds of the latest answer of the store; 0 after a failure
	queries  atomic.Int64
	keys     atomic.Int64
	failures atomic.Int64 // of queries, in a row
	depth    atomic.Int64
}

// load is a batch of codes that a shard asks for.
type load struct {
	shard *stage.Mailbox[shardMessage]
	keys  []engine.Key
}

// loadResult is the answer. With a nil err, a key without a link has none.
type loadResult struct {
	keys  []engine.Key
	links map[engine.Key]*engine.Link
	err   error
}

type lease struct {
	shard *stage.Mailbox[shardMessage]
	link  engine.LinkID
	want  int64
}

// leaseResult is the answer: n visits, 0 when there are none left.
type leaseResult struct {
	link engine.LinkID
	n    int64
	err  error
}

type giveBack struct {
	link engine.LinkID
	n    int64
}

// loaderMessage is what the loader's mailbox takes: exactly one of its parts is set.
type loaderMessage struct {
	load     *load
	lease    *lease
	giveBack *giveBack
	ended    workerKind // a worker is done
	leasable bool       // leases may be taken from now on
}

type workerKind uint8

const (
	workerLoad workerKind = iota + 1
	workerLease
	workerGiveBack
)

const (
	// loadersMax queries run at once: two batches more than the cores that a small database has.
	loadersMax = 4
	// leasersMax leases are asked for at once.
	leasersMax = 4
)

// Receive implements stage.Behavior.
func (l *loader) Receive(m loaderMessage) {
	switch {
	case m.load != nil:
		if m.load.shard == nil || len(m.load.keys) == 0 {
			// Here, before it is joined with others whose answers it would take down with it.
			panic("BUG: a load without a shard or without codes")
		}
		l.loads = append(l.loads, m.load)
	case m.lease != nil:
		l.leases = append(l.leases, m.lease)
	case m.giveBack != nil:
		l.giveBacks[m.giveBack.link] += m.giveBack.n
	case m.ended == workerLoad:
		l.loading--
	case m.ended == workerLease:
		l.leasing--
	case m.ended == workerGiveBack:
		l.giving = false
	}
	l.start()
	l.depth.Store(int64(len(l.loads) + len(l.leases)))
}

// Failed implements stage.Behavior: whoever asked is told.
func (l *loader) Failed(m loaderMessage) {
	err := errors.New("the loader could not take the question")
	switch {
	case m.load != nil:
		m.load.shard.Post(shardMessage{kind: kindLoaded, loaded: &loadResult{keys: m.load.keys, err: err}})
	case m.lease != nil:
		m.lease.shard.Post(shardMessage{kind: kindLeased, leased: &leaseResult{link: m.lease.link, err: err}})
	}
}

func (l *loader) start() {
	for len(l.loads) > 0 && l.loading < loadersMax {
		batch := l.take()
		l.loading++
		l.work(workerLoad, func() { l.load(batch) }, func(err error) { answerLoads(batch, nil, err) })
	}
	// Until the old leases are reclaimed the visitors wait, for as long as they do for any look-up.
	for len(l.leases) > 0 && l.leasing < leasersMax && l.leasable.Load() {
		ask := l.leases[0]
		l.leases = l.leases[1:]
		l.leasing++
		l.work(workerLease, func() { l.lease(ask) }, func(err error) { answerLease(ask, 0, err) })
	}
	if !l.giving && len(l.giveBacks) > 0 {
		returns := l.giveBacks
		l.giveBacks = map[engine.LinkID]int64{}
		l.giving = true
		l.work(workerGiveBack, func() { l.giveBack(returns) }, nil)
	}
}

func (l *loader) work(kind workerKind, work func(), failed func(error)) {
	l.stage.Go("loader", func() {
		defer l.mailbox.Post(loaderMessage{ended: kind})
		work()
	}, failed)
}

// take joins waiting batches, of several shards, into one query of up to batchMax codes.
func (l *loader) take() []*load {
	n, keys := 1, len(l.loads[0].keys)
	for n < len(l.loads) && keys+len(l.loads[n].keys) <= batchMax {
		keys += len(l.loads[n].keys)
		n++
	}
	batch := append([]*load(nil), l.loads[:n]...)
	l.loads = append(l.loads[:0], l.loads[n:]...)
	return batch
}

func (l *loader) load(batch []*load) {
	var keys []engine.Key
	for _, b := range batch {
		keys = append(keys, b.keys...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), l.cfg.LoadTimeout)
	defer cancel()
	l.queries.Add(1)
	l.keys.Add(int64(len(keys)))
	links, err := l.cfg.Links.LoadLinks(ctx, keys)
	if err != nil {
		l.answered.Store(0)
		if n := l.failures.Add(1); n == 1 {
			l.cfg.Logger.Warn("store does not answer look-ups", "keys", len(keys), "err", err)
		}
	} else {
		l.answered.Store(l.cfg.Now().UnixNano())
		if n := l.failures.Swap(0); n > 0 {
			l.cfg.Logger.Info("store answers look-ups again", "failures", n)
		}
	}
	answerLoads(batch, links, err)
}

// well reports whether the store has answered a look-up within the last LookupTimeout or two. Safe for concurrent use.
func (l *loader) well() bool {
	return l.cfg.Now().UnixNano()-l.answered.Load() < 2*int64(l.cfg.LookupTimeout)
}

func answerLoads(batch []*load, links []engine.Link, err error) {
	byKey := make(map[engine.Key]*engine.Link, len(links))
	for i := range links {
		byKey[links[i].Key()] = &links[i]
	}
	for _, b := range batch {
		b.shard.Post(shardMessage{kind: kindLoaded, loaded: &loadResult{keys: b.keys, links: byKey, err: err}})
	}
}

func (l *loader) lease(ask *lease) {
	ctx, cancel := context.WithTimeout(context.Background(), l.cfg.LoadTimeout)
	defer cancel()
	n, err := l.cfg.Clicks.LeaseVisits(ctx, l.cfg.Journal.Node(), ask.link, ask.want)
	if err != nil {
		l.cfg.Logger.Warn("visits could not be leased", "link", ask.link, "err", err)
	}
	answerLease(ask, n, err)
}

func answerLease(ask *lease, n int64, err error) {
	ask.shard.Post(shardMessage{kind: kindLeased, leased: &leaseResult{link: ask.link, n: n, err: err}})
}

// giveBack returns visits to the store.
func (l *loader) giveBack(returns map[engine.LinkID]int64) {
	ctx, cancel := context.WithTimeout(context.Background(), l.cfg.LoadTimeout)
	defer cancel()
	for link, n := range returns {
		// After an error that hides whether it was done, returning again could give back twice: the lease then keeps the visits
		// until the node starts again.
		if err := l.cfg.Clicks.ReturnVisits(ctx, l.cfg.Journal.Node(), link, n); err != nil {
			l.cfg.Logger.Warn("visits stay leased until the next start", "link", link, "visits", n, "err", err)
		}
	}
}
