package sqlite

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/deltas"
	"github.com/carom-dev/carom/persistence/storetest"
)

func rowsIn(t *testing.T, s *Store, table string) (n int) {
	t.Helper()
	if err := s.reader.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestFiguresAreWholeWhileTheyAreFolded(t *testing.T) {
	s := openInside(t)
	f := storetest.NewFolding(t, s)
	f.Run(t, s, []engine.Store{s, s, s}, s)
	f.Want(t, s)
	for _, table := range []string{"click_hours", "click_days"} {
		if n := rowsIn(t, s, table); n == 0 {
			t.Errorf("nothing came to %s, so the test shows nothing", table)
		}
	}
	f.Seal(t, s)
	if n := rowsIn(t, s, "deltas"); n != 0 {
		t.Errorf("%d rows of deltas are left behind a seal, want 0", n)
	}
	f.Want(t, s)
}

// TestDeltasAreFoldedInTurn writes large batches, whose deltas must not pile up, and then small ones, which fold what is left.
func TestDeltasAreFoldedInTurn(t *testing.T) {
	s := openInside(t)
	const large, small, clicks = 3 * deltas.Buckets, 2 * deltas.Buckets, 300
	at := engine.Position(0)
	write := func(n int) {
		t.Helper()
		b := &engine.ClickBatch{Node: "n", Moves: []engine.LaneMove{{From: at, To: at + 1}}}
		for i := range n {
			b.Clicks = append(b.Clicks, engine.Click{At: 1_790_000_000_000_000, Link: engine.LinkID(1 + deltas.Buckets*i), Status: 302})
		}
		if err := s.WriteClicks(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		at++
	}
	most := 0
	for range large {
		write(clicks)
		most = max(most, rowsIn(t, s, "deltas"))
	}
	if bound := 2 * deltas.Buckets * deltas.Buckets; most > bound || most < bound/4 {
		t.Errorf("up to %d rows of deltas waited, want at most %d, and some", most, bound)
	}
	for range small {
		write(1)
	}
	if n := rowsIn(t, s, "deltas"); n != 0 {
		t.Errorf("%d rows of deltas wait behind small batches, want 0", n)
	}
	var hours, totals int
	if err := s.reader.QueryRowContext(t.Context(), "SELECT (SELECT sum(clicks) FROM click_hours), (SELECT sum(clicks) FROM link_totals)").Scan(&hours, &totals); err != nil {
		t.Fatal(err)
	}
	if want := large*clicks + small; hours != want || totals != want {
		t.Errorf("%d clicks in the hours and %d in the totals, want %d", hours, totals, want)
	}
}

// TestDamagedDeltasAreSetAside breaks a row: the figures of its bucket say so until it is set aside, all others and the storing of clicks go on.
func TestDamagedDeltasAreSetAside(t *testing.T) {
	s := openInside(t)
	var log bytes.Buffer
	s.log = slog.New(slog.NewTextHandler(&log, nil))
	f := storetest.NewFolding(t, s)
	f.Run(t, s, []engine.Store{s})
	if _, err := s.writer.ExecContext(t.Context(), "INSERT INTO deltas (bucket, kind, payload) VALUES (7, 1, x'ff'), (7, 2, x'01'), (7, 3, x'')"); err != nil {
		t.Fatal(err)
	}
	if err := s.foldAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.Want(t, s)
	if n := rowsIn(t, s, "deltas WHERE bucket = -1"); n != 3 {
		t.Errorf("%d rows are set aside, want the damaged ones", n)
	}
	if n := rowsIn(t, s, "deltas"); n != 3 {
		t.Errorf("%d rows are left, want the damaged ones alone", n)
	}
	if got := strings.Count(log.String(), "damaged"); got != 3 {
		t.Errorf("the log tells of damage %d times, want once for each: %s", got, &log)
	}
}
