package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"
)

const (
	nameBare  = "bare"
	nameCarom = "carom"
)

// result is what was measured.
type result struct {
	Client      string  `json:"client"`
	Connections int     `json:"connections"`
	Pipeline    int     `json:"pipeline"`
	Processors  int     `json:"processors"`
	Rounds      []round `json:"rounds"`
	Bare        figures `json:"bare_median"`
	Carom       figures `json:"carom_median"`
	Ratio       float64 `json:"ratio"`        // CPU a request while under load, carom / bare, of the medians
	RatioLow    float64 `json:"ratio_low"`    // the lowest of the rounds, each beside its neighbour
	RatioHigh   float64 `json:"ratio_high"`   // the highest of them
	RatioStored float64 `json:"ratio_stored"` // the same as Ratio, with the storing of what was not stored yet when the load ended
	Redirects   int64   `json:"redirects_answered"`
	Clicks      int64   `json:"clicks_stored"`
	Slack       int64   `json:"clicks_slack"` // redirects that may have been answered without being counted by the client
}

// round is one round of one server.
type round struct {
	Server   string `json:"server"`
	Requests int64  `json:"requests"`
	Other    int64  `json:"other_answers"`
	Broken   int64  `json:"broken"`
	figures
}

// figures are what rounds come to. CPU is in microseconds of the server's time for a request.
type figures struct {
	Rate      float64 `json:"requests_per_second"`
	CPU       float64 `json:"cpu_us"`
	CPUStored float64 `json:"cpu_us_stored"`
}

func newResult(cfg config, client string) *result {
	return &result{Client: client, Connections: cfg.Connections, Pipeline: cfg.Pipeline, Processors: runtime.NumCPU()}
}

// add notes a round: its load, the CPU that the server used until the load ended, and until all clicks were stored.
func (r *result) add(server string, l load, during, stored time.Duration) {
	n := float64(max(l.Answered, 1))
	r.Rounds = append(r.Rounds, round{
		Server: server, Requests: l.Answered, Other: l.Other, Broken: l.Broken,
		figures: figures{Rate: n / max(l.Took.Seconds(), 1e-9), CPU: micros(during) / n, CPUStored: micros(stored) / n},
	})
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// finish computes the medians and ratios.
func (r *result) finish() {
	r.Bare, r.Carom = r.medians(nameBare), r.medians(nameCarom)
	r.Ratio = r.Carom.CPU / max(r.Bare.CPU, 1e-9)
	r.RatioStored = r.Carom.CPUStored / max(r.Bare.CPU, 1e-9)
	for i := 0; i+1 < len(r.Rounds); i += 2 {
		ratio := r.Rounds[i+1].CPU / max(r.Rounds[i].CPU, 1e-9)
		if i == 0 || ratio < r.RatioLow {
			r.RatioLow = ratio
		}
		r.RatioHigh = max(r.RatioHigh, ratio)
	}
}

func (r *result) medians(server string) figures {
	median := func(of func(figures) float64) float64 {
		var all []float64
		for _, round := range r.Rounds {
			if round.Server == server {
				all = append(all, of(round.figures))
			}
		}
		slices.Sort(all)
		if len(all) == 0 {
			return 0
		}
		return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
	}
	return figures{
		Rate: median(func(f figures) float64 { return f.Rate }), CPU: median(func(f figures) float64 { return f.CPU }),
		CPUStored: median(func(f figures) float64 { return f.CPUStored }),
	}
}

// Clean reports whether every request got its redirect, and every redirect left its click, once.
func (r *result) Clean() bool {
	for _, round := range r.Rounds {
		if round.Other > 0 || round.Broken > 0 || round.Requests == 0 {
			return false
		}
	}
	return r.Clicks >= r.Redirects && r.Clicks <= r.Redirects+r.Slack
}

func (r *result) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "client %s, %d connections, pipeline %d, %d processors for all of it\n\n", r.Client, r.Connections, r.Pipeline, r.Processors)
	fmt.Fprintln(t, "round\tserver\trequests\trequests/s\tCPU us/request\twith storing\tother answers\tbroken\t")
	for i, x := range r.Rounds {
		fmt.Fprintf(t, "%d\t%s\t%d\t%.0f\t%.2f\t%.2f\t%d\t%d\t\n", i/2+1, x.Server, x.Requests, x.Rate, x.CPU, x.CPUStored, x.Other, x.Broken)
	}
	for _, m := range []struct {
		name string
		figures
	}{{nameBare, r.Bare}, {nameCarom, r.Carom}} {
		fmt.Fprintf(t, "median\t%s\t\t%.0f\t%.2f\t%.2f\t\t\t\n", m.name, m.Rate, m.CPU, m.CPUStored)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nCPU per redirect, carom / bare: %.3f (rounds: %.3f to %.3f); %.3f with the clicks' way into the store\n"+
		"redirects answered: %d; clicks stored: %d (the client may have missed up to %d answers)\n",
		r.Ratio, r.RatioLow, r.RatioHigh, r.RatioStored, r.Redirects, r.Clicks, r.Slack)
	return err
}
