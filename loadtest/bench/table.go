package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// print writes the tables as text.
func (r *report) print(w io.Writer) error {
	fmt.Fprintf(w, "%s\ncommit %s, %s; %s, %d processors for servers and client, %s, %s\nload: %s; closed loop, browser's headers; %d rounds of %d s, medians; took %v\n",
		r.Command, r.Commit, r.Go, r.Machine.Model, r.Machine.Processors, r.Machine.Memory, r.Machine.Kernel, r.Client, r.Rounds, r.Seconds, r.Took)
	var last shape
	var t *tabwriter.Writer
	flush := func() error {
		if t == nil {
			return nil
		}
		return t.Flush()
	}
	for _, m := range r.Rows {
		if m.Shape != last {
			if err := flush(); err != nil {
				return err
			}
			last = m.Shape
			fmt.Fprintf(w, "\n%d connections, %d requests sent at once on each\n", last.Connections, last.Pipeline)
			t = tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
			fmt.Fprintln(t, "row\trequests/s\tx bare\tp50 ms\tp99 ms\tp99.9 ms\tCPU us\tx bare\t(rounds)\twith storing\tdatabase us\tanon MB\tRSS MB\tallocs\tGCs\tpage faults\tstored / answered\t")
		}
		m.print(t)
	}
	if err := flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, row := range r.titles() {
		fmt.Fprintf(w, "%-14s  %s\n", row.name, row.title)
	}
	fmt.Fprintln(w, r.latencyNote()+"CPU us: the server's processor time for an answer while under load, in user and kernel mode, workers included; with storing: until all clicks were stored.\n"+
		"database us: Postgres' own, beside it. allocs, page faults: for an answer, all that the process does included. Redirects are as the server counted them; unknown codes leave no click.")
	r.printExtras(w)
	for _, text := range r.Missing {
		fmt.Fprintf(w, "not measured: %s\n", text)
	}
	fmt.Fprintf(w, "clicks that another process found in the stores: %d\n", r.Verified)
	return r.printBars(w)
}

// latencyNote says what the client's latencies are.
func (r *report) latencyNote() string {
	if !strings.HasPrefix(r.Client, "wrk") {
		return ""
	}
	return "Latencies are wrk's, which adds what requests sent late would have waited; where several are sent at once it adds too many, and the figures compare rows only.\n"
}

// titles are the measured rows, each once.
func (r *report) titles() []*row {
	var all []*row
	seen := map[string]bool{}
	for _, m := range r.Rows {
		if !seen[m.Name] {
			seen[m.Name] = true
			all = append(all, m.row)
		}
	}
	return all
}

func (m *measured) print(t io.Writer) {
	known := func(format string, v float64) string {
		if v < 0 {
			return "-"
		}
		return fmt.Sprintf(format, v)
	}
	ms := func(d time.Duration) string { // wrk has no high percentiles of few samples
		if d == 0 {
			return "-"
		}
		return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond))
	}
	x := &m.Median
	beside, stored := "", fmt.Sprintf("%.0f / %.0f", x.Counted.Stored, x.Counted.Redirects)
	if m.row.postgres {
		beside = fmt.Sprintf("%.2f", x.BesideCPUStored)
	}
	withStoring := fmt.Sprintf("%.2f", x.CPUStored)
	if m.row.held || x.Counted.Redirects < 0 {
		withStoring = "-"
	}
	switch {
	case m.row.log:
		stored = fmt.Sprintf("%.0f / %d lines", x.Counted.Stored, x.Right)
	case x.Counted.Redirects < 0:
		stored = "-"
	}
	fmt.Fprintf(t, "%s\t%.0f\t%.2f\t%s\t%s\t%s\t%.2f\t%.3f\t(%.2f to %.2f)\t%s\t%s\t%.0f\t%.0f\t%s\t%s\t%.3f\t%s\t\n", m.Name, x.Rate, m.RateRatio.Median, ms(x.P50), ms(x.P99), ms(x.P999),
		x.CPU, m.CPURatio.Median, m.CPURatio.Low, m.CPURatio.High, withStoring, beside, float64(x.Anon)/1e6, float64(x.RSS)/1e6, known("%.2f", x.Mallocs), known("%.0f", x.GCs), x.Faults, stored)
}

func (r *report) printExtras(w io.Writer) {
	for _, i := range r.Imports {
		fmt.Fprintf(w, "import into %s: %.0f links/s (median of %d, %d links, start and end of the program included)\n", i.Store, i.Rate, len(i.Rates), i.Links)
	}
	if b := r.Big; b != nil {
		fmt.Fprintf(w, "%d links in memory: %.1f bytes a link and its target in the table, %.1f of the process's memory; %.1f without the target of %d bytes;\n"+
			"forced garbage collection %v (most of %d: %v); from start to ready with the store full %v (most of %d: %v)\n",
			b.Links, b.TableBytes, b.ProcessBytes, b.TableBytes-float64(b.TargetBytes), b.TargetBytes, b.GC, len(b.GCs), b.GCMost, b.Ready, len(b.Starts), b.ReadyMost)
	}
}
