package actors

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/carom-dev/carom/actors/stage"
	"github.com/carom-dev/carom/engine"
)

// The tests of this file handle messages that panic before Receive has done anything, which is Failed alone, and behind all that it does,
// which is both.

// eachPanic runs a test for both.
func eachPanic[M any](t *testing.T, test func(t *testing.T, handle func(b stage.Behavior[M], m M))) {
	t.Helper()
	t.Run("before", func(t *testing.T) {
		test(t, func(b stage.Behavior[M], m M) { b.Failed(m) })
	})
	t.Run("behind", func(t *testing.T) {
		test(t, func(b stage.Behavior[M], m M) {
			b.Receive(m)
			b.Failed(m)
		})
	})
}

func TestPanicOnAFlushsReportLetsTheWriterGoOn(t *testing.T) {
	f := &flushed{}
	w := &writer{flushing: f}
	w.Failed(writerMessage{flushed: f})
	if w.flushing != nil {
		t.Error("a flush is under way for ever")
	}
	w.flushing = &flushed{}
	w.Failed(writerMessage{flushed: f})
	if w.flushing == nil {
		t.Error("the end of a flush that is over ends another one")
	}
}

func TestPanicOnADrainLetsItBeAnsweredOnce(t *testing.T) {
	cfg := Config{Now: time.Now}
	for _, fenced := range []bool{false, true} {
		eachPanic(t, func(t *testing.T, handle func(stage.Behavior[writerMessage], writerMessage)) {
			w := &writer{cfg: &cfg, flushing: &flushed{}} // so that Receive begins none
			w.fenced.Store(fenced)
			done := make(chan error, 1)
			handle(w, writerMessage{drain: done})
			w.settle(engine.ErrFenced)
			if err := <-done; !errors.Is(err, engine.ErrFenced) || len(done) > 0 {
				t.Errorf("answered with %v, and %d more", err, len(done))
			}
		})
	}
}

func TestPanicsOfTheLoaderHoldNothingBack(t *testing.T) {
	newLoader := func(t *testing.T) *loader {
		s, err := stage.New(stage.Config{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Stop(context.Background()); err != nil {
				t.Error(err)
			}
		})
		return &loader{cfg: &Config{}, stage: s, leasable: &atomic.Bool{}, queries: map[*query]struct{}{}, giveBacks: map[engine.LinkID]int64{}}
	}
	eachPanic(t, func(t *testing.T, handle func(stage.Behavior[loaderMessage], loaderMessage)) {
		l := newLoader(t)
		answers := make(chan shardMessage, 2)
		shard := stage.Spawn(l.stage, "shard-0", 4, taker(answers))

		handle(l, loaderMessage{load: &load{shard: shard, keys: []engine.Key{{Code: "a"}}}})
		if m := <-answers; m.loaded == nil || m.loaded.err == nil || len(l.loads) > 0 || l.unasked != 0 {
			t.Errorf("a load is answered with %+v, and %d wait with %d codes", m, len(l.loads), l.unasked)
		}
		handle(l, loaderMessage{lease: &lease{shard: shard, link: 1}})
		if m := <-answers; m.leased == nil || m.leased.err == nil || len(l.leases) > 0 {
			t.Errorf("a lease is answered with %+v, and %d wait", m, len(l.leases))
		}
		handle(l, loaderMessage{giveBack: &giveBack{link: 1, n: 5}})
		if got := l.giveBacks[1]; got != 5 {
			t.Errorf("%d visits are to be given back, want 5", got)
		}
		q := &query{late: true}
		l.queries[q], l.late = struct{}{}, 1
		handle(l, loaderMessage{answered: q})
		if len(l.queries) > 0 || l.late != 0 {
			t.Errorf("%d queries are under way and %d late, want none", len(l.queries), l.late)
		}
		l.leasing, l.giving = 1, true
		handle(l, loaderMessage{ended: &worker{kind: workerLease}})
		handle(l, loaderMessage{ended: &worker{kind: workerGiveBack}})
		if l.leasing != 0 || l.giving {
			t.Errorf("%d workers lease, and one gives back: %v; want none", l.leasing, l.giving)
		}
		returned := make(chan struct{})
		handle(l, loaderMessage{returned: returned})
		if len(l.returned) != 1 {
			t.Errorf("%d wait for visits to be given back, want 1", len(l.returned))
		}
	})
}

// taker hands on what it gets.
type taker chan<- shardMessage

func (c taker) Receive(m shardMessage) { c <- m }

func (taker) Failed(shardMessage) {}

// newTestShard is a shard whose questions to the loader are noted.
func newTestShard(asked *[]loaderMessage) *shard {
	cfg := Config{Now: time.Now, Shards: 1, CacheBytes: 1 << 20, CacheTTL: cacheTTLDefault}
	return newShard(0, &cfg, func(m loaderMessage) bool {
		*asked = append(*asked, m)
		return true
	})
}

