package main

import (
	"slices"
	"time"
)

// figures are what a round came to. CPU is in microseconds of the server's time for an answer.
type figures struct {
	load
	Rate            float64       `json:"requests_per_second"`
	CPU             float64       `json:"cpu_us"`                 // while under load
	CPUStored       float64       `json:"cpu_us_until_stored"`    // until all clicks of the round were stored
	BesideCPU       float64       `json:"database_cpu_us"`        // of Postgres, where there is one: of all rows that use it
	BesideCPUStored float64       `json:"database_cpu_us_stored"` // the same, until all clicks were stored
	RSS             int64         `json:"rss_bytes"`              // at the end of the load
	Anon            int64         `json:"rss_anon_bytes"`         // without pages of files, such as the journal's
	Mallocs         float64       `json:"allocations_an_answer"`  // -1: not known
	GCs             float64       `json:"garbage_collections"`    // -1: not known
	Faults          float64       `json:"page_faults_an_answer"`
	Lag             time.Duration `json:"stored_after_ns"` // until the last click was stored, from the end of the load
	Counted         counts        `json:"server_counts"`

	before counts // of the server's life up to this round
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// compute fills in what is made from usage before and behind the load, and behind the storing, and from the server's counts in it.
func (f *figures) compute(before, during, stored usage, c counts) {
	n := float64(max(f.Right, 1))
	f.Rate = float64(f.Right) / max(f.Took.Seconds(), 1e-9)
	f.CPU = micros(during.CPU-before.CPU) / n
	f.CPUStored = micros(stored.CPU-before.CPU) / n
	f.RSS, f.Anon = during.RSS, during.Anon
	f.Faults = float64(during.Faults-before.Faults) / n
	f.Mallocs, f.GCs = c.Mallocs, c.GCs
	if f.Mallocs >= 0 {
		f.Mallocs /= n
	}
}

// ratio compares a row with another, round by round.
type ratio struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

// ratioOf divides figure by figure what was measured in the same round.
func ratioOf(a, b []figures, of func(figures) float64) ratio {
	var all []float64
	for i := range min(len(a), len(b)) {
		all = append(all, of(a[i])/max(of(b[i]), 1e-9))
	}
	if len(all) == 0 {
		return ratio{}
	}
	return ratio{Median: median(all), Low: slices.Min(all), High: slices.Max(all)}
}

// median of the figures' values; of an even number of them the mean of the two in the middle. 0 of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

func medianOf(all []figures, of func(figures) float64) float64 {
	values := make([]float64, len(all))
	for i, f := range all {
		values[i] = of(f)
	}
	return median(values)
}

// What is taken from figures.
func rateOf(f figures) float64      { return f.Rate }
func cpuOf(f figures) float64       { return f.CPU }
func cpuStoredOf(f figures) float64 { return f.CPUStored }
func p99Of(f figures) float64       { return float64(f.P99) }
