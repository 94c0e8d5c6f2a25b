package actors

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carom-dev/carom/engine"
)

func limited(code string, visits int64) engine.Link {
	l := makeLink(code, 1)
	l.MaxVisits = visits
	return l
}

func startLeasable(t *testing.T, store *fakeStore, adjust func(*Config)) *Actors {
	t.Helper()
	a := start(t, store, newFakeJournal(1), adjust)
	until(t, "visits can be leased", a.leasable.Load)
	return a
}

func TestMaxVisitsIsExact(t *testing.T) {
	for _, visits := range []int64{1, 100, 1000} {
		a := startLeasable(t, newFakeStore(limited("l", visits)), nil)
		outcomes := together(a, "l", 10_000)
		redirected, exhausted := count(outcomes, engine.OutcomeRedirect), count(outcomes, engine.OutcomeExhausted)
		shed := count(outcomes, engine.OutcomeShed)
		if redirected != int(visits) || redirected+exhausted+shed != len(outcomes) {
			t.Errorf("max_visits %d: %d redirected, %d exhausted, %d shed of %d", visits, redirected, exhausted, shed, len(outcomes))
		}
	}
}

func TestHeadAndPrefetchUseUpNoVisit(t *testing.T) {
	a := startLeasable(t, newFakeStore(limited("l", 2)), nil)
	for range 20 {
		if res := resolve(a, "l", engine.VisitFree); res.Outcome != engine.OutcomeRedirect || res.Budgeted {
			t.Fatalf("a free visit = %v, budgeted %v", res.Outcome, res.Budgeted)
		}
	}
	for range 2 {
		if res := resolve(a, "l", engine.VisitCounted); res.Outcome != engine.OutcomeRedirect || !res.Budgeted {
			t.Fatalf("a visit = %v, budgeted %v", res.Outcome, res.Budgeted)
		}
	}
	for _, visit := range []engine.Visit{engine.VisitCounted, engine.VisitFree} {
		if got := resolve(a, "l", visit).Outcome; got != engine.OutcomeExhausted {
			t.Errorf("Outcome afterwards = %v, want exhausted", got)
		}
	}
}

func TestRefundedVisitIsServedToAnother(t *testing.T) {
	a := startLeasable(t, newFakeStore(limited("l", 1)), nil)
	res := resolve(a, "l", engine.VisitCounted)
	a.Refund(res)
	a.Refund(engine.Resolution{}) // took nothing
	until(t, "the visit is back", func() bool { return resolve(a, "l", engine.VisitCounted).Outcome == engine.OutcomeRedirect })
	if got := resolve(a, "l", engine.VisitCounted).Outcome; got != engine.OutcomeExhausted {
		t.Errorf("Outcome = %v, want exhausted", got)
	}
}

func TestLeasedVisitsGoBackAtAnEditAndAtTheEnd(t *testing.T) {
	store := newFakeStore(limited("l", 1000))
	a, err := New(Config{
		Links: store, Clicks: store, Journal: newFakeJournal(1), SetAside: func(engine.Click, error) error { return nil }, BatchInterval: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	a.Start(t.Context())
	until(t, "visits can be leased", a.leasable.Load)
	for range 3 {
		resolve(a, "l", engine.VisitCounted)
	}
	edited := limited("l", 5)
	edited.Version = 2
	store.set(edited)
	a.Announce(t.Context(), edited, engine.Change{ID: 1, Link: edited.ID, Key: edited.Key(), Version: 2})
	until(t, "what was leased is back", func() bool { store.mu.Lock(); defer store.mu.Unlock(); return store.leased[edited.ID] == 3 })
	served := 0
	for range 10 {
		if resolve(a, "l", engine.VisitCounted).Outcome == engine.OutcomeRedirect {
			served++
		}
	}
	if served != 2 {
		t.Errorf("%d more visits were served, want 2: three of five are used", served)
	}
	raised := limited("l", 50)
	raised.Version = 3
	store.set(raised)
	a.Announce(t.Context(), raised, engine.Change{ID: 2, Link: raised.ID, Key: raised.Key(), Version: 3})
	if got := resolve(a, "l", engine.VisitCounted).Outcome; got != engine.OutcomeRedirect {
		t.Errorf("Outcome after the bound was raised = %v, want redirect", got)
	}
	if err := a.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if store.leased[edited.ID] != 6 {
		t.Errorf("%d visits stay leased after the end, want the 6 that were used", store.leased[edited.ID])
	}
}

// TestStopGivesAllVisitsBack has links in several shards, so that visits wait to be given back while others are: none stays leased.
func TestStopGivesAllVisitsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const links = 20
		store := newFakeStore()
		for i := range links {
			store.set(limited(fmt.Sprint("l", i), 1000))
		}
		held := make(chan struct{})
		store.onReturn = func() { <-held }
		a, err := New(Config{
			Links: store, Clicks: store, Journal: newFakeJournal(1), SetAside: func(engine.Click, error) error { return nil }, BatchInterval: time.Millisecond,
			CacheBytes: 64 << 20,
		})
		if err != nil {
			t.Fatal(err)
		}
		a.Start(t.Context())
		for !a.leasable.Load() {
			time.Sleep(time.Millisecond) //nolint:forbidigo // the bubble's clock
		}
		for i := range links {
			resolve(a, fmt.Sprint("l", i), engine.VisitCounted)
		}
		done := make(chan error, 1)
		go func() { done <- a.Stop(context.Background()) }()
		synctest.Wait() // until nothing goes on before the store answers
		close(held)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		for link, n := range store.leased {
			if n != 1 {
				t.Errorf("link %d has %d visits leased, want the one that was used", link, n)
			}
		}
	})
}

