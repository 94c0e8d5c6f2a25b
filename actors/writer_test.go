package actors

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carom-dev/carom/engine"
)

// wantOnce checks that the store has each of the clicks 1..n exactly once, and nothing else.
func wantOnce(t *testing.T, store *fakeStore, n int, without ...engine.LinkID) {
	t.Helper()
	seen := map[engine.LinkID]int{}
	for _, c := range store.clicks() {
		seen[c.Link]++
	}
	for _, id := range without {
		if seen[id] != 0 {
			t.Errorf("click %d is stored", id)
		}
		seen[id] = 1
	}
	for id := 1; id <= n; id++ {
		if seen[engine.LinkID(id)] != 1 {
			t.Fatalf("click %d is stored %d times, want once", id, seen[engine.LinkID(id)])
		}
	}
	if len(seen) != n {
		t.Errorf("%d different clicks are stored, want %d", len(seen), n)
	}
}

func TestEveryClickIsStoredOnceWhateverTheStoreAnswers(t *testing.T) {
	store, journal := newFakeStore(), newFakeJournal(4)
	rnd := rand.New(rand.NewPCG(5, 5))
	failures := 0
	// A third of the batches fail: before they take effect, or after it with the answer lost.
	store.onWrite = func(*engine.ClickBatch) (bool, error) {
		switch rnd.IntN(6) {
		case 0:
			failures++
			return false, errAway
		case 1:
			failures++
			return true, errAway
		}
		return true, nil
	}
	var clock struct {
		sync.Mutex
		at time.Time
	}
	// The clock leaps, so that no back-off takes real time.
	a := start(t, store, journal, func(c *Config) {
		c.BatchMax = 7
		c.Now = func() time.Time {
			clock.Lock()
			defer clock.Unlock()
			clock.at = clock.at.Add(time.Second)
			return time.Now().Add(clock.at.Sub(time.Time{}))
		}
	})
	const clicks = 3000
	for i := 1; i <= clicks; i++ {
		journal.append(i%4, engine.Click{Link: engine.LinkID(i)})
	}
	until(t, "all clicks are stored", func() bool { return len(store.clicks()) >= clicks })
	wantOnce(t, store, clicks)
	if failures == 0 {
		t.Error("no batch failed, so the test shows nothing")
	}
	if st := a.Stats().Writer; st.Errors == 0 || st.Batches == 0 {
		t.Errorf("Stats = %+v, want batches and errors", st)
	}
}

func TestStopStoresWhatTheJournalHolds(t *testing.T) {
	store, journal := newFakeStore(), newFakeJournal(2)
	cfg := Config{Links: store, Clicks: store, Journal: journal, SetAside: func(engine.Click, error) error { return nil }, BatchMax: 10, BatchInterval: time.Minute}
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	a.Start(t.Context())
	const clicks = 995
	for i := 1; i <= clicks; i++ {
		journal.append(i%2, engine.Click{Link: engine.LinkID(i)})
	}
	if err := a.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantOnce(t, store, clicks)
}

func TestRefusedClicksAreSetAsideAndTheOthersStored(t *testing.T) {
	store, journal := newFakeStore(), newFakeJournal(4)
	bad := map[engine.LinkID]bool{1: true, 17: true, 18: true, 500: true, 1000: true}
	refusal := &engine.RejectedError{Err: errors.New("does not fit")}
	store.onWrite = func(b *engine.ClickBatch) (bool, error) {
		for _, c := range b.Clicks {
			if bad[c.Link] {
				return false, refusal
			}
		}
		return true, nil
	}
	var mu sync.Mutex
	var aside []engine.LinkID
	const clicks = 1000
	for i := 1; i <= clicks; i++ {
		journal.append(i%4, engine.Click{Link: engine.LinkID(i)})
	}
	start(t, store, journal, func(c *Config) {
		c.SetAside = func(click engine.Click, reason error) error {
			mu.Lock()
			defer mu.Unlock()
			if !errors.Is(reason, refusal) {
				t.Errorf("the reason is %v", reason)
			}
			aside = append(aside, click.Link)
			return nil
		}
	})
	until(t, "the others are stored", func() bool { return len(store.clicks()) >= clicks-len(bad) })
	until(t, "the refused are set aside", func() bool { mu.Lock(); defer mu.Unlock(); return len(aside) >= len(bad) })
	mu.Lock()
	defer mu.Unlock()
	wantOnce(t, store, clicks, aside...)
	if len(aside) != len(bad) {
		t.Errorf("%v were set aside, want %d clicks", aside, len(bad))
	}
}

