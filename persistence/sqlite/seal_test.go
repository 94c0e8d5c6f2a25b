package sqlite

import (
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

// TestSealedDaysAreWhatIsRead takes away the hours of sealed days: figures come without them. With another total the days are not believed, and
// then the hours are missing.
func TestSealedDaysAreWhatIsRead(t *testing.T) {
	s := openInside(t)
	l, _, err := s.CreateLink(t.Context(), engine.Link{Domain: 1, Code: "a", Target: "https://example.com/", RedirectStatus: 302}, engine.Author{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	const days = 40 // from the middle of a month on, so that one is whole
	start := time.Date(2026, 2, 20, 5, 0, 0, 0, time.UTC)
	var clicks []engine.Click
	for day := range days {
		clicks = append(clicks, engine.Click{At: start.AddDate(0, 0, day).UnixMicro(), Link: l.ID, Status: 302, Referrer: [][]byte{nil, []byte("https://site.example/")}[day%2]})
	}
	if err := s.WriteClicks(t.Context(), &engine.ClickBatch{Node: "n", Moves: []engine.LaneMove{{To: 1}}, Clicks: clicks}); err != nil {
		t.Fatal(err)
	}
	want := func(clicks int64) {
		t.Helper()
		got, err := s.Stats(t.Context(), engine.StatsQuery{Link: l.ID, Referrers: 10})
		var referrers int64
		for _, r := range got.Referrers {
			referrers += r.Clicks
		}
		if err != nil || got.Clicks != clicks || len(got.Series) != int(clicks) || referrers != clicks {
			t.Errorf("Stats = %+v, %v, want %d clicks in as many hours", got, err, clicks)
		}
	}
	until := start.AddDate(0, 0, days-1).Truncate(24 * time.Hour)
	for _, step := range []struct{ least, sealed int64 }{{days + 1, 0}, {days, days - 1}} {
		if err := s.SealDays(t.Context(), until, step.least); err != nil {
			t.Fatal(err)
		}
		var n int64
		if err := s.reader.QueryRowContext(t.Context(), "SELECT count(*) FROM click_days").Scan(&n); err != nil || n != step.sealed {
			t.Errorf("%d days are sealed when links with %d clicks are, %v, want %d", n, step.least, err, step.sealed)
		}
		want(days)
	}
	// A late click of the first day: its month and the ones behind it are sealed anew.
	late := &engine.ClickBatch{Node: "n", Moves: []engine.LaneMove{{From: 1, To: 2}}, Clicks: []engine.Click{{At: start.Add(time.Hour).UnixMicro(), Link: l.ID, Status: 302}}}
	if err := s.WriteClicks(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	want(days + 1)
	if err := s.SealDays(t.Context(), until, 1); err != nil {
		t.Fatal(err)
	}
	want(days + 1)
	for _, table := range []string{"click_hours", "click_rollups"} {
		if _, err := s.writer.ExecContext(t.Context(), "DELETE FROM "+table+" WHERE hour < ?", until.Unix()); err != nil {
			t.Fatal(err)
		}
	}
	want(days + 1)
	if _, err := s.writer.ExecContext(t.Context(), "UPDATE link_totals SET clicks = clicks + 1"); err != nil {
		t.Fatal(err)
	}
	want(1)
}
