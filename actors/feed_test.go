package actors

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/engine/limit"
)

// fakeLog is a change log in memory, shared by instances.
type fakeLog struct {
	mu      sync.Mutex
	changes []engine.Change
	away    bool
	reads   atomic.Int64
}

func (l *fakeLog) add(c engine.Change) engine.Change {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.ID = engine.AuditID(len(l.changes) + 1)
	l.changes = append(l.changes, c)
	return c
}

func (l *fakeLog) ChangesSince(_ context.Context, after engine.AuditID, limit int) ([]engine.Change, error) {
	l.reads.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away {
		return nil, errAway
	}
	return slices.Clone(l.changes[after:min(int(after)+limit, len(l.changes))]), nil
}

func (l *fakeLog) LastChange(context.Context) (engine.AuditID, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away {
		return 0, errAway
	}
	return engine.AuditID(len(l.changes)), nil
}

// fakeBus is a bus in memory: messages go through tamper, which may drop, double or reorder them.
type fakeBus struct {
	mu        sync.Mutex
	listeners map[engine.NodeID]func(engine.BusMessage)
	tamper    func([]engine.BusMessage) []engine.BusMessage
	broken    bool
	reconnect atomic.Int64
}

func (b *fakeBus) Publish(_ context.Context, messages []engine.BusMessage) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken {
		return errAway
	}
	if b.tamper != nil {
		messages = b.tamper(messages)
	}
	for _, m := range messages {
		for node, deliver := range b.listeners {
			if m.To == "" || m.To == node {
				deliver(m)
			}
		}
	}
	return nil
}

func (b *fakeBus) Listen(ctx context.Context, node engine.NodeID, deliver func(engine.BusMessage)) {
	b.mu.Lock()
	b.listeners[node] = deliver
	deliver(engine.BusMessage{Kind: engine.BusSubscribed})
	b.mu.Unlock()
	<-ctx.Done()
	b.mu.Lock()
	delete(b.listeners, node)
	b.mu.Unlock()
}

func (b *fakeBus) Reconnect() { b.reconnect.Add(1) }

func (b *fakeBus) Health(context.Context) engine.Health { return engine.Health{} }

func (b *fakeBus) Close() error { return nil }

type namedJournal struct {
	*fakeJournal
	node engine.NodeID
}

func (j namedJournal) Node() engine.NodeID { return j.node }

// cluster is n instances on one store, log and bus.
type cluster struct {
	store     *fakeStore
	log       *fakeLog
	bus       *fakeBus
	instances []*Actors
	limiters  []*limit.Limiter // one an instance, of 200 requests an hour
}

func startCluster(t *testing.T, n int, withBus bool) *cluster {
	t.Helper()
	c := &cluster{store: newFakeStore(), log: &fakeLog{}, bus: &fakeBus{listeners: map[engine.NodeID]func(engine.BusMessage){}}}
	for i := range n {
		journal := namedJournal{newFakeJournal(1), engine.NodeID(fmt.Sprintf("node-%d", i))}
		limiter := limit.New(limit.Rate{Requests: 200, Period: time.Hour})
		c.limiters = append(c.limiters, limiter)
		c.instances = append(c.instances, startWith(t, c.store, journal.fakeJournal, func(cfg *Config) {
			cfg.Journal, cfg.Changes = journal, c.log
			cfg.Now = func() time.Time { return time.Now().Add(time.Duration(4*i-2) * time.Second) }
			if withBus {
				cfg.Bus = c.bus
			}
		}, map[string]*limit.Limiter{"api": limiter}))
	}
	for _, a := range c.instances {
		until(t, "the feed knows its position", func() bool { return a.feed.polls.Load() > 0 })
		if withBus {
			until(t, "all instances know each other", func() bool { return a.feed.live.Load() == int64(n) })
		}
	}
	return c
}

// edit gives the link a new target through instance i, and returns what the edit's answer would say.
func (c *cluster) edit(i int, code string, version uint64) engine.Propagation {
	l := makeLink(code, version)
	l.Target = fmt.Sprintf("https://example.com/%s/%d", code, version)
	c.store.set(l)
	change := c.log.add(engine.Change{Link: l.ID, Key: l.Key(), Version: version})
	return c.instances[i].Announce(context.Background(), l, change)
}

func target(a *Actors, code string) string {
	return string(resolve(a, code, engine.VisitCounted).Target)
}

