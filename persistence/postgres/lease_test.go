package postgres_test

import (
	"fmt"
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
		if got, err := s.LeaseVisits(t.Context(), node, l.ID, want, want); err != nil || got.Visits != expect {
			t.Errorf("LeaseVisits for %s of %d = %+v, %v, want %d", node, want, got, err, expect)
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

// TestLeasesLeaveEnoughForOtherInstances holds that a small budget goes out visit by visit, that need comes first, and that it is told when what
// is missing is with others.
func TestLeasesLeaveEnoughForOtherInstances(t *testing.T) {
	t.Parallel()
	s := open(t, postgres.Config{URL: database(t)})
	create := func(code string, visits int64) engine.LinkID {
		l := aLink(code)
		l.MaxVisits = visits
		l, _, err := s.CreateLink(t.Context(), l, engine.Author{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return l.ID
	}
	large, small := create("large", 1000), create("small", 10)
	for i, step := range []struct {
		node       engine.NodeID
		link       engine.LinkID
		need, want int64
		expect     engine.VisitLease
	}{
		{"a", large, 1, 64, engine.VisitLease{Visits: 64}},
		{"a", large, 1, 4096, engine.VisitLease{Visits: 117}}, // an eighth of 936
		{"b", large, 300, 64, engine.VisitLease{Visits: 300}},
		{"a", small, 1, 64, engine.VisitLease{Visits: 1}},
		{"b", small, 1, 64, engine.VisitLease{Visits: 1}},
		{"b", small, 5, 64, engine.VisitLease{Visits: 5}},
		{"a", small, 5, 64, engine.VisitLease{Visits: 3}},
		{"a", small, 1, 64, engine.VisitLease{Elsewhere: true}},
		{"c", small, 1, 64, engine.VisitLease{Elsewhere: true}},
	} {
		if got, err := s.LeaseVisits(t.Context(), step.node, step.link, step.need, step.want); err != nil || got != step.expect {
			t.Errorf("step %d: lease = %+v, %v, want %+v", i, got, err, step.expect)
		}
	}
	if err := s.ReturnVisits(t.Context(), "b", small, 6); err != nil {
		t.Fatal(err)
	}
	for _, expect := range []engine.VisitLease{{Visits: 6}, {}} { // all that is left is its own
		if got, err := s.LeaseVisits(t.Context(), "a", small, 6, 64); err != nil || got != expect {
			t.Errorf("lease after a return = %+v, %v, want %+v", got, err, expect)
		}
	}
}

// TestReclaimsOfManyLinksAreSteps reclaims the leases of more links than one transaction takes.
func TestReclaimsOfManyLinksAreSteps(t *testing.T) {
	t.Parallel()
	url := database(t)
	s := open(t, postgres.Config{URL: url})
	const links = 2500
	batch := make([]engine.Link, links)
	for i := range batch {
		batch[i] = aLink(fmt.Sprintf("limited-%d", i))
		batch[i].MaxVisits = 10
	}
	if _, err := s.ImportLinks(t.Context(), batch, engine.ConflictError, engine.Author{}); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, url)
	for _, text := range []string{
		"INSERT INTO visit_leases (node, link_id, outstanding) SELECT 'gone', id, id % 3 FROM links",
		"INSERT INTO visit_leases (node, link_id, outstanding) SELECT 'lives', id, 1 FROM links",
		"UPDATE links SET visits_leased = id % 3 + 1",
	} {
		if _, err := conn.Exec(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.ReclaimVisits(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	var leases, visits int64
	if err := conn.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM visit_leases), (SELECT sum(visits_leased) FROM links)").Scan(&leases, &visits); err != nil {
		t.Fatal(err)
	}
	if leases != links || visits != links {
		t.Errorf("%d leases of %d visits are left, want the %d of the other node", leases, visits, links)
	}
}

// TestLongTransactionsMayTakeLongerThanAQuery holds a link that a reclaim needs for longer than QueryTimeout, as the sessions of the pool would bound
// its statements.
func TestLongTransactionsMayTakeLongerThanAQuery(t *testing.T) {
	t.Parallel()
	url := database(t)
	s := open(t, postgres.Config{URL: url, QueryTimeout: 200 * time.Millisecond, WriteTimeout: time.Minute})
	l := aLink("limited")
	l.MaxVisits = 10
	l, _, err := s.CreateLink(t.Context(), l, engine.Author{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.LeaseVisits(t.Context(), "node", l.ID, 5, 5); err != nil {
		t.Fatal(err)
	}
	held, err := connect(t, url).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := held.Exec(t.Context(), "SELECT 1 FROM links WHERE id = $1 FOR UPDATE", int64(l.ID)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.ReclaimVisits(t.Context(), "node") }()
	watcher := connect(t, url)
	for waits := false; !waits; {
		select {
		case err := <-done:
			t.Fatalf("ReclaimVisits = %v while the link was held, want that it waits", err)
		default:
		}
		err := watcher.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND now() - query_start > interval '400 ms')`).Scan(&waits)
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := held.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("ReclaimVisits = %v", err)
	}
}