// TestVisitsThatAnotherInstanceHoldsAreRecalled has one instance lease all there are and use one; the visitors of the other get the rest.
func TestVisitsThatAnotherInstanceHoldsAreRecalled(t *testing.T) {
	const visits = 10
	c := startCluster(t, 2, true)
	c.store.set(limited("l", visits))
	for _, a := range c.instances {
		until(t, "visits can be leased", a.leasable.Load)
	}
	served := []int{0, 0}
	visit := func(i int) engine.Outcome {
		got := resolve(c.instances[i], "l", engine.VisitCounted).Outcome
		if got == engine.OutcomeRedirect {
			served[i]++
		}
		return got
	}
	visit(0)
	if id := limited("l", visits).ID; c.store.leased[id] != visits {
		t.Fatalf("%d visits are leased, want all", c.store.leased[id])
	}
	// On a slow machine the visits may come back too late for the first who asks.
	until(t, "a visitor of the other instance is redirected", func() bool { return visit(1) == engine.OutcomeRedirect })
	for range 2 * visits {
		visit(1)
	}
	if served[0] != 1 || served[1] != visits-1 {
		t.Errorf("%v were served by the instances, want 1 and %d", served, visits-1)
	}
	if got := c.instances[1].Stats().Feed.Recalls; got == 0 {
		t.Error("no recall is counted")
	}
}

// TestVisitsHeldByADeadInstanceAreSaidToBeUsedUp holds that nobody waits for it again and again.
func TestVisitsHeldByADeadInstanceAreSaidToBeUsedUp(t *testing.T) {
	c := startCluster(t, 2, true)
	l := limited("l", 10)
	c.store.set(l)
	c.store.mu.Lock()
	c.store.hold("dead", l.ID, 10)
	c.store.mu.Unlock()
	for _, a := range c.instances {
		until(t, "visits can be leased", a.leasable.Load)
		for range 100 {
			if got := resolve(a, "l", engine.VisitCounted).Outcome; got != engine.OutcomeExhausted {
				t.Fatalf("Outcome = %v, want exhausted", got)
			}
		}
		if got := a.Stats().Feed.Recalls; got != 1 {
			t.Errorf("the others were asked %d times, want once", got)
		}
	}
}

// TestVisitsOnTheirWayToTheStoreAreWaitedFor has a link edited whose visits are all leased, and the next visitor's lease overtake what the edit
// gives back.
func TestVisitsOnTheirWayToTheStoreAreWaitedFor(t *testing.T) {
	store := newFakeStore(limited("l", 50))
	leases, overtaken := 0, make(chan struct{})
	store.onLease = func() error { // with the store's lock
		if leases++; leases == 2 {
			close(overtaken)
		}
		return nil
	}
	store.onReturn = func() { <-overtaken }
	a := startLeasable(t, store, nil)
	if got := resolve(a, "l", engine.VisitCounted).Outcome; got != engine.OutcomeRedirect {
		t.Fatalf("Outcome = %v, want a redirect", got)
	}
	edited := limited("l", 50)
	edited.Version = 2
	store.set(edited)
	a.Announce(context.Background(), edited, engine.Change{Link: edited.ID, Key: edited.Key(), Version: 2})
	for range 49 {
		if got := resolve(a, "l", engine.VisitCounted).Outcome; got != engine.OutcomeRedirect {
			t.Fatalf("Outcome behind the edit = %v, want a redirect, as there are visits left", got)
		}
	}
	if got := resolve(a, "l", engine.VisitCounted).Outcome; got != engine.OutcomeExhausted {
		t.Errorf("Outcome of the 51st = %v, want exhausted", got)
	}
}

func TestExhaustedLinkIsAskedAgainAfterAWhile(t *testing.T) {
	store := newFakeStore(limited("l", 1))
	a := startLeasable(t, store, func(c *Config) { c.Shards = 1 })
	resolve(a, "l", engine.VisitCounted)
	if got := resolve(a, "l", engine.VisitCounted).Outcome; got != engine.OutcomeExhausted {
		t.Fatalf("Outcome = %v, want exhausted", got)
	}
	// The rest on a shard without its actor, so that time is the test's.
	late := newShard(0, &Config{Shards: 1, CacheBytes: 1 << 20, Now: func() time.Time { return time.Now().Add(time.Hour) }}, func(loaderMessage) bool { return true })
	l := limited("l", 1)
	late.publish(l.Key(), &l, late.now())
	account := late.accounts[l.ID]
	late.leased(&leaseResult{link: l.ID})
	if e, _ := late.table.Get(l.Key()); account.revive.IsZero() || e.IsZero() {
		t.Fatal("an exhausted account has no time to be asked again")
	}
	account.revive = time.Now()
	late.Receive(shardMessage{kind: kindSweep})
	e, _ := late.table.Get(l.Key())
	if _, ok := decide(late.budgets, e, engine.Resolution{}, 0, engine.VisitCounted); ok {
		t.Error("after a while an exhausted link is still answered without asking")
	}
	account.touched = time.Now().Add(-2 * restAfter)
	late.Receive(shardMessage{kind: kindSweep})
	if len(late.accounts) != 0 {
		t.Error("an account that rests is kept")
	}
}

func TestFailedLeaseIsUnavailable(t *testing.T) {
	store := newFakeStore(limited("l", 1))
	store.onLease = func() error { return errAway }
	a := startLeasable(t, store, nil)
	if got := resolve(a, "l", engine.VisitCounted).Outcome; got != engine.OutcomeUnavailable {
		t.Errorf("Outcome = %v, want unavailable", got)
	}
	store.mu.Lock()
	store.onLease = nil
	store.mu.Unlock()
	if got := resolve(a, "l", engine.VisitCounted).Outcome; got != engine.OutcomeRedirect {
		t.Errorf("Outcome = %v, want redirect", got)
	}
}
