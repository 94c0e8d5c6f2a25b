package postgres_test

import (
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/postgres"
	"github.com/carom-dev/carom/persistence/storetest"
)

// TestFiguresAreWholeWhileTheyAreFolded has instances write batches whose rollups are folded, and whose day is sealed, all the time.
func TestFiguresAreWholeWhileTheyAreFolded(t *testing.T) {
	t.Parallel()
	url := database(t)
	s := open(t, postgres.Config{URL: url})
	f := storetest.NewFolding(t, s)
	early := open(t, postgres.Config{URL: url})
	early.FoldEarly() // of some buckets after each batch
	nodes := []engine.Store{early, open(t, postgres.Config{URL: url}), open(t, postgres.Config{URL: url})}
	f.Run(t, s, nodes, s, open(t, postgres.Config{URL: url}))
	f.Want(t, s)
	for _, table := range []string{"click_hours", "click_days"} {
		if n := rowsIn(t, url, table); n == 0 {
			t.Errorf("nothing came to %s, so the test shows nothing", table)
		}
	}
	if err := s.MaintainPartitions(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if n := rowsIn(t, url, "rollup_deltas"); n != 0 {
		t.Errorf("%d rows of deltas are left by the maintenance, want 0", n)
	}
	f.Seal(t, s)
	f.Want(t, s)
}

func rowsIn(t *testing.T, url, table string) (n int) {
	t.Helper()
	if err := connect(t, url).QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
