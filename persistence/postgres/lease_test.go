package postgres_test

import (
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/postgres"
)

// TestLeaseOfANodeThatNeverReturnsExpires holds that its visits come back, those that its stored clicks used do not, and that no other lease is touched.
func TestLeaseOfANodeThatNeverReturnsExpires(t *testing.T) {
	t.Parallel()
	url := database(t)
	s := open(t, postgres.Config{URL: url})
	l := aLink("limited")
	l.MaxVisits = 100
	l, _, err := s.CreateLink(t.Context(), l, engine.Author{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	lease := func(node engine.NodeID, want, expect int64) {
		t.Helper()
		if got, err := s.LeaseVisits(t.Context(), node, l.ID, want); err != nil || got != expect {
			t.Errorf("LeaseVisits for %s of %d = %d, %v, want %d", node, want, got, err, expect)
		}
	}
	use := func(node engine.NodeID, from, n int) {
		t.Helper()
		clicks := make([]engine.Click, n)
		for i := range clicks {
			clicks[i] = engine.Click{At: time.Now().UnixMicro(), Link: l.ID, Status: 302, Flags: engine.ClickBudgeted}
		}
		move := engine.LaneMove{From: engine.Position(from), To: engine.Position(from + n)}
		if err := s.WriteClicks(t.Context(), &engine.ClickBatch{Node: node, Moves: []engine.LaneMove{move}, Clicks: clicks}); err != nil {
			t.Fatal(err)
		}
	}
	maintain := func() {
		t.Helper()
		if err := s.MaintainPartitions(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	conn := connect(t, url)
	age := func(node engine.NodeID) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), "UPDATE visit_leases SET renewed_at = now() - interval '25 hours' WHERE node = $1", string(node)); err != nil {
			t.Fatal(err)
		}
	}
	const gone, lives, later = engine.NodeID("gone"), engine.NodeID("lives"), engine.NodeID("later")
	lease(gone, 60, 60)
	use(gone, 0, 10)
	lease(lives, 40, 40)
	maintain()
	lease(later, 1, 0)
	age(gone)
	age(lives)
	lease(lives, 0, 0)
	if err := s.ReturnVisits(t.Context(), lives, l.ID, 5); err != nil { // does not renew it
		t.Fatal(err)
	}
	lease(lives, 5, 5) // does
	maintain()
	lease(later, 100, 50)
	// It does come back, with visits that it gave out before: they are counted, and nothing more is given out.
	use(gone, 10, 20)
	age(gone)
	maintain()
	if err := s.ReturnVisits(t.Context(), later, l.ID, 30); err != nil {
		t.Fatal(err)
	}
	lease(lives, 100, 10)
}
