package storetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/carom-dev/carom/engine"
)

func visitRules() []rule {
	budget := func(t *testing.T, s engine.Store, code string, visits int64) engine.LinkID {
		t.Helper()
		l := link(code)
		l.MaxVisits = visits
		return create(t, s, l).ID
	}
	setBudget := func(t *testing.T, s engine.Store, id engine.LinkID, visits int64) {
		t.Helper()
		update(t, s, id, func(l *engine.Link) { l.MaxVisits = visits })
	}
	lease := func(t *testing.T, s engine.Store, node engine.NodeID, id engine.LinkID, want, expect int64) {
		t.Helper()
		got, err := s.LeaseVisits(t.Context(), node, id, want, want)
		must(t, err)
		if got.Visits != expect {
			t.Errorf("LeaseVisits of %d = %+v, want %d", want, got, expect)
		}
	}
	use := func(t *testing.T, s engine.Store, node engine.NodeID, id engine.LinkID, n int) {
		t.Helper()
		c := click(id, 0)
		c.Flags = engine.ClickBudgeted
		writeClicks(t, s, node, append(slices.Repeat([]engine.Click{c}, n), click(id, 1))...) // the last one is free
	}
	return []rule{
		{"leases come out of one budget until it is used up", func(t *testing.T, s engine.Store) {
			id, other := budget(t, s, "b", 10), budget(t, s, "other", 5)
			lease(t, s, nodeA, id, 4, 4)
			lease(t, s, nodeB, id, 4, 4)
			lease(t, s, nodeA, id, 4, 2)
			lease(t, s, nodeB, id, 4, 0)
			lease(t, s, nodeA, other, 100, 5)
			lease(t, s, nodeA, id, 0, 0)
		}},
		{"a link that is gone or has no budget is not found", func(t *testing.T, s engine.Store) {
			_, err := s.LeaseVisits(t.Context(), nodeA, 4711, 1, 1)
			wantCode(t, "LeaseVisits of no link", err, engine.CodeNotFound)
			_, err = s.LeaseVisits(t.Context(), nodeA, create(t, s, link("free")).ID, 1, 1)
			wantCode(t, "LeaseVisits without a budget", err, engine.CodeNotFound)
		}},
		{"parallel leases never exceed the budget", func(t *testing.T, s engine.Store) {
			const n, visits = 12, 25
			id := budget(t, s, "race", visits)
			got := make([]int64, n)
			parallel(n, func(i int) {
				node := engine.NodeID(fmt.Sprint("node", i%3))
				for range 3 {
					leased, err := s.LeaseVisits(t.Context(), node, id, 3, 3)
					if err != nil {
						t.Errorf("LeaseVisits: %v", err)
					}
					got[i] += leased.Visits
				}
			})
			var total int64
			for _, n := range got {
				total += n
			}
			if total != visits {
				t.Errorf("parallel leases took %d of %d visits", total, visits)
			}
		}},
		{"returned visits can be leased again, never more than are free", func(t *testing.T, s engine.Store) {
			id := budget(t, s, "b", 10)
			lease(t, s, nodeA, id, 10, 10)
			use(t, s, nodeA, id, 3)
			must(t, s.ReturnVisits(t.Context(), nodeA, id, 2))
			lease(t, s, nodeB, id, 10, 2)
			must(t, s.ReturnVisits(t.Context(), nodeA, id, 100))
			lease(t, s, nodeB, id, 10, 5)
			must(t, s.ReturnVisits(t.Context(), nodeA, id, 1))
			must(t, s.ReturnVisits(t.Context(), nodeA, id, 0))
			must(t, s.ReturnVisits(t.Context(), nodeA, id, -5))
			must(t, s.ReturnVisits(t.Context(), nodeA, 4711, 5))
			lease(t, s, nodeB, id, 10, 0)
		}},
		{"a node that starts again reclaims all but what its clicks used", func(t *testing.T, s engine.Store) {
			id, other, untouched := budget(t, s, "b", 10), budget(t, s, "other", 10), budget(t, s, "untouched", 10)
			lease(t, s, nodeA, id, 6, 6)
			lease(t, s, nodeB, id, 2, 2)
			lease(t, s, nodeA, other, 10, 10)
			lease(t, s, nodeB, untouched, 10, 10)
			use(t, s, nodeA, id, 1)
			use(t, s, nodeA, id, 3)
			for range 2 { // the second time there is nothing left to reclaim
				must(t, s.ReclaimVisits(t.Context(), nodeA))
			}
			lease(t, s, nodeA, id, 10, 4)
			lease(t, s, nodeB, other, 20, 10)
			lease(t, s, nodeA, untouched, 1, 0)
			use(t, s, nodeA, id, 4)
			must(t, s.ReclaimVisits(t.Context(), nodeA))
			lease(t, s, nodeA, id, 1, 0)
		}},
		{"a budget can be raised, lowered, taken away and given again", func(t *testing.T, s engine.Store) {
			id := budget(t, s, "b", 5)
			lease(t, s, nodeA, id, 5, 5)
			use(t, s, nodeA, id, 5)
			setBudget(t, s, id, 8)
			lease(t, s, nodeA, id, 10, 3)
			setBudget(t, s, id, 2)
			lease(t, s, nodeA, id, 10, 0)
			must(t, s.ReturnVisits(t.Context(), nodeA, id, 3))
			lease(t, s, nodeA, id, 10, 0)
			setBudget(t, s, id, 0)
			_, err := s.LeaseVisits(t.Context(), nodeA, id, 1, 1)
			wantCode(t, "LeaseVisits of a budget taken away", err, engine.CodeNotFound)
			setBudget(t, s, id, 6)
			lease(t, s, nodeA, id, 10, 1)
		}},
	}
}
