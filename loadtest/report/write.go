package report

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
)

// Print writes the report as a table.
func (r *Report) Print(w io.Writer) error {
	fmt.Fprintf(w, "commit %s, %s, %s\n\n", r.Commit, r.Generator, r.Machine)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "topology\tload\trequests\treq/s\tp50 ms\tp99 ms\tp99.9 ms\tmax ms\tdropped\terrors\tredirects\tclicks stored\tlag max s\tdrained in s\tcarom us/req\tk6 us/req\t")
	for i := range r.Runs {
		x := &r.Runs[i]
		l := x.Latency["redirect"]
		fmt.Fprintf(t, "%s\t%s\t%d\t%.0f\t%.2f\t%.1f\t%.1f\t%.0f\t%d\t%d\t%d\t%d\t%.1f\t%.1f\t%.0f\t%.0f\t\n", x.Topology, x.Load, x.Requests, x.Rate(), l.P50, l.P99, l.P999, l.Max,
			x.Dropped, x.Wrong, x.Redirects, x.Stored, x.LagMax, x.Drain, x.PerRequest("carom"), x.PerRequest("k6"))
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("print table: %w", err)
	}
	fmt.Fprintln(w, "\nlatencies are those of redirects; errors are wrong answers and requests without one")
	for i := range r.Runs {
		x := &r.Runs[i]
		for _, line := range x.Faults() {
			fmt.Fprintf(w, "FAULT: %s, %s: %s\n", x.Topology, x.Load, line)
		}
		for _, line := range x.Behind() {
			fmt.Fprintf(w, "BEHIND: %s, %s: %s\n", x.Topology, x.Load, line)
		}
		for _, line := range x.Complaints {
			fmt.Fprintf(w, "said: %s\n", line)
		}
	}
	return nil
}

// Rate is requests a second.
func (r *Run) Rate() float64 { return float64(r.Requests) / max(r.Seconds, 1e-9) }

// Write writes name.json and name.html into dir.
func (r *Report) Write(dir, name string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // results are for everybody
		return fmt.Errorf("make directory of results: %w", err)
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	page, err := r.HTML()
	if err != nil {
		return err
	}
	for ending, text := range map[string][]byte{".json": append(text, '\n'), ".html": page} {
		if err := os.WriteFile(filepath.Join(dir, name+ending), text, 0o644); err != nil { //nolint:gosec // results are for everybody
			return fmt.Errorf("write results: %w", err)
		}
	}
	return nil
}
