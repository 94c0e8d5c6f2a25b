package postgres_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/postgres"
	"github.com/carom-dev/carom/persistence/storetest"
)

// TestSealingWithDeltas: what waits to be folded counts as well, and so do late folds of a sealed day.
func TestSealingWithDeltas(t *testing.T) {
	t.Parallel()
	s := open(t, postgres.Config{URL: database(t)})
	s.FoldEarly()
	storetest.ProveSealing(t, s)
}

// sealedLink is a link with clicks in each of 40 days from 20 February 2026 on, 2 a day, by two referrers.
func sealedLink(t *testing.T, s *postgres.Store) engine.LinkID {
	t.Helper()
	l, _, err := s.CreateLink(t.Context(), aLink("sealed"), engine.Author{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var clicks []engine.Click
	for day := range sealedLinkDays {
		for hour, referrer := range []string{"https://a.example/", "https://b.example/"} {
			at := sealedLinkStart.AddDate(0, 0, day).Add(time.Duration(hour) * time.Hour)
			clicks = append(clicks, engine.Click{At: at.UnixMicro(), Link: l.ID, Status: 302, Referrer: []byte(referrer)})
		}
	}
	store(t, s, clicks)
	return l.ID
}

const sealedLinkDays = 40

var (
	sealedLinkStart = time.Date(2026, 2, 20, 0, 0, 0, 0, time.UTC)
	sealedLinkEnd   = sealedLinkStart.AddDate(0, 0, sealedLinkDays)
)

// store stores clicks as the next ones of lane 0.
func store(t *testing.T, s *postgres.Store, clicks []engine.Click) {
	t.Helper()
	lanes, err := s.Checkpoints(t.Context(), node)
	if err != nil {
		t.Fatal(err)
	}
	move := engine.LaneMove{From: lanes[0], To: lanes[0] + engine.Position(len(clicks))}
	if err := s.WriteClicks(t.Context(), &engine.ClickBatch{Node: node, Moves: []engine.LaneMove{move}, Clicks: clicks}); err != nil {
		t.Fatal(err)
	}
}

// wantClicks wants so many clicks in the figures, and so many of the first referrer.
func wantClicks(t *testing.T, s *postgres.Store, id engine.LinkID, clicks, first int64) {
	t.Helper()
	for _, daily := range []bool{false, true} {
		got, err := s.Stats(t.Context(), engine.StatsQuery{Link: id, Daily: daily, Referrers: 10})
		if err != nil {
			t.Fatal(err)
		}
		points, referrers := int64(0), int64(0)
		for _, p := range got.Series {
			points += p.Clicks
		}
		for _, r := range got.Referrers {
			referrers += r.Clicks
		}
		if got.Clicks != clicks || points != clicks || referrers != clicks || len(got.Referrers) == 0 || got.Referrers[0].Clicks != first {
			t.Errorf("%d clicks, %d in the series, %d by referrer, of which %+v, want %d clicks and %d of the first referrer",
				got.Clicks, points, referrers, got.Referrers, clicks, first)
		}
	}
}

// TestSealedDaysAreWhatIsRead takes away the hours of sealed days: figures come without them. And it takes away the totals, so that the days are
// not believed: then the hours are missing.
func TestSealedDaysAreWhatIsRead(t *testing.T) {
	t.Parallel()
	url := database(t)
	s := open(t, postgres.Config{URL: url})
	id := sealedLink(t, s)
	if err := s.SealDays(t.Context(), sealedLinkEnd.AddDate(0, 0, -1), 2*sealedLinkDays); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, url)
	exec(t, conn, "DELETE FROM click_hours WHERE hour < $1", sealedLinkEnd.AddDate(0, 0, -1))
	exec(t, conn, "DELETE FROM click_rollups WHERE hour < $1", sealedLinkEnd.AddDate(0, 0, -1))
	wantClicks(t, s, id, 2*sealedLinkDays, sealedLinkDays)
	exec(t, conn, "DELETE FROM click_day_rollups WHERE day >= '2026-03-01' AND day < '2026-03-31'")
	exec(t, conn, "UPDATE click_seals SET until = '2026-04-01'") // with which March is whole
	exec(t, conn, `INSERT INTO click_month_rollups SELECT link_id, dimension, '2026-03-01', value, 31 FROM click_day_rollups WHERE day = '2026-02-28'`)
	exec(t, conn, "UPDATE click_seals SET clicks = (SELECT clicks FROM link_totals)")
	got, err := s.Stats(t.Context(), engine.StatsQuery{Link: id, Referrers: 10})
	if err != nil || len(got.Referrers) != 2 || got.Referrers[0].Clicks != 31+9 {
		t.Errorf("Stats = %+v, %v, want 9 clicks of February's days and 31 of March of each referrer", got.Referrers, err)
	}
	exec(t, conn, "UPDATE link_totals SET clicks = clicks + 1")
	if got, err := s.Stats(t.Context(), engine.StatsQuery{Link: id}); err != nil || got.Clicks != 2 {
		t.Errorf("Stats = %+v, %v with totals that don't agree, want the 2 clicks whose hours are there", got, err)
	}
}

// TestLinksWithFewClicksAreNotSealed: they would take as many rows again.
func TestLinksWithFewClicksAreNotSealed(t *testing.T) {
	t.Parallel()
	url := database(t)
	s := open(t, postgres.Config{URL: url})
	id := sealedLink(t, s)
	for _, step := range []struct {
		least int64
		want  int // sealed days
	}{{2*sealedLinkDays + 1, 0}, {2 * sealedLinkDays, sealedLinkDays}} {
		if err := s.SealDays(t.Context(), sealedLinkEnd, step.least); err != nil {
			t.Fatal(err)
		}
		if n := rowsIn(t, url, "click_days"); n != step.want {
			t.Errorf("%d sealed days when links with %d clicks are, want %d", n, step.least, step.want)
		}
	}
	// A link that was read while a sealed day was not to be believed is sealed again, however few clicks it got.
	late := engine.Click{At: sealedLinkStart.UnixMicro(), Link: id, Status: 302, Referrer: []byte("https://a.example/")}
	store(t, s, []engine.Click{late})
	wantClicks(t, s, id, 2*sealedLinkDays+1, sealedLinkDays+1)
	if err := s.SealDays(t.Context(), sealedLinkEnd, 1000); err != nil {
		t.Fatal(err)
	}
	var sealed int64
	if err := connect(t, url).QueryRow(t.Context(), "SELECT clicks FROM click_seals").Scan(&sealed); err != nil || sealed != 2*sealedLinkDays+1 {
		t.Errorf("the seal has %d clicks, %v, want %d", sealed, err, 2*sealedLinkDays+1)
	}
	wantClicks(t, s, id, 2*sealedLinkDays+1, sealedLinkDays+1)
}

// TestSealingBesideThePreviousVersion goes through a rolling upgrade: clicks of before the schema had sealed days, and clicks of an instance of the
// previous version that stores on. That one adds to hours and totals as this one does, and does not know that there is more.
func TestSealingBesideThePreviousVersion(t *testing.T) {
	t.Parallel()
	url := database(t)
	conn := connect(t, url)
	for _, text := range []string{
		"DROP TABLE click_days, click_day_rollups, click_month_rollups, click_seals", "DELETE FROM schema_versions WHERE version_id >= 4",
	} {
		exec(t, conn, text)
	}
	previous := open(t, postgres.Config{URL: url})
	id := sealedLink(t, previous) // in a database of the previous version
	s := open(t, postgres.Config{URL: url})
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	clicks := int64(2 * sealedLinkDays)
	wantClicks(t, s, id, clicks, clicks/2)
	for _, days := range []int{35, sealedLinkDays, sealedLinkDays} {
		if err := s.SealDays(t.Context(), sealedLinkStart.AddDate(0, 0, days), 1); err != nil {
			t.Fatal(err)
		}
		wantClicks(t, s, id, clicks, clicks-sealedLinkDays)
		// The previous version's statements on the tables it knows, for a click of a sealed day in each of two months.
		for _, hour := range []time.Time{sealedLinkStart.Add(time.Hour), sealedLinkStart.AddDate(0, 0, 20)} {
			exec(t, conn, `INSERT INTO click_hours AS h (link_id, hour, clicks, visits) VALUES ($1, $2, 1, 1)
				ON CONFLICT (link_id, hour) DO UPDATE SET clicks = h.clicks + excluded.clicks, visits = h.visits + excluded.visits`, int64(id), hour)
			exec(t, conn, `INSERT INTO click_rollups AS r (link_id, hour, dimension, value, clicks) VALUES ($1, $2, 'referrer', $3, 1)
				ON CONFLICT (link_id, hour, dimension, value) DO UPDATE SET clicks = r.clicks + excluded.clicks`, int64(id), hour, "b.example")
			exec(t, conn, "UPDATE link_totals SET clicks = clicks + 1, visits = visits + 1 WHERE link_id = $1", int64(id))
			clicks++
			wantClicks(t, s, id, clicks, clicks-sealedLinkDays)
		}
		if err := s.SealDays(t.Context(), sealedLinkStart.AddDate(0, 0, days), 1); err != nil {
			t.Fatal(err)
		}
		wantClicks(t, s, id, clicks, clicks-sealedLinkDays)
	}
}

func exec(t *testing.T, conn *pgx.Conn, text string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), text, args...); err != nil {
		t.Fatal(err)
	}
}
