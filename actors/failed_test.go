package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
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

// TestPanicOfAChangeKeepsWhatIsAsNew has a change come again, as it does when the log of changes is read anew, while the store may be away.
func TestPanicOfAChangeKeepsWhatIsAsNew(t *testing.T) {
	eachPanic(t, func(t *testing.T, handle func(stage.Behavior[shardMessage], shardMessage)) {
		var asked []loaderMessage
		s := newTestShard(&asked)
		l := makeLink("a", 1)
		l.Version = 2
		s.publish(l.Key(), &l, s.now())
		for version := range uint64(4) {
			handle(s, shardMessage{kind: kindChanged, change: engine.Change{Link: l.ID, Key: l.Key(), Version: version}, then: func() {}})
			if _, ok := s.table.Get(l.Key()); ok != (version <= 2) {
				t.Errorf("a link of version 2 is published behind a change to version %d that panics: %v", version, ok)
			}
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

// TestVisitsOfAStateThatIsNoMoreAreForfeited holds that visits which were leased before the store went back are not given back to it, whether
// they were here or on their way; where another instance says so, it may be another database's.
func TestVisitsOfAStateThatIsNoMoreAreForfeited(t *testing.T) {
	for why, want := range map[doubt]int64{doubtMissed: 0, doubtHearsay: 50, doubtRegressed: 0} {
		var asked []loaderMessage
		s := newTestShard(&asked)
		here, coming := makeLink("a", 1), makeLink("b", 1)
		for _, l := range []*engine.Link{&here, &coming} {
			l.MaxVisits = 100
			s.publish(l.Key(), l, s.now())
			s.askLease(l.ID, s.accounts[l.ID])
		}
		leased := func(m loaderMessage, n int64) shardMessage {
			return shardMessage{kind: kindLeased, leased: &leaseResult{link: m.lease.link, ref: m.lease.ref, era: m.lease.era, n: n}}
		}
		s.Receive(leased(asked[0], 20))
		s.Receive(shardMessage{kind: kindDistrust, doubt: why})
		s.Receive(leased(asked[1], 30))
		var back int64
		for _, m := range asked {
			if m.giveBack != nil {
				back += m.giveBack.n
			}
		}
		if back != want {
			t.Errorf("doubt %d: %d of 50 visits are given back, want %d", why, back, want)
		}
	}
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

// served counts the visits of a link that are served without a message.
func served(s *shard, key engine.Key) (n int) {
	e, _ := s.table.Get(key)
	for {
		res, ok := decide(s.budgets, e, engine.Resolution{}, time.Now().UnixMicro(), engine.VisitCounted)
		if !ok || res.Outcome != engine.OutcomeRedirect {
			return n
		}
		n++
	}
}

// withLease is a shard that has leased 64 visits of 1,000, and a change of that bound to one.
func withLease(asked *[]loaderMessage) (s *shard, edited engine.Link, changed shardMessage) {
	s = newTestShard(asked)
	l := makeLink("a", 1)
	l.MaxVisits = 1000
	s.publish(l.Key(), &l, s.now())
	s.leased(&leaseResult{link: l.ID, n: 64})
	edited = l
	edited.MaxVisits, edited.Version = 1, 2
	return s, edited, shardMessage{kind: kindChanged, change: engine.Change{Link: l.ID, Key: l.Key(), Version: 2}, link: &edited, then: func() {}}
}

func TestPanicOnAChangeLeavesNoVisitsOfAnOldBound(t *testing.T) {
	eachPanic(t, func(t *testing.T, handle func(stage.Behavior[shardMessage], shardMessage)) {
		var asked []loaderMessage
		s, edited, changed := withLease(&asked)
		handle(s, changed)
		key := edited.Key()
		s.publish(key, &edited, s.now()) // read again
		if n := served(s, key); n > 0 {
			t.Errorf("%d visits are served without a lease under the new bound", n)
		}
	})
}

// TestLeaseOverAChangeIsGivenBack has a lease that was asked for under an old bound come when visitors wait under the new one.
func TestLeaseOverAChangeIsGivenBack(t *testing.T) {
	var asked []loaderMessage
	s := newTestShard(&asked)
	l := makeLink("a", 1)
	l.MaxVisits = 1000
	key := l.Key()
	s.publish(key, &l, s.now())
	_, tick := new(replyPool).acquire()
	s.lookup(key, waiter{ticket: tick, at: time.Now().UnixMicro(), visit: engine.VisitCounted})
	edited := l
	edited.MaxVisits, edited.Version = 1, 2
	s.Receive(shardMessage{kind: kindChanged, change: engine.Change{Link: l.ID, Key: key, Version: 2}, link: &edited, then: func() {}})
	var leases []*lease
	for _, m := range asked {
		if m.lease != nil {
			leases = append(leases, m.lease)
		}
	}
	if len(leases) != 2 {
		t.Fatalf("%d leases were asked for, want one under each bound", len(leases))
	}
	asked = nil
	s.Receive(shardMessage{kind: kindLeased, leased: &leaseResult{link: l.ID, ref: leases[0].ref, n: 64}})
	if n := served(s, key); n > 0 {
		t.Errorf("%d visits of the old bound are served", n)
	}
	if len(asked) != 1 || asked[0].giveBack == nil || asked[0].giveBack.n != 64 {
		t.Errorf("the loader was told %+v, want the 64 visits back", asked)
	}
}

func TestPanicOnAReleaseReleases(t *testing.T) {
	eachPanic(t, func(t *testing.T, handle func(stage.Behavior[shardMessage], shardMessage)) {
		var asked []loaderMessage
		s, _, _ := withLease(&asked)
		handle(s, shardMessage{kind: kindRelease, then: func() {}})
		back := int64(0)
		for _, m := range asked {
			if m.giveBack != nil {
				back += m.giveBack.n
			}
		}
		if back != 64 {
			t.Errorf("%d visits are given back, want the 64 that were leased", back)
		}
	})
}

// TestPanicInTheMiddleOfAnAnswer has the clock panic while what was loaded is published.
func TestPanicInTheMiddleOfAnAnswer(t *testing.T) {
	var asked []loaderMessage
	s := newTestShard(&asked)
	l := makeLink("a", 1)
	key := l.Key()
	s.publish(key, &l, s.now()-int64(2*cacheTTLDefault/time.Second))
	stale := func(at int64) (refresh bool) {
		_, refresh, _ = s.table.Lookup(key.Hash(), l.Domain, []byte(l.Code), at)
		return refresh
	}
	if !stale(s.now()) {
		t.Fatal("the entry is not stale, so the test shows nothing")
	}
	s.Receive(shardMessage{kind: kindRefresh, key: key})
	s.Settle()
	r, tick := new(replyPool).acquire()
	s.waiting[key].waiters = append(s.waiting[key].waiters, waiter{ticket: tick})
	cfg := *s.cfg
	broken := true
	cfg.Now = func() time.Time {
		if broken {
			broken = false
			panic("clock")
		}
		return time.Now()
	}
	s.cfg = &cfg
	answer := shardMessage{kind: kindLoaded, loaded: &loadResult{keys: asked[0].load.keys, links: map[engine.Key]*engine.Link{key: &l}}}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("nothing panicked, so the test shows nothing")
			}
			s.Failed(answer)
		}()
		s.Receive(answer)
	}()
	if _, ok := r.wait(time.Minute, never); !ok {
		t.Error("the visitor was not answered")
	}
	if !stale(s.now() + 10*int64(cacheTTLDefault/time.Second)) {
		t.Error("the entry is never read again")
	}
}

// TestPanicOfAGiveBackLeavesTheOthers breaks the second of five that go together.
func TestPanicOfAGiveBackLeavesTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var links []engine.Link
		for i := range 6 {
			links = append(links, limited(fmt.Sprint("l", i), 100))
		}
		store := newFakeStore(links...)
		first := make(chan struct{})
		n := 0
		store.onReturn = func() {
			switch n++; n {
			case 1:
				<-first // so that those behind it go together
			case 3:
				panic("driver bug")
			}
		}
		a := startLeasable(t, store, nil)
		for _, l := range links {
			got, err := store.LeaseVisits(t.Context(), a.cfg.Journal.Node(), l.ID, 1, 10)
			if err != nil {
				t.Fatal(err)
			}
			a.loader.mailbox.Post(loaderMessage{giveBack: &giveBack{link: l.ID, n: got.Visits}})
			synctest.Wait()
		}
		close(first)
		if err := a.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if store.returned != 50 {
			t.Errorf("%d of 60 visits were given back, want all but the 10 at which it panicked", store.returned)
		}
	})
}

// seekPanics panics at the first Seek.
type seekPanics struct {
	*fakeJournal
	sought bool
}

func (j *seekPanics) Seek(lane int, to engine.Position) error {
	if !j.sought {
		j.sought = true
		panic("seek")
	}
	return j.fakeJournal.Seek(lane, to)
}

// TestPanicBetweenTwoLanesFencesNobody has a process that begins behind what the store has get to one lane of two.
func TestPanicBetweenTwoLanesFencesNobody(t *testing.T) {
	store := newFakeStore()
	journal := &seekPanics{fakeJournal: newFakeJournal(2)}
	store.checkpoints[0], store.checkpoints[1] = 3, 5
	for lane := range 2 {
		for range 5 {
			journal.append(lane, engine.Click{Link: 1})
		}
	}
	cfg := Config{Clicks: store, Journal: journal, Now: time.Now}.withDefaults()
	w := &writer{cfg: &cfg, tried: map[engine.LaneMove]struct{}{}}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("nothing panicked, so the test shows nothing")
			}
		}()
		_ = w.locate(t.Context())
	}()
	if err := w.locate(t.Context()); err != nil {
		t.Errorf("the next try says %v", err)
	}
}