func TestPanicOfARefreshLetsItBeTriedAgain(t *testing.T) {
	eachPanic(t, func(t *testing.T, handle func(stage.Behavior[shardMessage], shardMessage)) {
		var asked []loaderMessage
		s := newTestShard(&asked)
		l := makeLink("a", 1)
		s.publish(l.Key(), &l, s.now()-int64(2*cacheTTLDefault/time.Second))
		lookup := func(at int64) (refresh bool) {
			_, refresh, _ = s.table.Lookup(l.Key().Hash(), l.Domain, []byte(l.Code), at)
			return refresh
		}
		if !lookup(s.now()) || lookup(s.now()) {
			t.Fatal("an old entry is not to be read again, or twice")
		}
		handle(s, shardMessage{kind: kindRefresh, key: l.Key()})
		if !lookup(s.now() + staleRetry + 1) {
			t.Error("the entry is never read again")
		}
	})
}

func TestPanicOfAChangeLetsNoOlderLinkBePublished(t *testing.T) {
	eachPanic(t, func(t *testing.T, handle func(stage.Behavior[shardMessage], shardMessage)) {
		var asked []loaderMessage
		s := newTestShard(&asked)
		old := makeLink("a", 1)
		s.want(old.Key())
		s.Settle()
		told := 0
		handle(s, shardMessage{kind: kindChanged, change: engine.Change{Link: old.ID, Key: old.Key(), Version: 2}, then: func() { told++ }})
		s.Receive(shardMessage{kind: kindLoaded, loaded: &loadResult{keys: asked[0].load.keys, links: map[engine.Key]*engine.Link{old.Key(): &old}}})
		if _, ok := s.table.Get(old.Key()); ok || told == 0 {
			t.Errorf("what a change has made old was published: %v; whoever waited was told %d times", ok, told)
		}
	})
}

func TestPanicOfDistrustTrustsNothing(t *testing.T) {
	eachPanic(t, func(t *testing.T, handle func(stage.Behavior[shardMessage], shardMessage)) {
		var asked []loaderMessage
		s := newTestShard(&asked)
		l := makeLink("a", 1)
		s.publish(l.Key(), &l, s.now())
		handle(s, shardMessage{kind: kindDistrust})
		if _, refresh, _ := s.table.Lookup(l.Key().Hash(), l.Domain, []byte(l.Code), s.now()); !refresh {
			t.Error("what is distrusted is not read again")
		}
	})
}

// TestPanicBehindALoadAsksNothingTwice has a load be thrown away, and read again, by a message that panics behind that.
func TestPanicBehindALoadAsksNothingTwice(t *testing.T) {
	var asked []loaderMessage
	s := newTestShard(&asked)
	l := makeLink("a", 1)
	s.want(l.Key())
	s.Settle()
	s.Receive(shardMessage{kind: kindDistrust})
	m := shardMessage{kind: kindLoaded, loaded: &loadResult{keys: asked[0].load.keys, links: map[engine.Key]*engine.Link{l.Key(): &l}}}
	s.Receive(m)
	s.Failed(m)
	s.want(l.Key())
	s.Settle()
	if len(asked) != 2 || !slices.Equal(asked[1].load.keys, []engine.Key{l.Key()}) {
		t.Errorf("%d questions in all, want a second one for one code", len(asked))
	}
}

func TestPanicOfALeaseGivesItBackOrOutOnce(t *testing.T) {
	eachPanic(t, func(t *testing.T, handle func(stage.Behavior[shardMessage], shardMessage)) {
		var asked []loaderMessage
		s := newTestShard(&asked)
		l := makeLink("a", 1)
		l.MaxVisits = 10
		s.publish(l.Key(), &l, s.now())
		handle(s, shardMessage{kind: kindLeased, leased: &leaseResult{link: l.ID, n: 10}})
		held := s.budgets.Drain(s.accounts[l.ID].ref)
		for _, m := range asked {
			held += m.giveBack.n
		}
		if held != 10 {
			t.Errorf("%d visits are here or given back, want 10", held)
		}
	})
}

func TestPanicOnAnEditIsToldOnce(t *testing.T) {
	f := &feed{cfg: &Config{Now: time.Now}, polling: true, pending: map[uint64]*announcement{}}
	a := newAnnouncement(nil)
	a.waiting = map[engine.NodeID]bool{"node-1": true}
	f.pending[1] = a
	f.Failed(feedMessage{announce: a})
	f.acknowledged("node-1", 1) // panics if it closes what is closed
	<-a.settled.done

	s := &sent{}
	f.sending = s
	f.Failed(feedMessage{sent: s})
	if f.sending != nil {
		t.Error("nothing is sent any more")
	}
	f.sending = &sent{}
	f.Failed(feedMessage{sent: s})
	if f.sending == nil {
		t.Error("the end of a message that was sent ends another one's")
	}
}

// panickingBus panics when it is listened to for the first time.
type panickingBus struct {
	fakeBus
	listened atomic.Int64
}

func (b *panickingBus) Listen(ctx context.Context, node engine.NodeID, deliver func(engine.BusMessage)) {
	if b.listened.Add(1) == 1 {
		panic("driver bug")
	}
	b.fakeBus.Listen(ctx, node, deliver)
}

func TestPanicOfTheBusLetsItBeListenedToAgain(t *testing.T) {
	bus := &panickingBus{fakeBus: fakeBus{listeners: map[engine.NodeID]func(engine.BusMessage){}}}
	a := start(t, newFakeStore(), newFakeJournal(1), func(cfg *Config) { cfg.Changes, cfg.Bus = &fakeLog{}, bus })
	until(t, "the bus is heard", func() bool { return a.feed.healthy.Load() })
}
