package storetest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

const (
	statsMany      = 10_000_000
	statsFew       = 10_000
	statsReferrers = 20
	// statsPace is how far apart requests are: a busy dashboard's two hundred a second.
	statsPace = 5 * time.Millisecond
)

// StatsLink is a link whose rollups were made up, for benchmarks.
type StatsLink struct {
	ID     engine.LinkID
	Clicks int64
	Days   int // over which they are, up to now
}

// StatsLinks makes links with ten thousand and with ten million clicks over 30 days and over a year, in each hour and from 20 referrers (as many as
// there are clicks for), and seals what the program would have sealed by now. fill is that of the store's database.
func StatsLinks(b *testing.B, s engine.Store, fill FillFunc, exec Exec) []StatsLink {
	b.Helper()
	now := time.Now()
	var links []StatsLink
	for _, days := range []int{30, 365} {
		for _, clicks := range []int64{statsFew, statsMany} {
			l, _, err := s.CreateLink(b.Context(), link(fmt.Sprintf("figures-%d-%d", days, clicks)), author(0), nil)
			must(b, err)
			hours := days * 24
			referrers := min(statsReferrers, int(clicks)/hours)
			links = append(links, StatsLink{ID: l.ID, Clicks: clicks, Days: days})
			must(b, fill(exec, links[len(links)-1], now.UTC().Truncate(time.Hour), hours, referrers, clicks/int64(hours*referrers)))
		}
	}
	must(b, s.SealDays(b.Context(), engine.SealUntil(now), engine.SealClicks))
	return links
}

// BenchStats asks for the figures of links with many and with few clicks in turn, one every few milliseconds, and reports medians and the
// slowest of a hundred. In turn with them it does as little as can be asked for, which shows what the machine adds of its own. ask returns the
// number of points and of referrers.
func BenchStats(b *testing.B, links []StatsLink, least func(ctx context.Context) error, ask func(ctx context.Context, q engine.StatsQuery) (points, referrers int, err error)) {
	b.Helper()
	for at := 0; at < len(links); at += 2 {
		few, many := links[at], links[at+1]
		for _, daily := range []bool{false, true} {
			interval := "hourly"
			if daily {
				interval = "daily"
			}
			b.Run(fmt.Sprintf("%d days/%s", few.Days, interval), func(b *testing.B) {
				var took [3][]time.Duration
				pace := time.NewTicker(statsPace)
				defer pace.Stop()
				for b.Loop() {
					for i, l := range []StatsLink{few, many} {
						<-pace.C
						began := time.Now()
						points, referrers, err := ask(b.Context(), engine.StatsQuery{Link: l.ID, Daily: daily, Referrers: statsReferrers})
						took[i] = append(took[i], time.Since(began))
						must(b, err)
						if points < l.Days || referrers == 0 {
							b.Fatalf("%d points and %d referrers over %d days", points, referrers, l.Days)
						}
					}
					<-pace.C
					began := time.Now()
					must(b, least(b.Context()))
					took[2] = append(took[2], time.Since(began))
				}
				b.ReportMetric(0, "ns/op") // most of it is the pace
				var p50, p99 [3]float64
				for i, name := range []string{"10k", "10M", "least"} {
					slices.Sort(took[i])
					p50[i], p99[i] = milliseconds(took[i][len(took[i])/2]), milliseconds(took[i][len(took[i])*99/100])
					b.ReportMetric(p50[i], name+"-p50-ms")
					b.ReportMetric(p99[i], name+"-p99-ms")
				}
				b.ReportMetric(p50[1]/p50[0], "p50-ratio")
			})
		}
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

// AskStore asks a store.
func AskStore(s engine.Store) func(context.Context, engine.StatsQuery) (points, referrers int, err error) {
	return func(ctx context.Context, q engine.StatsQuery) (points, referrers int, err error) {
		stats, err := s.Stats(ctx, q)
		return len(stats.Series), len(stats.Referrers), err
	}
}
