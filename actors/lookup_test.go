package actors

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

func TestOneQueryForAThousandVisitorsOfAColdCode(t *testing.T) {
	store := newFakeStore(makeLink("cold", 1))
	all := make(chan struct{})
	store.onLoad = func() error { <-all; return nil }
	a := start(t, store, newFakeJournal(4), nil)
	s := a.shards[engine.ShardOf(engine.HashKey(engine.DefaultDomain, "cold"), 4)]
	go func() {
		until(t, "all visitors wait", func() bool { return s.admitted.Load() == 1000 })
		close(all)
	}()
	if got := count(together(a, "cold", 1000), engine.OutcomeRedirect); got != 1000 {
		t.Errorf("%d visitors were redirected, want 1000", got)
	}
	if store.queries != 1 {
		t.Errorf("%d queries, want 1", store.queries)
	}
}

func TestUnknownCodesAreAskedOnceAndInBatches(t *testing.T) {
	store := newFakeStore()
	a := start(t, store, newFakeJournal(4), nil)
	const codes = 5000
	for range 2 {
		var visitors sync.WaitGroup
		for v := range 100 {
			visitors.Go(func() {
				for i := range codes / 100 {
					if got := resolve(a, fmt.Sprintf("u%d-%d", v, i), engine.VisitCounted).Outcome; got != engine.OutcomeNotFound {
						t.Errorf("Outcome = %v, want not_found", got)
					}
				}
			})
		}
		visitors.Wait()
	}
	if store.asked != codes {
		t.Errorf("the store was asked for %d codes, want each of %d once", store.asked, codes)
	}
	if store.queries > codes/2 {
		t.Errorf("%d queries for %d codes: they are not batched", store.queries, codes)
	}
}

func TestFullShardShedsAndAnswersTheOthers(t *testing.T) {
	store := newFakeStore(makeLink("a", 1))
	release := make(chan struct{})
	store.onLoad = func() error { <-release; return nil }
	a := start(t, store, newFakeJournal(1), func(c *Config) { c.Shards, c.LookupsMax = 1, 10 })
	var waiting sync.WaitGroup
	for i := range 10 {
		waiting.Go(func() { resolve(a, fmt.Sprintf("x%d", i), engine.VisitCounted) })
	}
	until(t, "ten wait", func() bool { return a.shards[0].admitted.Load() == 10 })
	if got := resolve(a, "y", engine.VisitCounted).Outcome; got != engine.OutcomeShed {
		t.Errorf("Outcome over the bound = %v, want shed", got)
	}
	close(release)
	waiting.Wait()
	if got := resolve(a, "a", engine.VisitCounted).Outcome; got != engine.OutcomeRedirect {
		t.Errorf("Outcome afterwards = %v, want redirect", got)
	}
}

func TestStoreAwayIsUnavailableAndTheNextTryIsFresh(t *testing.T) {
	store := newFakeStore(makeLink("a", 1))
	store.onLoad = func() error { return errAway }
	a := start(t, store, newFakeJournal(1), nil)
	if got := resolve(a, "a", engine.VisitCounted).Outcome; got != engine.OutcomeUnavailable {
		t.Errorf("Outcome = %v, want unavailable: never not_found for what can't be known", got)
	}
	store.mu.Lock()
	store.onLoad = nil
	store.mu.Unlock()
	if got := resolve(a, "a", engine.VisitCounted).Outcome; got != engine.OutcomeRedirect {
		t.Errorf("Outcome = %v, want redirect", got)
	}
}

func TestStalledStoreIsGivenUpAndItsLateAnswerReachesNobodyElse(t *testing.T) {
	store := newFakeStore(makeLink("slow", 1), makeLink("quick", 1))
	release := make(chan struct{})
	store.onLoad = func() error { <-release; return nil }
	a := start(t, store, newFakeJournal(1), func(c *Config) { c.LookupTimeout = time.Millisecond })
	for range 50 {
		if got := resolve(a, "slow", engine.VisitCounted).Outcome; got != engine.OutcomeUnavailable {
			t.Fatalf("Outcome = %v, want unavailable", got)
		}
	}
	close(release)
	until(t, "the late answer is published", func() bool {
		return resolve(a, "slow", engine.VisitCounted).Outcome == engine.OutcomeRedirect
	})
	until(t, "another code is answered", func() bool {
		res := resolve(a, "quick", engine.VisitCounted)
		if res.Outcome == engine.OutcomeRedirect && string(res.Target) != "https://example.com/quick" {
			t.Fatalf("quick leads to %q", res.Target)
		}
		return res.Outcome == engine.OutcomeRedirect
	})
}