// TestALaneThatFailsKeepsTheOthersNot has the clicks of one lane not be stored, for a reason that is not said to be theirs.
func TestALaneThatFailsKeepsTheOthersNot(t *testing.T) {
	const lanes, each = 4, 20
	store, journal := newFakeStore(), newFakeJournal(lanes)
	mended := make(chan struct{})
	store.onWrite = func(b *engine.ClickBatch) (bool, error) {
		select {
		case <-mended:
			return true, nil
		default:
		}
		if slices.ContainsFunc(b.Clicks, func(c engine.Click) bool { return c.Link <= each }) {
			return false, errAway
		}
		return true, nil
	}
	for i := range lanes * each {
		journal.append(i/each, engine.Click{Link: engine.LinkID(i + 1)})
	}
	start(t, store, journal, func(c *Config) { c.BatchMax = each / 2 })
	until(t, "the other lanes are stored", func() bool { return len(store.clicks()) == (lanes-1)*each })
	close(mended)
	until(t, "all are stored", func() bool { return len(store.clicks()) == lanes*each })
	wantOnce(t, store, lanes*each)
}

// TestARefusedClickIsFoundWhileOthersCome has more clicks come on all other lanes with each batch that is tried.
func TestARefusedClickIsFoundWhileOthersCome(t *testing.T) {
	const lanes, tries = 16, 500
	store, journal := newFakeStore(), newFakeJournal(lanes)
	refusal := &engine.RejectedError{Err: errors.New("does not fit")}
	next, tried := engine.LinkID(1000), 0
	found := make(chan struct{})
	store.onWrite = func(b *engine.ClickBatch) (bool, error) {
		select {
		case <-found:
			return true, nil
		default:
		}
		if tried++; tried == tries {
			t.Errorf("the click was not found in %d batches", tries)
			return true, nil
		}
		if tried < tries {
			for lane := 1; lane < lanes; lane++ {
				next++
				journal.append(lane, engine.Click{Link: next})
			}
		}
		for _, c := range b.Clicks {
			if c.Link == 1 && tried < tries {
				return false, refusal
			}
		}
		return true, nil
	}
	for i := 1; i <= 64; i++ {
		journal.append(0, engine.Click{Link: engine.LinkID(i)})
	}
	a := start(t, store, journal, func(c *Config) {
		c.SetAside = func(engine.Click, error) error { close(found); return nil }
	})
	until(t, "all clicks are stored", func() bool { return len(store.clicks()) > 62 && a.Stats().Writer.Lag == 0 })
}

func TestAnotherWriterOfThisNodeIsFencedOff(t *testing.T) {
	store, journal := newFakeStore(), newFakeJournal(1)
	a := start(t, store, journal, func(c *Config) { c.Shards = 1 })
	journal.append(0, engine.Click{Link: 1})
	until(t, "the first click is stored", func() bool { return len(store.clicks()) == 1 })
	store.mu.Lock()
	store.checkpoints[0] = 77 // another process
	store.mu.Unlock()
	journal.append(0, engine.Click{Link: 2})
	until(t, "the writer says why", func() bool { return a.writer.health().Status == engine.HealthFail })
	if got := len(store.clicks()); got != 1 {
		t.Errorf("%d clicks are stored, want 1", got)
	}
	a.writer.fenced.Store(false) // so that Stop can drain
	store.mu.Lock()
	store.checkpoints[0] = 1
	store.mu.Unlock()
}

// TestABatchThatComesTrueLateIsOurs holds that a database may finish a batch when whoever sent it was killed, or has given up, and when the next
// one has asked already where the lanes stand: its clicks are stored, and no other process is at work.
func TestABatchThatComesTrueLateIsOurs(t *testing.T) {
	for _, before := range []bool{true, false} {
		t.Run(fmt.Sprintf("of the process before this one: %v", before), func(t *testing.T) {
			store, journal := newFakeStore(), newFakeJournal(1)
			for i := 1; i <= 10; i++ {
				journal.append(0, engine.Click{Link: engine.LinkID(i)})
			}
			var late *engine.ClickBatch
			if before {
				journal.recovered[0] = 10
				late = &engine.ClickBatch{Moves: []engine.LaneMove{{To: 6}}, Clicks: journal.lanes[0][:6]}
			}
			store.onWrite = func(b *engine.ClickBatch) (bool, error) {
				if late == nil { // its answer is lost, and the next batch is another one
					late = &engine.ClickBatch{Moves: slices.Clone(b.Moves), Clicks: slices.Clone(b.Clicks)}
					journal.append(0, engine.Click{Link: 11})
					return false, errAway
				}
				if store.checkpoints[0] == 0 {
					store.checkpoints[0] = late.Moves[0].To
					store.stored = append(store.stored, late.Clicks...)
				}
				return true, nil
			}
			a := start(t, store, journal, func(c *Config) { c.Shards = 1 })
			want := 10
			if !before {
				want = 11
			}
			until(t, "all are stored", func() bool { return len(store.clicks()) >= want || a.writer.fenced.Load() })
			if a.writer.fenced.Load() {
				t.Fatalf("the writer takes it for another process: %+v", a.writer.health())
			}
			wantOnce(t, store, want)
		})
	}
}