func TestEditIsOnEveryInstanceWhenItsAnswerSaysSo(t *testing.T) {
	c := startCluster(t, 3, true)
	for version := uint64(1); version <= 200; version++ {
		for _, a := range c.instances {
			resolve(a, "a", engine.VisitCounted)
		}
		p := c.edit(int(version)%3, "a", version)
		if p.Live != 3 {
			t.Fatalf("edit %d: %d live, want 3", version, p.Live)
		}
		if p.Applied != 3 {
			continue // a slow machine: the bound of 250 ms was reached
		}
		want := fmt.Sprintf("https://example.com/a/%d", version)
		for i, a := range c.instances {
			if got := target(a, "a"); got != want {
				t.Fatalf("edit %d was confirmed by all, but instance %d leads to %q", version, i, got)
			}
		}
	}
}

func TestEditsArriveOverABadBus(t *testing.T) {
	c := startCluster(t, 2, true)
	var n atomic.Int64
	var held []engine.BusMessage
	c.bus.mu.Lock()
	c.bus.tamper = func(messages []engine.BusMessage) (out []engine.BusMessage) {
		for _, m := range messages {
			if m.Kind != engine.BusChange {
				out = append(out, m)
				continue
			}
			switch n.Add(1) % 3 {
			case 0: // dropped
			case 1: // doubled
				out = append(out, m, m)
			case 2: // late, behind the next one
				out = append(out, held...)
				held = []engine.BusMessage{m}
			}
		}
		return out
	}
	c.bus.mu.Unlock()
	for version := uint64(1); version <= 30; version++ {
		resolve(c.instances[1], "a", engine.VisitCounted)
		c.edit(0, "a", version)
	}
	until(t, "the last edit arrives", func() bool { return target(c.instances[1], "a") == "https://example.com/a/30" })
}

func TestEditsArriveWithoutABus(t *testing.T) {
	c := startCluster(t, 2, false)
	resolve(c.instances[1], "a", engine.VisitCounted) // its 404 is published
	if p := c.edit(0, "a", 1); p != (engine.Propagation{Applied: 1, Live: 1}) {
		t.Errorf("Propagation = %+v, want what is known: 1 of 1", p)
	}
	until(t, "the link arrives by the change log", func() bool { return target(c.instances[1], "a") != "" })
}

// TestAnInstanceHeardOfOnASilentBusCounts holds that an answer never names more confirmations than instances: one that was heard of
// while the bus was silent counts from the moment when the bus is well again.
func TestAnInstanceHeardOfOnASilentBusCounts(t *testing.T) {
	c := startCluster(t, 1, true)
	until(t, "the instance listens", func() bool {
		c.bus.mu.Lock()
		defer c.bus.mu.Unlock()
		return c.bus.listeners["node-0"] != nil
	})
	const stranger = engine.NodeID("stranger")
	c.bus.mu.Lock()
	c.bus.tamper = func(messages []engine.BusMessage) []engine.BusMessage {
		return slices.DeleteFunc(slices.Clone(messages), func(m engine.BusMessage) bool { return m.From != stranger })
	}
	c.bus.mu.Unlock()
	until(t, "the silence is noticed", func() bool { return c.instances[0].feed.health(t.Context()).Status == engine.HealthWarn })
	if err := c.bus.Publish(t.Context(), []engine.BusMessage{{Kind: engine.BusHeartbeat, From: stranger}}); err != nil {
		t.Fatal(err)
	}
	c.bus.mu.Lock()
	c.bus.listeners["node-0"](engine.BusMessage{Kind: engine.BusHeartbeat, From: "node-0"})
	c.bus.mu.Unlock()
	if p := c.edit(0, "a", 1); p != (engine.Propagation{Applied: 1, Live: 2}) {
		t.Errorf("Propagation = %+v, want 1 of 2: the other has said that it lives, and confirms nothing", p)
	}
}