func never() bool { return false }

// TestReplyGenerations answers, times out and reuses replies in random order: an answer reaches the request it is for, or nobody.
func TestReplyGenerations(t *testing.T) {
	var replies replyPool
	rnd := rand.New(rand.NewPCG(1, 1))
	var late []ticket
	for i := range 20_000 {
		r, tick := replies.acquire()
		switch rnd.IntN(3) {
		case 0:
			go tick.answer(engine.Resolution{Link: engine.LinkID(i)})
			if res, ok := r.wait(time.Minute, never); !ok || res.Link != engine.LinkID(i) {
				t.Fatalf("request %d got the answer of %d (%v)", i, res.Link, ok)
			}
		case 1: // either may come first
			go tick.answer(engine.Resolution{Link: engine.LinkID(i)})
			if res, ok := r.wait(time.Duration(rnd.IntN(2000)), never); ok && res.Link != engine.LinkID(i) {
				t.Fatalf("request %d got the answer of %d", i, res.Link)
			}
		default:
			if _, ok := r.wait(0, never); ok {
				t.Fatalf("request %d was answered by somebody", i)
			}
			late = append(late, tick)
		}
		if n := len(r.ready); n > 0 {
			t.Fatalf("request %d left %d tokens to the next", i, n)
		}
		replies.release(r)
		if len(late) > 10 {
			if old := late[rnd.IntN(len(late))]; old.answer(engine.Resolution{Link: -1}) {
				t.Fatal("a late answer was accepted")
			}
		}
	}
}

func TestEditIsReadBackAtOnceAndOlderNewsIsIgnored(t *testing.T) {
	store := newFakeStore(makeLink("a", 1))
	a := start(t, store, newFakeJournal(1), nil)
	if got := resolve(a, "new", engine.VisitCounted).Outcome; got != engine.OutcomeNotFound {
		t.Fatalf("Outcome = %v, want not_found", got)
	}
	for _, code := range []string{"a", "new"} {
		l := makeLink(code, 7)
		l.Target = "https://edited.example/"
		store.set(l)
		p := a.Announce(t.Context(), l, engine.Change{ID: 9, Link: l.ID, Key: l.Key(), Version: 7})
		if p != (engine.Propagation{Applied: 1, Live: 1}) {
			t.Errorf("Propagation = %+v", p)
		}
		if got := string(resolve(a, code, engine.VisitCounted).Target); got != l.Target {
			t.Errorf("%s leads to %q after the edit, want %q", code, got, l.Target)
		}
		old := makeLink(code, 6)
		a.Announce(t.Context(), old, engine.Change{ID: 8, Link: l.ID, Key: l.Key(), Version: 6})
		if got := string(resolve(a, code, engine.VisitCounted).Target); got != l.Target {
			t.Errorf("%s leads to %q after old news, want %q", code, got, l.Target)
		}
	}
	imported := makeLink("a", 8)
	imported.Target = "https://imported.example/"
	store.set(imported)
	a.AnnounceMany(t.Context(), []engine.Change{{ID: 10, Link: imported.ID, Key: imported.Key(), Version: 8}})
	if got := string(resolve(a, "a", engine.VisitCounted).Target); got != imported.Target {
		t.Errorf("a leads to %q after an import, want %q", got, imported.Target)
	}
}