// TestACopyOfALivingNodeIsFencedOff holds that who comes second yields: the checkpoints that move are another's.
func TestACopyOfALivingNodeIsFencedOff(t *testing.T) {
	for _, rule := range []struct {
		name   string
		moves  int // of the checkpoints, by another process
		fenced bool
	}{
		{"the last batch of a dead process is none", 1, false},
		{"a living process", 1 << 30, true},
	} {
		t.Run(rule.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, journal := newFakeStore(), newFakeJournal(1)
				store.checkpoints[0] = 7
				journal.append(0, engine.Click{Link: 1})
				asked := 0
				cfg := Config{Journal: journal, Changes: &fakeLog{}, BatchInterval: time.Millisecond, Clicks: &movingStore{store, func() {
					if asked++; asked > 1 && asked <= rule.moves+1 {
						store.checkpoints[0]++
					}
				}}}
				w := &writer{cfg: &cfg, leasable: &atomic.Bool{}, tell: func() {}, settled: once{done: make(chan struct{})}}
				err := w.locate(t.Context())
				if errors.Is(err, engine.ErrFenced) != rule.fenced || w.fenced.Load() != rule.fenced || !rule.fenced && err != nil {
					t.Errorf("locate = %v with fenced %v, want fenced %v", err, w.fenced.Load(), rule.fenced)
				}
				if rule.fenced && (w.health().Status != engine.HealthFail || len(store.clicks()) != 0) {
					t.Errorf("health is %v with %d clicks stored, want fail and none", w.health(), len(store.clicks()))
				}
			})
		})
	}
}

// movingStore has something done each time its checkpoints are read.
type movingStore struct {
	*fakeStore
	asked func()
}

func (s *movingStore) Checkpoints(ctx context.Context, node engine.NodeID) (map[int]engine.Position, error) {
	s.mu.Lock()
	s.asked()
	s.mu.Unlock()
	return s.fakeStore.Checkpoints(ctx, node)
}

// TestVisitsAreLeasedOnlyWhenOldClicksAreStored holds the order that keeps budgets exact over a crash.
func TestVisitsAreLeasedOnlyWhenOldClicksAreStored(t *testing.T) {
	l := makeLink("limited", 1)
	l.MaxVisits = 10
	store, journal := newFakeStore(l), newFakeJournal(1)
	for range 5 {
		journal.append(0, engine.Click{Link: l.ID, Flags: engine.ClickBudgeted})
	}
	journal.recovered[0] = 5
	var away sync.Mutex
	blocked := true
	store.onWrite = func(*engine.ClickBatch) (bool, error) {
		away.Lock()
		defer away.Unlock()
		if blocked {
			return false, errAway
		}
		return true, nil
	}
	a := start(t, store, journal, func(c *Config) { c.Shards, c.LookupTimeout = 1, time.Millisecond })
	if got := resolve(a, "limited", engine.VisitCounted).Outcome; got != engine.OutcomeUnavailable {
		t.Errorf("Outcome with old clicks unstored = %v, want unavailable", got)
	}
	if store.reclaimed != 0 || store.leased[l.ID] != 0 {
		t.Error("visits were reclaimed or leased too early")
	}
	away.Lock()
	blocked = false
	away.Unlock()
	until(t, "visits are leased", func() bool { return resolve(a, "limited", engine.VisitFree).Outcome == engine.OutcomeRedirect })
	if store.reclaimed != 1 {
		t.Errorf("reclaimed %d times, want once", store.reclaimed)
	}
}

func TestDrainIsGivenUpWhenTheStoreStaysAway(t *testing.T) {
	store, journal := newFakeStore(), newFakeJournal(1)
	store.onWrite = func(*engine.ClickBatch) (bool, error) { return false, errAway }
	journal.append(0, engine.Click{Link: 1})
	a, err := New(Config{Links: store, Clicks: store, Journal: journal, SetAside: func(engine.Click, error) error { return nil }, BatchInterval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	a.Start(t.Context())
	// Without a deadline of its own: it ends by itself.
	if err := a.Stop(t.Context()); !errors.Is(err, errAway) {
		t.Errorf("Stop = %v, want why the clicks could not be stored", err)
	}
}

// TestClicksInHandAreOnesThatWait holds that clicks which the writer has read, and which the journal counts no more, are told of for as
// long as the store does not take them.
func TestClicksInHandAreOnesThatWait(t *testing.T) {
	store, journal := newFakeStore(), newFakeJournal(2)
	var back atomic.Bool
	store.onWrite = func(*engine.ClickBatch) (bool, error) {
		if !back.Load() {
			return false, errAway
		}
		return true, nil
	}
	oldest := time.Now().Add(-time.Hour).Truncate(time.Microsecond)
	for i := range 3 {
		journal.append(i%2, engine.Click{Link: engine.LinkID(i + 1), At: oldest.Add(time.Duration(2-i) * time.Minute).UnixMicro()})
	}
	a := start(t, store, journal, nil)
	until(t, "three clicks are in hand, the oldest an hour old", func() bool {
		w := a.Stats().Writer
		return w.Errors > 0 && w.Held == 3 && w.HeldSince.Equal(oldest)
	})
	back.Store(true)
	until(t, "none is in hand", func() bool { w := a.Stats().Writer; return w.Rows == 3 && w.Held == 0 && w.HeldSince.IsZero() })
	if lag := a.Stats().Writer.Lag; lag < time.Hour {
		t.Errorf("Lag = %v, want that of the oldest click, over an hour", lag)
	}
}