// TestAnInstanceThatStartsAgainIsNoLossOfMessages holds that its sequence goes on above where it was: one gap, however many edits it makes.
func TestAnInstanceThatStartsAgainIsNoLossOfMessages(t *testing.T) {
	c := startCluster(t, 1, true)
	here, version := c.instances[0], uint64(0)
	live := func(edits int) {
		again, err := New(Config{
			Links: c.store, Clicks: c.store, Journal: namedJournal{newFakeJournal(1), "again"}, Changes: c.log, Bus: c.bus,
			SetAside: func(engine.Click, error) error { return nil }, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		again.Start(t.Context())
		until(t, "the instances know each other", func() bool { return again.feed.live.Load() == 2 && here.feed.live.Load() == 2 })
		c.instances = append(c.instances[:1], again)
		for range edits {
			version++
			heard := here.feed.applied.Load()
			c.edit(1, "a", version)
			until(t, "the edit is heard of", func() bool { return here.feed.applied.Load() > heard })
		}
		if err := again.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	live(20)
	before := here.feed.gaps.Load()
	live(10)
	if got := here.feed.gaps.Load() - before; got > 1 {
		t.Errorf("%d gaps are counted, want one", got)
	}
}

func TestSilentBusIsNoticedAndMended(t *testing.T) {
	c := startCluster(t, 2, true)
	c.bus.mu.Lock()
	c.bus.tamper = func([]engine.BusMessage) []engine.BusMessage { return nil }
	c.bus.mu.Unlock()
	a := c.instances[0]
	until(t, "the silence is noticed", func() bool { return a.feed.health(t.Context()).Status == engine.HealthWarn })
	until(t, "a new connection is asked for", func() bool { return c.bus.reconnect.Load() > 0 })
	resolve(c.instances[1], "a", engine.VisitCounted)
	if p := c.edit(0, "a", 1); p.Applied != 1 || p.Live != 2 {
		t.Errorf("Propagation on a silent bus = %+v, want 1 of the 2 last known", p)
	}
	until(t, "the edit arrives by the change log", func() bool { return target(c.instances[1], "a") != "" })
	c.bus.mu.Lock()
	c.bus.tamper = nil
	c.bus.mu.Unlock()
	until(t, "the bus is well again", func() bool { return a.feed.health(t.Context()).Status == engine.HealthPass })
}

func TestBrokenBusIsNotWaitedFor(t *testing.T) {
	c := startCluster(t, 2, true)
	c.bus.mu.Lock()
	c.bus.broken = true
	c.bus.mu.Unlock()
	if p := c.edit(0, "a", 1); p.Applied != 1 || p.Live != 2 {
		t.Errorf("Propagation = %+v, want 1 of 2", p)
	}
	if c.instances[0].feed.lost.Load() == 0 {
		t.Error("lost messages are not counted")
	}
}

func TestManyChangesAreReadFromTheLog(t *testing.T) {
	c := startCluster(t, 2, true)
	var changes []engine.Change
	const links = 3*pollPage + 7
	for i := range links {
		l := makeLink(fmt.Sprintf("m%d", i), 1)
		c.store.set(l)
		changes = append(changes, c.log.add(engine.Change{Link: l.ID, Key: l.Key(), Version: 1}))
	}
	for _, i := range []int{0, links / 2, links - 1} {
		l := makeLink(fmt.Sprintf("m%d", i), 1)
		c.instances[1].shardOf(l.Key()).mailbox.Post(shardMessage{kind: kindSweep})
	}
	c.instances[0].AnnounceMany(t.Context(), changes)
	until(t, "the other instance has read the log to its end", func() bool {
		return c.instances[1].feed.mailbox.Stats().Depth == 0 && target(c.instances[1], fmt.Sprintf("m%d", links-1)) != ""
	})
}

func TestUnreadableLogIsSaid(t *testing.T) {
	c := startCluster(t, 1, false)
	c.log.mu.Lock()
	c.log.away = true
	c.log.mu.Unlock()
	a := c.instances[0]
	until(t, "health says so", func() bool { return a.feed.health(t.Context()).Status == engine.HealthWarn })
	c.log.mu.Lock()
	c.log.away = false
	c.log.mu.Unlock()
	until(t, "health is well again", func() bool { return a.feed.health(t.Context()).Status == engine.HealthPass })
}

// TestRateLimitHoldsAcrossInstances spends ten clients' limits on two instances, whose clocks are 4 s apart, as fast as they allow.
func TestRateLimitHoldsAcrossInstances(t *testing.T) {
	c := startCluster(t, 2, true)
	ticks := func(n int64) {
		for _, a := range c.instances {
			from := a.rates.mailbox.Stats().Messages
			until(t, "the instances have told each other", func() bool { return a.rates.mailbox.Stats().Messages >= from+n })
		}
	}
	until(t, "both share the limits", func() bool {
		return c.instances[0].RateShare() == 0.5 && c.instances[1].RateShare() == 0.5
	})
	ticks(2)            // and the limiters know
	var allowed [10]int // by client
	// Many rounds of both spending all they may, then telling each other.
	for {
		before := allowed
		for i, l := range c.limiters {
			now := time.Now().Add(time.Duration(4*i-2) * time.Second).UnixNano()
			for client := range allowed {
				for l.Take(uint64(client+1), now, c.instances[i].RateShare()).Allowed {
					allowed[client]++
				}
			}
		}
		if allowed == before {
			break
		}
		ticks(3)
	}
	t.Logf("of 200 requests a client were allowed: %v", allowed)
	for client, n := range allowed {
		if n < 180 || n > 220 {
			t.Errorf("client %d: %d requests were allowed, want 200 within 10 %%", client, n)
		}
	}
}