// TestLateNewsOfAnOwnEditIsNoStepBack has an edit's own instance hear of a newer one, which took the entry away, before it publishes its own.
func TestLateNewsOfAnOwnEditIsNoStepBack(t *testing.T) {
	newest := makeLink("a", 3)
	newest.Active = false
	store := newFakeStore(makeLink("a", 1))
	a := start(t, store, newFakeJournal(1), nil)
	resolve(a, "a", engine.VisitCounted)
	store.set(newest)
	a.AnnounceMany(t.Context(), []engine.Change{{ID: 3, Link: newest.ID, Key: newest.Key(), Version: 3}})
	own := makeLink("a", 2)
	a.Announce(t.Context(), own, engine.Change{ID: 2, Link: own.ID, Key: own.Key(), Version: 2})
	if got := resolve(a, "a", engine.VisitCounted).Outcome; got != engine.OutcomeInactive {
		t.Errorf("Outcome = %v, want inactive, as the newest version says", got)
	}
}

// TestStaleLoadIsNeverStored runs 10,000 random orders of loads, their answers and changes through one shard: what is published is
// never older than what was announced.
func TestStaleLoadIsNeverStored(t *testing.T) {
	cfg := Config{Shards: 1, Links: newFakeStore(), CacheBytes: 1 << 20}.withDefaults()
	var replies replyPool
	var delivered, races int64
	for seed := range uint64(10_000) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		var asked []*load
		s := newShard(0, &cfg, func(m loaderMessage) bool { asked = append(asked, m.load); return true })
		key := engine.Key{Domain: engine.DefaultDomain, Code: "k"}
		var stored *engine.Link // the store's truth
		var reads []*loadResult // read from the store, not delivered yet
		announced := uint64(0)
		for range 40 {
			switch rnd.IntN(5) {
			case 0:
				r, tick := replies.acquire()
				s.Receive(shardMessage{kind: kindLookup, key: key, waiter: waiter{ticket: tick}})
				r.wait(0, never)
				replies.release(r)
			case 1: // the store answers a question as of now
				if len(asked) > 0 {
					res := &loadResult{keys: asked[0].keys, links: map[engine.Key]*engine.Link{}}
					if stored != nil {
						res.links[key] = new(*stored)
					}
					asked, reads = asked[1:], append(reads, res)
				}
			case 2: // an answer arrives
				if len(reads) > 0 {
					s.Receive(shardMessage{kind: kindLoaded, loaded: reads[0]})
					reads = reads[1:]
					delivered++
				}
			case 3: // an edit, announced with or without its content
				next := makeLink("k", 1)
				if stored != nil {
					next.Version = stored.Version + 1
				}
				stored, announced = &next, next.Version
				var link *engine.Link
				if rnd.IntN(2) == 0 {
					link = new(next)
				}
				s.Receive(shardMessage{kind: kindChanged, change: engine.Change{ID: 1, Link: next.ID, Key: key, Version: next.Version}, link: link, then: func() {}})
			case 4:
				s.Receive(shardMessage{kind: kindRefresh, key: key})
			}
			if rnd.IntN(2) == 0 { // several messages may have been at hand together
				s.Settle()
			}
			if e, ok := s.table.Get(key); ok && e.Version() < announced {
				t.Fatalf("seed %d: version %d is published after %d was announced", seed, e.Version(), announced)
			}
		}
		races += s.races.Load()
	}
	t.Logf("%d answers arrived; %d of them were stale", delivered, races)
	if delivered == 0 || races == 0 {
		t.Error("no answer was overtaken by an edit, so the test shows nothing")
	}
}

func TestOldEntryIsServedWhileItIsReadAgain(t *testing.T) {
	store := newFakeStore(makeLink("a", 1))
	var clock struct {
		sync.Mutex
		ahead time.Duration
	}
	now := func() time.Time {
		clock.Lock()
		defer clock.Unlock()
		return time.Now().Add(clock.ahead)
	}
	a := start(t, store, newFakeJournal(1), func(c *Config) { c.Now = now })
	look := func() string {
		res, ok := a.Lookup(engine.DefaultDomain, []byte("a"), now().UnixMicro(), engine.VisitCounted)
		if !ok {
			return ""
		}
		return string(res.Target)
	}
	resolve(a, "a", engine.VisitCounted)
	edited := makeLink("a", 2)
	edited.Target = "https://elsewhere.example/"
	store.set(edited)
	store.mu.Lock()
	store.onLoad = func() error { return errAway }
	store.mu.Unlock()
	clock.Lock()
	clock.ahead = 301 * time.Second
	clock.Unlock()
	if got := look(); got != "https://example.com/a" {
		t.Fatalf("an old entry is answered with %q", got)
	}
	until(t, "the refresh failed", func() bool { return a.loader.failures.Load() > 0 })
	if got := look(); got != "https://example.com/a" {
		t.Fatalf("with the store away an old entry is answered with %q", got)
	}
	store.mu.Lock()
	store.onLoad = nil
	store.mu.Unlock()
	clock.Lock()
	clock.ahead += 2 * staleRetry * time.Second
	clock.Unlock()
	until(t, "the entry is read again", func() bool { return look() == edited.Target })
}

