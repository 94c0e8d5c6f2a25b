// Package report tells what came of a load test: as a table, as JSON, and as one HTML page with plots that needs nothing else.
package report

import (
	"fmt"
	"math"
	"time"
)

// Report is a whole load test.
type Report struct {
	At        time.Time `json:"at"`
	Commit    string    `json:"commit"` // of the program that was measured
	Command   string    `json:"command"`
	Machine   string    `json:"machine"`
	Generator string    `json:"generator"`
	Notes     []string  `json:"notes"`
	Runs      []Run     `json:"runs"`
}

// Run is one load on one topology.
type Run struct {
	Topology      string  `json:"topology"`
	TopologyWords string  `json:"topology_words"`
	Load          string  `json:"load"`
	LoadWords     string  `json:"load_words"`
	Seconds       float64 `json:"seconds"` // from the first answer to the last

	Requests int64              `json:"requests"`
	Wrong    int64              `json:"wrong"`   // requests whose answer was not what it had to be, or that got none
	Failed   int64              `json:"failed"`  // those of them without an answer or with another status than it had to be
	Dropped  int64              `json:"dropped"` // requests that an arrival load could not begin in time
	Latency  map[string]Latency `json:"latency_ms"`
	BarP99   float64            `json:"bar_p99_ms"` // for redirects; 0: none

	Redirects int64    `json:"redirects_answered"`
	Stored    int64    `json:"clicks_stored"`
	Unequal   []string `json:"unequal,omitempty"` // groups of links whose redirects and clicks differ
	Lost      int64    `json:"clicks_not_recorded"`

	LagMax     float64 `json:"lag_max_seconds"`
	BacklogMax int64   `json:"backlog_max_clicks"`
	Drained    bool    `json:"drained"`
	Drain      float64 `json:"drain_seconds"`     // from the last answer to the moment when no click was waiting
	BarDrain   float64 `json:"bar_drain_seconds"` // 0: none

	CPU        map[string]float64 `json:"cpu_seconds"` // of each group of processes
	MemoryMax  int64              `json:"memory_max_bytes"`
	PrivateMax int64              `json:"memory_private_max_bytes"`
	Complaints []string           `json:"complaints,omitempty"`

	Series Series `json:"-"`
}

// Latency is how long requests of one kind took, in milliseconds.
type Latency struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p99.9"`
	Max   float64 `json:"max"`
}

// Series are figures second by second, from the first answer on; what is not known is NaN.
type Series struct {
	VUs, Requests, Faults, Dropped []float64
	P50, P99, Slowest              []float64 // of redirects, in milliseconds
	CPU                            map[string][]float64
	Memory, Private                []float64 // bytes
	Lag, Backlog                   []float64 // seconds, clicks
}

// NewSeries makes series of n seconds of which nothing is known.
func NewSeries(n int) Series {
	return Series{
		VUs: Gaps(n), Requests: Gaps(n), Faults: Gaps(n), Dropped: Gaps(n), P50: Gaps(n), P99: Gaps(n), Slowest: Gaps(n),
		CPU: map[string][]float64{}, Memory: Gaps(n), Private: Gaps(n), Lag: Gaps(n), Backlog: Gaps(n),
	}
}

// Gaps are n seconds of which nothing is known.
func Gaps(n int) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = math.NaN()
	}
	return values
}

// Faults are what must never be: wrong answers, errors, and clicks that are not exactly the answered redirects.
func (r *Run) Faults() (faults []string) {
	if r.Redirects == 0 {
		faults = append(faults, "no redirect was answered, so nothing was measured")
	}
	if r.Wrong > 0 || r.Failed > 0 {
		faults = append(faults, fmt.Sprintf("%d requests were not answered as they had to be, %d of them failed", r.Wrong, r.Failed))
	}
	if r.Stored != r.Redirects || len(r.Unequal) > 0 {
		faults = append(faults, fmt.Sprintf("%d redirects were answered, %d clicks stored: %v", r.Redirects, r.Stored, r.Unequal))
	}
	if r.Lost > 0 {
		faults = append(faults, fmt.Sprintf("%d clicks were not recorded", r.Lost))
	}
	return faults
}

// Behind are the figures that are behind their bars.
func (r *Run) Behind() (behind []string) {
	if p99 := r.Latency["redirect"].P99; r.BarP99 > 0 && p99 > r.BarP99 {
		behind = append(behind, fmt.Sprintf("p99 of redirects is %.1f ms, the bar is %.0f ms", p99, r.BarP99))
	}
	if r.BarDrain > 0 && (!r.Drained || r.Drain > r.BarDrain) {
		behind = append(behind, fmt.Sprintf("all clicks were stored %.1f s behind the last answer, the bar is %.0f s", r.Drain, r.BarDrain))
	}
	return behind
}

// FaultsAll are the faults of all runs.
func (r *Report) FaultsAll() (faults []string) {
	for i := range r.Runs {
		faults = append(faults, r.Runs[i].Faults()...)
	}
	return faults
}

// BehindAll are the figures of all runs that are behind their bars.
func (r *Report) BehindAll() (behind []string) {
	for i := range r.Runs {
		behind = append(behind, r.Runs[i].Behind()...)
	}
	return behind
}

// Good says whether every run is without faults and behind no bar.
func (r *Report) Good() bool {
	return len(r.Runs) > 0 && len(r.FaultsAll()) == 0 && len(r.BehindAll()) == 0
}

// PerRequest is the processor time of a group of processes for each request, in microseconds.
func (r *Run) PerRequest(group string) float64 {
	return r.CPU[group] * 1e6 / max(1, float64(r.Requests))
}
