package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/postgres"
)

// Several instances write at once, in all modes, while a reader follows by cursor: it must meet every number, in order, without a gap.
var modes = []string{"cache_statement", "cache_describe", "exec"}

func TestClicksOfManyInstancesAppearInTheOrderOfTheirIDs(t *testing.T) {
	t.Parallel()
	url := database(t)
	const instances, batches, size = 4, 25, 40
	var writing sync.WaitGroup
	for i := range instances {
		d := &drainer{store: open(t, postgres.Config{URL: url, ExecMode: modes[i%len(modes)]}), node: engine.NodeID(fmt.Sprint("node", i))}
		writing.Go(func() {
			for range batches {
				if err := d.step(t.Context(), size); err != nil {
					t.Error(err)
				}
			}
		})
	}
	reader := open(t, postgres.Config{URL: url})
	var done atomic.Bool
	go func() { writing.Wait(); done.Store(true) }()
	var last engine.ClickID
	for {
		ended := done.Load() // asked before the read: what is read afterwards has everything
		clicks, err := reader.Clicks(t.Context(), engine.ClickQuery{After: last, Limit: 10_000})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range clicks {
			if c.ID != last+1 {
				t.Fatalf("click %d came after %d: one was passed over", c.ID, last)
			}
			last = c.ID
		}
		if ended {
			break
		}
	}
	if last != instances*batches*size {
		t.Errorf("the reader met %d clicks, want %d", last, instances*batches*size)
	}
}

func TestChangesOfManyInstancesAppearInTheOrderOfTheirIDs(t *testing.T) {
	t.Parallel()
	url := database(t)
	const instances, each = 4, 40
	var writing sync.WaitGroup
	for i := range instances {
		s := open(t, postgres.Config{URL: url, ExecMode: modes[i%len(modes)]})
		writing.Go(func() {
			var l engine.Link
			for n := range each {
				var err error
				switch n % 4 {
				case 0:
					l, _, err = s.CreateLink(t.Context(), aLink(fmt.Sprintf("i%dn%d", i, n)), engine.Author{}, nil)
				case 1: // all instances import the same codes at the same time
					_, err = s.ImportLinks(t.Context(), []engine.Link{aLink(fmt.Sprintf("z%d", n)), aLink(fmt.Sprintf("a%d", n))}, engine.ConflictSkip, engine.Author{})
				default:
					_, _, err = s.UpdateLink(t.Context(), l.ID, engine.ActionUpdated, engine.Author{}, func(l *engine.Link) error { l.Title += "x"; return nil })
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	reader := open(t, postgres.Config{URL: url})
	var done atomic.Bool
	go func() { writing.Wait(); done.Store(true) }()
	var last engine.AuditID
	for {
		ended := done.Load()
		end, err := reader.LastChange(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		changes, err := reader.ChangesSince(t.Context(), last, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			if c.ID != last+1 {
				t.Fatalf("change %d came after %d: one was passed over", c.ID, last)
			}
			last = c.ID
		}
		if last < end {
			t.Fatalf("LastChange = %d, and ChangesSince ended at %d after it", end, last)
		}
		if ended {
			break
		}
	}
	// Of each import's two codes, the first instance makes both.
	if want := engine.AuditID(instances*each*3/4 + each/4*2); last != want {
		t.Errorf("the reader met %d changes, want %d", last, want)
	}
}

func TestVisitBudgetIsExactAcrossInstances(t *testing.T) {
	t.Parallel()
	url := database(t)
	const instances, budget = 4, 1000
	first := open(t, postgres.Config{URL: url})
	l := aLink("abc")
	l.MaxVisits = budget
	l, _, err := first.CreateLink(t.Context(), l, engine.Author{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var granted atomic.Int64
	var leasing sync.WaitGroup
	for i := range instances {
		s := open(t, postgres.Config{URL: url})
		leasing.Go(func() {
			me := engine.NodeID(fmt.Sprint("node", i))
			for {
				got, err := s.LeaseVisits(t.Context(), me, l.ID, 1, 7)
				if err != nil {
					t.Error(err)
					return
				}
				if got.Visits == 0 {
					return
				}
				granted.Add(got.Visits)
			}
		})
	}
	leasing.Wait()
	if granted.Load() != budget {
		t.Errorf("%d visits were granted, want %d", granted.Load(), budget)
	}
	// A node that used 3 of its visits and died gives all the others back.
	used := clicksOf(0, 3)
	for i := range used {
		used[i].Link, used[i].Flags = l.ID, engine.ClickBudgeted
	}
	if err := first.WriteClicks(t.Context(), &engine.ClickBatch{Node: "node0", Moves: []engine.LaneMove{{Lane: 0, To: 3}}, Clicks: used}); err != nil {
		t.Fatal(err)
	}
	back := int64(0)
	for i := range instances {
		if err := first.ReclaimVisits(t.Context(), engine.NodeID(fmt.Sprint("node", i))); err != nil {
			t.Fatal(err)
		}
	}
	for {
		got, err := first.LeaseVisits(t.Context(), "node9", l.ID, 1, 100)
		if err != nil {
			t.Fatal(err)
		}
		if got.Visits == 0 {
			break
		}
		back += got.Visits
	}
	if back != budget-3 {
		t.Errorf("%d visits came back, want %d", back, budget-3)
	}
}

func TestConcurrentRepeatsOfACreationMakeOneLink(t *testing.T) {
	t.Parallel()
	url := database(t)
	const calls = 8
	idem := &engine.Idempotency{Key: "k", Digest: [32]byte{1}}
	var ids [calls]engine.LinkID
	var changes atomic.Int64
	var calling sync.WaitGroup
	s := open(t, postgres.Config{URL: url, PoolMax: calls})
	for i := range calls {
		calling.Go(func() {
			l, c, err := s.CreateLink(context.WithoutCancel(t.Context()), aLink("same"), engine.Author{Key: 1}, idem)
			if err != nil {
				t.Error(err)
			}
			ids[i] = l.ID
			if c.ID != 0 {
				changes.Add(1)
			}
		})
	}
	calling.Wait()
	for _, id := range ids {
		if id != ids[0] || id == 0 {
			t.Errorf("ids = %v, want the same link for all", ids)
			break
		}
	}
	if changes.Load() != 1 {
		t.Errorf("%d calls said that they made the link, want 1", changes.Load())
	}
}