// TestPanicsLeaveTheOthersAnswered sends a broken message of every kind to a shard and the loader, a thousand times.
func TestPanicsLeaveTheOthersAnswered(t *testing.T) {
	store := newFakeStore(makeLink("a", 1))
	a := start(t, store, newFakeJournal(1), func(c *Config) { c.Shards = 1 })
	for i := range 1000 {
		a.shards[0].mailbox.Post(shardMessage{kind: messageKind(i % (int(kindRelease) + 3))})
		a.loader.mailbox.Post(loaderMessage{load: &load{}})
		if i%100 == 0 {
			if got := resolve(a, fmt.Sprintf("n%d", i), engine.VisitCounted).Outcome; got != engine.OutcomeNotFound {
				t.Fatalf("Outcome = %v, want not_found", got)
			}
		}
	}
	if got := resolve(a, "a", engine.VisitCounted).Outcome; got != engine.OutcomeRedirect {
		t.Errorf("Outcome = %v, want redirect", got)
	}
	if h := a.supervisor.health(); h.Status == engine.HealthPass {
		t.Error("health passes after panics")
	}
	if st := a.Stats(); st.Stage.Actors[2].Panics == 0 {
		t.Errorf("no panics are counted: %+v", st.Stage.Actors)
	}
}

func TestPanickingStoreIsAnswered(t *testing.T) {
	store := newFakeStore(makeLink("a", 1))
	store.onLoad = func() error { panic("driver bug") }
	a := start(t, store, newFakeJournal(1), nil)
	if got := resolve(a, "a", engine.VisitCounted).Outcome; got != engine.OutcomeUnavailable {
		t.Errorf("Outcome = %v, want unavailable", got)
	}
	store.mu.Lock()
	store.onLoad = nil
	store.mu.Unlock()
	if got := resolve(a, "a", engine.VisitCounted).Outcome; got != engine.OutcomeRedirect {
		t.Errorf("Outcome = %v, want redirect", got)
	}
}

func TestConfigValidateNamesFieldAndBound(t *testing.T) {
	store := newFakeStore()
	ok := Config{Links: store, Clicks: store, Journal: newFakeJournal(1), SetAside: func(engine.Click, error) error { return nil }}
	if err := ok.Validate(); err != nil {
		t.Errorf("Validate of the zero settings = %v", err)
	}
	for name, change := range map[string]func(*Config){
		"Links":         func(c *Config) { c.Links = nil },
		"Shards":        func(c *Config) { c.Shards = 3 },
		"CacheBytes":    func(c *Config) { c.CacheBytes = 1000 },
		"CacheTTL":      func(c *Config) { c.CacheTTL = time.Second },
		"LookupsMax":    func(c *Config) { c.LookupsMax = -1 },
		"LookupTimeout": func(c *Config) { c.LookupTimeout = time.Hour },
		"LoadTimeout":   func(c *Config) { c.LoadTimeout = time.Millisecond },
		"BatchMax":      func(c *Config) { c.BatchMax = -1 },
		"BatchInterval": func(c *Config) { c.BatchInterval = time.Hour },
	} {
		c := ok
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("New accepts a bad %s", name)
		}
	}
}

