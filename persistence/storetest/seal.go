package storetest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

const (
	sealedDays   = 100 // over which the clicks of ProveSealing are, from the middle of a month on
	sealedRounds = 15
	sealedBatch  = 60
)

// ProveSealing stores clicks of any time, also of days that are sealed already, and seals days in between, now more of them and now fewer. After
// each step it wants the figures of some ranges to be what counting the clicks one by one gives.
func ProveSealing(t *testing.T, s engine.Store) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	start := epoch.AddDate(0, 0, 14)
	l, other := create(t, s, link("sealed")), create(t, s, link("beside"))
	var all []engine.Click
	for range sealedRounds {
		batch := make([]engine.Click, sealedBatch)
		for i := range batch {
			c := click(l.ID, 0)
			c.At = start.Add(time.Duration(random.IntN(sealedDays*24*60)) * time.Minute).UnixMicro()
			c.Referrer = fmt.Appendf(nil, "https://site%d.example/", random.IntN(6))
			c.Flags = []engine.ClickFlags{0, engine.ClickHead, engine.ClickPrefetch}[random.IntN(3)]
			batch[i] = c
		}
		all = append(all, batch...)
		batch = append(batch, click(other.ID, random.IntN(1e6)))
		writeClicks(t, s, nodeA, batch...)
		wantCounted(t, s, l.ID, all, random, start)
		if random.IntN(3) > 0 {
			until := start.Truncate(24*time.Hour).AddDate(0, 0, random.IntN(sealedDays+10))
			must(t, s.SealDays(t.Context(), until, random.Int64N(sealedBatch)))
			wantCounted(t, s, l.ID, all, random, start)
		}
	}
}

// wantCounted asks for all, and for ranges that begin and end anywhere.
func wantCounted(t *testing.T, s engine.Store, id engine.LinkID, all []engine.Click, random *rand.Rand, start time.Time) {
	t.Helper()
	for i := range 6 {
		q := engine.StatsQuery{Link: id, Daily: i%2 == 0, Referrers: 4}
		if i > 1 {
			q.From = start.Add(time.Duration(random.IntN(sealedDays*24)) * time.Hour)
			q.To = q.From.Add(time.Duration(1+random.IntN(sealedDays*24)) * time.Hour)
		}
		if i > 3 {
			q.From, q.To = q.From.Truncate(24*time.Hour), q.To.Truncate(24*time.Hour).AddDate(0, 0, 1)
		}
		got, err := s.Stats(t.Context(), q)
		must(t, err)
		wantStats(t, got, count(all, q))
	}
}

// count makes figures of the clicks themselves, in the plainest way.
func count(clicks []engine.Click, q engine.StatsQuery) (stats engine.Stats) {
	points, referrers := map[time.Time]int64{}, map[string]int64{}
	for i := range clicks {
		c := &clicks[i]
		at := time.UnixMicro(c.At).UTC()
		if !q.From.IsZero() && at.Before(q.From) || !q.To.IsZero() && !at.Before(q.To) {
			continue
		}
		unit := time.Hour
		if q.Daily {
			unit = 24 * time.Hour
		}
		points[at.Truncate(unit)]++
		referrers[engine.ReferrerHost(c.Referrer)]++
		stats.Clicks++
		if c.Flags&(engine.ClickHead|engine.ClickPrefetch) == 0 {
			stats.Visits++
		}
	}
	for at, n := range points {
		stats.Series = append(stats.Series, engine.StatsPoint{Start: at, Clicks: n})
	}
	slices.SortFunc(stats.Series, func(a, b engine.StatsPoint) int { return a.Start.Compare(b.Start) })
	for host, n := range referrers {
		stats.Referrers = append(stats.Referrers, engine.StatsValue{Value: host, Clicks: n})
	}
	slices.SortFunc(stats.Referrers, func(a, b engine.StatsValue) int {
		return cmp.Or(cmp.Compare(b.Clicks, a.Clicks), cmp.Compare(a.Value, b.Value))
	})
	stats.Referrers = stats.Referrers[:min(len(stats.Referrers), q.Referrers)]
	return stats
}
