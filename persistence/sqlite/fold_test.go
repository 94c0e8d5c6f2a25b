package sqlite

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

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
			b.Clicks = append(b.Clicks, engine.Click{At: 1_790_000_000_000_000, Link: engine.LinkID(1 + deltas.Block*i), Status: 302})
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
	if n := rowsIn(t, s, "damaged_deltas"); n != 3 {
		t.Errorf("%d rows are set aside, want the damaged ones", n)
	}
	if n := rowsIn(t, s, "deltas"); n != 0 {
		t.Errorf("%d rows are left, want none", n)
	}
	if got := strings.Count(log.String(), "damaged"); got != 3 {
		t.Errorf("the log tells of damage %d times, want once for each: %s", got, &log)
	}
}

// spread are n clicks of as many links, in all buckets, with a referrer that starts with from.
func spread(n int, from string) []engine.Click {
	clicks := make([]engine.Click, n)
	for i := range clicks {
		clicks[i] = engine.Click{At: 1_790_000_000_000_000, Link: engine.LinkID(1 + deltas.Block*i), Status: 302, Referrer: fmt.Appendf(nil, "https://%s%d.example/", from, i)}
	}
	return clicks
}

// TestUpkeepEndsWhileClicksAreStored has a writer fill all buckets again and again, without a pause.
func TestUpkeepEndsWhileClicksAreStored(t *testing.T) {
	s := openInside(t)
	ctx, cancel := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	writing.Go(func() {
		for at := engine.Position(0); ctx.Err() == nil; at++ {
			batch := &engine.ClickBatch{Node: "n", Moves: []engine.LaneMove{{From: at, To: at + 1}}, Clicks: spread(1000, "site")}
			if err := s.WriteClicks(t.Context(), batch); err != nil {
				t.Errorf("WriteClicks: %v", err)
				return
			}
		}
	})
	if err := s.SealDays(t.Context(), time.Unix(0, 0), 1); err != nil {
		t.Errorf("SealDays: %v", err)
	}
	cancel()
	writing.Wait()
}

// TestOneLinkDoesNotHoldFoldingUp has a link whose referrers are new ones all the time, so that its bucket has most of what is written.
func TestOneLinkDoesNotHoldFoldingUp(t *testing.T) {
	s := openInside(t)
	l, _, err := s.CreateLink(t.Context(), engine.Link{Domain: 1, Code: "a", Target: "https://example.com/", RedirectStatus: 302}, engine.Author{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	const batches, each = 150, 2000
	for at := range engine.Position(batches) {
		clicks := spread(deltas.Buckets, "site")
		for i := range each {
			clicks = append(clicks, engine.Click{At: 1_790_000_000_000_000, Link: l.ID, Status: 302, Referrer: fmt.Appendf(nil, "https://new-%d-%d.example/", at, i)})
		}
		if err := s.WriteClicks(t.Context(), &engine.ClickBatch{Node: "n", Moves: []engine.LaneMove{{From: at, To: at + 1}}, Clicks: clicks}); err != nil {
			t.Fatal(err)
		}
		if n, bound := rowsIn(t, s, "deltas"), 2*deltasMax; n > bound {
			t.Fatalf("%d rows of deltas wait behind batch %d, want at most %d", n, at, bound)
		}
	}
	stats, err := s.Stats(t.Context(), engine.StatsQuery{Link: l.ID, Referrers: 1})
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(batches * (each + 1)); stats.Clicks != want { // one of spread's is this link's
		t.Errorf("the link has %d clicks, want %d", stats.Clicks, want)
	}
	if err := s.foldAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	var hours, referrers int64
	err = s.reader.QueryRowContext(t.Context(), `SELECT (SELECT sum(clicks) FROM click_hours WHERE link_id = ?1), (SELECT sum(clicks) FROM click_rollups WHERE link_id = ?1)`, int64(l.ID)).Scan(&hours, &referrers)
	if err != nil || hours != stats.Clicks || referrers != stats.Clicks {
		t.Errorf("the link has %d clicks in its hours and %d by referrer, %v, want %d", hours, referrers, err, stats.Clicks)
	}
}

// TestRunsOfLinksAreMadeAnew follows the runbook: the table is written anew while rows wait, and what waits is dropped, or not.
func TestRunsOfLinksAreMadeAnew(t *testing.T) {
	for _, drop := range []bool{true, false} {
		s := openInside(t)
		l, _, err := s.CreateLink(t.Context(), engine.Link{Domain: 1, Code: "a", Target: "https://example.com/", RedirectStatus: 302}, engine.Author{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		write := func(at engine.Position) {
			t.Helper()
			clicks := append(spread(300, "site"), engine.Click{At: 1, Link: l.ID, Status: 302})
			if err := s.WriteClicks(t.Context(), &engine.ClickBatch{Node: "n", Moves: []engine.LaneMove{{From: at, To: at + 1}}, Clicks: clicks}); err != nil {
				t.Fatal(err)
			}
		}
		for at := range engine.Position(70) { // until the link's bucket has been folded, and has some again
			write(at)
		}
		text := "INSERT OR IGNORE INTO link_runs SELECT link_id, last_id FROM click_runs;"
		if drop {
			text += "DELETE FROM deltas WHERE kind = 2; DELETE FROM damaged_deltas WHERE kind = 2"
		}
		if _, err := s.writer.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
		write(70)
		for range 2 {
			clicks, err := s.Clicks(t.Context(), engine.ClickQuery{Link: l.ID, Limit: 1000})
			if err != nil {
				t.Fatal(err)
			}
			if len(clicks) != 2*71 {
				t.Errorf("drop %v: the link has %d clicks in its list, want %d", drop, len(clicks), 2*71)
			}
			if err := s.foldAll(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestFlippedBitShowsNoClickOfAnotherLink changes which link has a run.
func TestFlippedBitShowsNoClickOfAnotherLink(t *testing.T) {
	s := openInside(t)
	for _, code := range []string{"a", "b"} {
		if _, _, err := s.CreateLink(t.Context(), engine.Link{Domain: 1, Code: code, Target: "https://example.com/", RedirectStatus: 302}, engine.Author{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.writer.ExecContext(t.Context(), "CREATE TRIGGER keep BEFORE DELETE ON deltas BEGIN SELECT RAISE(IGNORE); END"); err != nil { // it waits
		t.Fatal(err)
	}
	if err := s.WriteClicks(t.Context(), &engine.ClickBatch{Node: "n", Moves: []engine.LaneMove{{To: 1}}, Clicks: []engine.Click{{At: 1, Link: 1, Status: 302}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.writer.ExecContext(t.Context(), "UPDATE deltas SET payload = unhex('0201' || substr(hex(payload), 5))"); err != nil {
		t.Fatal(err)
	}
	_, err := s.Clicks(t.Context(), engine.ClickQuery{Link: 2, Limit: 10})
	if engine.ErrorCodeOf(err) != engine.CodeInternal {
		t.Errorf("Clicks of the other link = %v, want %s", err, engine.CodeInternal)
	}
}