func TestConditionsDecideTheOutcome(t *testing.T) {
	now := time.Now()
	links := map[engine.Outcome]engine.Link{}
	for outcome, change := range map[engine.Outcome]func(*engine.Link){
		engine.OutcomeRedirect: func(l *engine.Link) { l.ValidSince, l.ValidUntil = now.Add(-time.Hour), now.Add(time.Hour) },
		engine.OutcomeInactive: func(l *engine.Link) { l.Active = false },
		engine.OutcomeExpired:  func(l *engine.Link) { l.ValidUntil = now.Add(-time.Hour) },
		engine.OutcomeNotFound: func(l *engine.Link) { l.ValidSince = now.Add(time.Hour) },
	} {
		l := makeLink(outcome.String(), 1)
		change(&l)
		links[outcome] = l
	}
	store := newFakeStore()
	for _, l := range links {
		store.set(l)
	}
	a := start(t, store, newFakeJournal(1), nil)
	for want, l := range links {
		for range 2 { // loaded, then published
			if got := resolve(a, l.Code, engine.VisitCounted); got.Outcome != want {
				t.Errorf("Outcome of %s = %v", l.Code, got.Outcome)
			}
		}
	}
}

func TestStopIsBounded(t *testing.T) {
	store, journal := newFakeStore(), newFakeJournal(1)
	store.onWrite = func(*engine.ClickBatch) (bool, error) { return false, errAway }
	journal.append(0, engine.Click{Link: 1})
	cfg := Config{Links: store, Clicks: store, Journal: journal, SetAside: func(engine.Click, error) error { return nil }, Shards: 1}
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	a.Start(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Stop(ctx); err == nil {
		t.Error("Stop says nothing about clicks that it could not store")
	}
}

// TestDistrustReachesWhatIsBeingRead has a shard told that it may have missed changes, while a look-up is under way.
func TestDistrustReachesWhatIsBeingRead(t *testing.T) {
	cfg := Config{Shards: 1, Links: newFakeStore(), CacheBytes: 1 << 20}.withDefaults()
	var asked []*load
	s := newShard(0, &cfg, func(m loaderMessage) bool { asked = append(asked, m.load); return true })
	old, read := makeLink("old", 1), makeLink("read", 1)
	s.publish(old.Key(), &old, s.now())
	take := func(m shardMessage) {
		s.Receive(m)
		s.Settle()
	}
	take(shardMessage{kind: kindRefresh, key: read.Key()})
	take(shardMessage{kind: kindDistrust})
	take(shardMessage{kind: kindLoaded, loaded: &loadResult{keys: asked[0].keys, links: map[engine.Key]*engine.Link{read.Key(): &read}}})
	if _, ok := s.table.Get(read.Key()); ok || len(asked) != 2 {
		t.Errorf("what was read before is published (%v), or not read again (%d loads)", ok, len(asked))
	}
	take(shardMessage{kind: kindLoaded, loaded: &loadResult{keys: asked[1].keys, links: map[engine.Key]*engine.Link{read.Key(): &read}}})
	if _, refresh, ok := s.table.Lookup(read.Key().Hash(), engine.DefaultDomain, []byte("read"), s.now()); !ok || refresh {
		t.Errorf("what was read afterwards, in the same second, is served %v, refreshed %v; want it served and trusted", ok, refresh)
	}
	if _, refresh, ok := s.table.Lookup(old.Key().Hash(), engine.DefaultDomain, []byte("old"), s.now()); !ok || !refresh {
		t.Errorf("what was published in the same second is served %v, refreshed %v; want both", ok, refresh)
	}
}

func TestSlowStoreThatAnswersIsWaitedForLonger(t *testing.T) {
	store := newFakeStore(makeLink("slow", 1), makeLink("other", 1))
	asked, release := make(chan struct{}), make(chan struct{})
	var queries atomic.Int64
	store.onLoad = func() error {
		if queries.Add(1) == 1 {
			close(asked)
			<-release
		}
		return nil
	}
	a := start(t, store, newFakeJournal(1), func(c *Config) { c.LookupTimeout = 300 * time.Millisecond })
	outcome := make(chan engine.Outcome)
	go func() { outcome <- resolve(a, "slow", engine.VisitCounted).Outcome }()
	<-asked // alone: the others are not in its query
	began := time.Now()
	// Others are answered for longer than the first visitor would wait for a store that answers nobody.
	for i := 0; time.Since(began) < 450*time.Millisecond; i++ {
		resolve(a, fmt.Sprintf("n%d", i), engine.VisitCounted)
	}
	close(release)
	if got := <-outcome; got != engine.OutcomeRedirect {
		t.Errorf("Outcome = %v, want redirect", got)
	}
}
