package postgres_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/postgres"
)

// foldedLinks are links of two buckets, with many hours and referrers, so that each batch of manyFigures fills a bucket.
const (
	foldedLinks     = 6
	foldedHours     = 24
	foldedReferrers = 40
)

// dayAfterFolded begins after all clicks of manyFigures.
var dayAfterFolded = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// linksToFold makes links whose ids lie in two buckets.
func linksToFold(t *testing.T, s *postgres.Store) []engine.LinkID {
	t.Helper()
	links := make([]engine.Link, 64*foldedLinks/2)
	for i := range links {
		links[i] = aLink(fmt.Sprint("folded", i))
	}
	results, err := s.ImportLinks(t.Context(), links, engine.ConflictError, engine.Author{})
	if err != nil {
		t.Fatal(err)
	}
	var ids []engine.LinkID
	for _, r := range results {
		if r.ID%64 < 2 {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// manyFigures are clicks of all hours and referrers of the links.
func manyFigures(ids []engine.LinkID) []engine.Click {
	start := dayAfterFolded.AddDate(0, 0, -1)
	var clicks []engine.Click
	for _, id := range ids {
		for hour := range foldedHours {
			for n := range foldedReferrers {
				c := engine.Click{At: start.Add(time.Duration(hour)*time.Hour + time.Duration(n)).UnixMicro(), Link: id, Visitor: uint64(n), Status: 302}
				if c.Referrer = fmt.Appendf(nil, "https://site%d.example/", n); n%4 == 0 {
					c.Flags = engine.ClickHead
				}
				clicks = append(clicks, c)
			}
		}
	}
	return clicks
}

// TestFiguresAreWholeWhileTheyAreFolded has instances write batches whose rollups are folded, and whose day is sealed, all the time; at each
// moment each link's figures agree with each other.
func TestFiguresAreWholeWhileTheyAreFolded(t *testing.T) {
	t.Parallel()
	url := database(t)
	s := open(t, postgres.Config{URL: url})
	ids := linksToFold(t, s)
	const nodes, batches = 3, 4
	clicks := manyFigures(ids)
	var writing, reading sync.WaitGroup
	for n := range nodes {
		other := open(t, postgres.Config{URL: url})
		if n == 0 {
			other.FoldEarly() // of some buckets after each batch
		}
		writing.Go(func() {
			for b := range batches {
				batch := &engine.ClickBatch{
					Node: engine.NodeID(fmt.Sprint("node", n)), Moves: []engine.LaneMove{{From: engine.Position(b), To: engine.Position(b + 1)}}, Clicks: clicks,
				}
				if err := other.WriteClicks(t.Context(), batch); err != nil {
					t.Errorf("WriteClicks: %v", err)
				}
			}
		})
	}
	written := make(chan struct{})
	meanwhile := func(do func()) {
		reading.Go(func() {
			for {
				select {
				case <-written:
					return
				default:
					do()
				}
			}
		})
	}
	last := int64(0)
	meanwhile(func() { last = wantAgreement(t, s, ids[0], last) })
	for _, sealer := range []*postgres.Store{s, open(t, postgres.Config{URL: url})} {
		meanwhile(func() {
			if err := sealer.SealDays(t.Context(), dayAfterFolded, 1); err != nil {
				t.Errorf("SealDays: %v", err)
			}
		})
	}
	writing.Wait()
	close(written)
	reading.Wait()
	want := wantFigures(t, s, ids, nodes*batches)
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
	if err := s.SealDays(t.Context(), dayAfterFolded, 1); err != nil {
		t.Fatal(err)
	}
	if again := wantFigures(t, s, ids, nodes*batches); !slices.Equal(again.Referrers, want.Referrers) || !slices.Equal(again.Series, want.Series) {
		t.Errorf("figures after all is folded and sealed\n got %+v\nwant %+v", again, want)
	}
}

// wantAgreement wants a link's figures to agree with each other and not to fall; it returns their number of clicks.
func wantAgreement(t *testing.T, s *postgres.Store, id engine.LinkID, last int64) int64 {
	t.Helper()
	stats, err := s.Stats(t.Context(), engine.StatsQuery{Link: id, Referrers: 2 * foldedReferrers})
	if err != nil {
		t.Errorf("Stats: %v", err)
		return last
	}
	var series, referrers int64
	for _, p := range stats.Series {
		series += p.Clicks
	}
	for _, r := range stats.Referrers {
		referrers += r.Clicks
	}
	const each = foldedHours * foldedReferrers
	if stats.Clicks < last || stats.Clicks%each != 0 || stats.Visits != stats.Clicks*3/4 || series != stats.Clicks || referrers != stats.Clicks {
		t.Errorf("%d clicks after %d, %d visits, %d in the series, %d by referrer", stats.Clicks, last, stats.Visits, series, referrers)
	}
	return stats.Clicks
}

// wantFigures wants each link to have the clicks of n batches, and returns the figures of the last one.
func wantFigures(t *testing.T, s *postgres.Store, ids []engine.LinkID, n int64) (stats engine.Stats) {
	t.Helper()
	for _, id := range ids {
		var err error
		if stats, err = s.Stats(t.Context(), engine.StatsQuery{Link: id, Referrers: 2 * foldedReferrers}); err != nil {
			t.Fatal(err)
		}
		link, err := s.Link(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if want := n * foldedHours * foldedReferrers; stats.Clicks != want || link.Clicks != want || len(stats.Series) != foldedHours || len(stats.Referrers) != foldedReferrers {
			t.Errorf("link %d: %d clicks in its figures, %d of its own, %d hours, %d referrers, want %d, %d and %d", id, stats.Clicks, link.Clicks,
				len(stats.Series), len(stats.Referrers), want, foldedHours, foldedReferrers)
		}
		for _, r := range stats.Referrers {
			if r.Clicks != n*foldedHours {
				t.Errorf("link %d: %d clicks from %s, want %d", id, r.Clicks, r.Value, n*foldedHours)
			}
		}
	}
	return stats
}

func rowsIn(t *testing.T, url, table string) (n int) {
	t.Helper()
	if err := connect(t, url).QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestDeltasReadBackAsTheyWerePacked(t *testing.T) {
	t.Parallel()
	hours, rollups := engine.Aggregate(busyClicks(5000, 1))
	packed := postgres.PackDeltas(hours, rollups)
	gotHours, gotRollups, err := postgres.UnpackDeltas(packed)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(gotHours, hours) || !slices.Equal(gotRollups, rollups) {
		t.Errorf("%d hours and %d rollups read back, want %d and %d, the same ones", len(gotHours), len(gotRollups), len(hours), len(rollups))
	}
	for _, row := range packed[:3] {
		if _, _, err := postgres.UnpackDeltas([][]byte{row[:len(row)-1]}); err == nil {
			t.Error("a row that was cut reads back without an error")
		}
	}
}

func FuzzUnpackDeltas(f *testing.F) {
	for _, row := range postgres.PackDeltas(engine.Aggregate(busyClicks(50, 1))) {
		f.Add(row)
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, row []byte) {
		hours, rollups, err := postgres.UnpackDeltas([][]byte{row})
		if err != nil && (hours != nil || rollups != nil) {
			t.Errorf("UnpackDeltas(%x) = %v, %v with %v", row, hours, rollups, err)
		}
	})
}
