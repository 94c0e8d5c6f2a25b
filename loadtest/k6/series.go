package main

import (
	"math"
	"slices"

	"github.com/carom-dev/carom/loadtest/report"
)

// series lays what k6 saw and what the watcher saw side by side, second by second, and notes in run the sums and peaks of the watcher.
func series(saw *samples, sights []sight, run *report.Run) report.Series {
	from := saw.first.Unix()
	n := int(saw.last.Unix()-from) + 1
	s := report.NewSeries(n)
	for second, x := range saw.seconds {
		i := int(second - from)
		if i < 0 || i >= n {
			continue
		}
		s.Requests[i], s.Faults[i], s.VUs[i], s.Dropped[i] = float64(x.requests), float64(x.faults), x.vus, x.dropped
		if len(x.redirects) > 0 {
			slices.Sort(x.redirects)
			s.P50[i], s.P99[i], s.Slowest[i] = percentile(x.redirects, 0.50), percentile(x.redirects, 0.99), x.redirects[len(x.redirects)-1]
		}
	}
	run.CPU = map[string]float64{}
	for k, v := range sights {
		run.LagMax, run.BacklogMax = max(run.LagMax, v.lag), max(run.BacklogMax, int64(v.backlog))
		run.MemoryMax, run.PrivateMax = max(run.MemoryMax, v.used["carom"].rss), max(run.PrivateMax, int64(v.private))
		i := int(v.at.Unix() - from)
		inside := i >= 0 && i < n
		if inside {
			s.Lag[i], s.Backlog[i], s.Memory[i], s.Private[i] = v.lag, v.backlog, float64(v.used["carom"].rss), v.private
		}
		if k == 0 {
			continue
		}
		last := sights[k-1]
		for group, u := range v.used {
			spent := (u.cpu - last.used[group].cpu).Seconds()
			if _, known := last.used[group]; !known || spent < 0 {
				continue
			}
			run.CPU[group] += spent
			if s.CPU[group] == nil {
				s.CPU[group] = report.Gaps(n)
			}
			if inside {
				s.CPU[group][i] = spent / v.at.Sub(last.at).Seconds()
			}
		}
	}
	return s
}

// percentile is the nearest-rank percentile of sorted values.
func percentile(sorted []float64, p float64) float64 {
	return sorted[max(0, int(math.Ceil(p*float64(len(sorted))))-1)]
}
