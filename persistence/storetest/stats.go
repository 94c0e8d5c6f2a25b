package storetest

import (
	"reflect"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

func statsRules() []rule {
	hours := func(n int) time.Time { return epoch.Add(time.Duration(n) * time.Hour) }
	point := func(hour int, clicks int64) engine.StatsPoint {
		return engine.StatsPoint{Start: hours(hour), Clicks: clicks}
	}
	// fill stores clicks in hours 0, 1, 23, 24 and 50, in two batches, some of which are no visits. between is done between the batches.
	fill := func(t *testing.T, s engine.Store, between func(*testing.T, engine.Store)) engine.LinkID {
		t.Helper()
		l, other := create(t, s, link("counted")), create(t, s, link("other"))
		at := func(seconds int, referrer string, flags engine.ClickFlags) engine.Click {
			c := click(l.ID, seconds)
			c.Referrer, c.Flags = []byte(referrer), flags
			return c
		}
		writeClicks(t, s, nodeA, at(0, "https://B.example/1", 0), at(3599, "https://b.example/2", engine.ClickHead), at(3600, "", 0),
			at(23*3600, "https://a.example/", engine.ClickPrefetch), click(other.ID, 0))
		between(t, s)
		writeClicks(t, s, nodeB, at(1, "https://b.example/", engine.ClickBudgeted), at(24*3600, "https://a.example/", 0), at(50*3600+1, "", 0),
			at(50*3600, "https://c.example/", engine.ClickHead|engine.ClickPrefetch))
		return l.ID
	}
	nothing := func(*testing.T, engine.Store) {}
	seal := func(t *testing.T, s engine.Store) {
		t.Helper()
		must(t, s.SealDays(t.Context(), hours(48), 1)) // hour 50 stays outside
	}
	all := engine.Stats{
		Clicks: 8, Visits: 5, Series: []engine.StatsPoint{point(0, 3), point(1, 1), point(23, 1), point(24, 1), point(50, 2)},
		Referrers: []engine.StatsValue{{Value: "b.example", Clicks: 3}, {Value: "", Clicks: 2}, {Value: "a.example", Clicks: 2}, {Value: "c.example", Clicks: 1}},
	}
	daily := all
	daily.Series = []engine.StatsPoint{point(0, 5), point(24, 1), point(48, 2)}
	first := all
	first.Referrers = all.Referrers[:2]
	none := all
	none.Referrers = nil
	middle := engine.Stats{
		Clicks: 3, Visits: 2, Series: []engine.StatsPoint{point(1, 1), point(23, 1), point(24, 1)},
		Referrers: []engine.StatsValue{{Value: "a.example", Clicks: 2}, {Value: "", Clicks: 1}},
	}
	late := engine.Stats{
		Clicks: 2, Visits: 1, Series: []engine.StatsPoint{point(48, 2)}, Referrers: []engine.StatsValue{{Value: "", Clicks: 1}, {Value: "c.example", Clicks: 1}},
	}
	rules := []rule{
		{"a link's own count is that of its clicks", func(t *testing.T, s engine.Store) {
			l, err := s.Link(t.Context(), fill(t, s, nothing))
			must(t, err)
			if l.Clicks != 8 {
				t.Errorf("Link: clicks = %d, want 8", l.Clicks)
			}
		}},
		{"the stats of no link are not found, those of a link without clicks are empty", func(t *testing.T, s engine.Store) {
			writeClicks(t, s, nodeA, click(4711, 0))
			_, err := s.Stats(t.Context(), engine.StatsQuery{Link: 4711})
			wantCode(t, "Stats", err, engine.CodeNotFound)
			got, err := s.Stats(t.Context(), engine.StatsQuery{Link: create(t, s, link("quiet")).ID, Referrers: 10})
			must(t, err)
			if got.Clicks != 0 || got.Visits != 0 || len(got.Series) != 0 || len(got.Referrers) != 0 {
				t.Errorf("Stats without clicks = %+v, want none", got)
			}
		}},
	}
	for name, c := range map[string]struct {
		q    engine.StatsQuery
		want engine.Stats
	}{
		"by hour since ever, referrers by clicks and then by value": {engine.StatsQuery{Referrers: 10}, all},
		"by UTC day":                 {engine.StatsQuery{Daily: true, Referrers: 10}, daily},
		"as many referrers as asked": {engine.StatsQuery{Referrers: 2}, first},
		"no referrers":               {engine.StatsQuery{}, none},
		"a range that includes its start, not its end": {engine.StatsQuery{From: hours(1), To: hours(50), Referrers: 10}, middle},
		"a range without end, by day":                  {engine.StatsQuery{From: hours(25), Daily: true, Referrers: 10}, late},
	} {
		for state, do := range map[string][2]func(*testing.T, engine.Store){
			"":                              {nothing, nothing},
			", when its days are sealed":    {nothing, seal},
			", when clicks come afterwards": {seal, nothing},
			", when they are sealed again":  {seal, seal},
		} {
			rules = append(rules, rule{name + state, func(t *testing.T, s engine.Store) {
				q := c.q
				q.Link = fill(t, s, do[0])
				do[1](t, s)
				got, err := s.Stats(t.Context(), q)
				must(t, err)
				wantStats(t, got, c.want)
			}})
		}
	}
	return append(rules, rule{"figures are exact whatever is sealed, and when", ProveSealing})
}

func wantStats(t *testing.T, got, want engine.Stats) {
	t.Helper()
	for _, s := range []*engine.Stats{&got, &want} {
		if len(s.Referrers) == 0 {
			s.Referrers = nil
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Stats\n got %+v\nwant %+v", got, want)
	}
}
