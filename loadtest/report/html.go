package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"maps"
	"slices"
)

//go:embed page.html
var pageText string

// HTML is the report as one page. It loads nothing from anywhere and runs no script.
func (r *Report) HTML() ([]byte, error) {
	page, err := template.New("page").Funcs(template.FuncMap{
		"plots":    plots,
		"count":    func(n int64) string { return groups(n) },
		"mib":      func(n int64) string { return groups(n>>20) + " MiB" },
		"ms":       func(v float64) string { return fmt.Sprintf("%.2f", v) },
		"whole":    func(v float64) string { return groups(int64(v + 0.5)) },
		"tenth":    func(v float64) string { return fmt.Sprintf("%.1f", v) },
		"kinds":    func() []string { return []string{"redirect", "unknown", "read", "write"} },
		"sections": sections,
	}).Parse(pageText)
	if err != nil {
		return nil, fmt.Errorf("read page: %w", err)
	}
	var out bytes.Buffer
	if err := page.Execute(&out, r); err != nil {
		return nil, fmt.Errorf("write page: %w", err)
	}
	return out.Bytes(), nil
}

// section is the runs of one topology.
type section struct {
	Name, Words string
	Runs        []*Run
}

func sections(r *Report) (all []section) {
	for i := range r.Runs {
		run := &r.Runs[i]
		if len(all) == 0 || all[len(all)-1].Name != run.Topology {
			all = append(all, section{Name: run.Topology, Words: run.TopologyWords})
		}
		last := &all[len(all)-1]
		last.Runs = append(last.Runs, run)
	}
	return all
}

// plots are the pictures of a run.
func plots(r *Run) []template.HTML {
	s := &r.Series
	const mib = 1 << 20
	all := []plot{
		{title: "Requests", unit: "a second", mean: true, lines: []line{{"requests", s.Requests, 1}}},
		{title: "Visitors at once", lines: []line{{"visitors", s.VUs, 1}}},
		{title: "Latency of redirects", unit: "ms", lines: []line{{"p50", s.P50, 1}, {"p99", s.P99, 2}}},
		{title: "Slowest redirect", unit: "ms", lines: []line{{"slowest", s.Slowest, 2}}},
		{title: "Errors", unit: "a second", lines: []line{{"errors", s.Faults, 2}}},
		{title: "Processors", unit: "cores in use", mean: true, lines: cpuLines(s.CPU)},
		{title: "Memory of Carom", unit: "MiB", lines: []line{{"with the pages of its files", scale(s.Memory, mib), 1}, {"its own", scale(s.Private, mib), 2}}},
		{title: "Writer's lag", unit: "seconds, the oldest click it has not read", lines: []line{{"lag", s.Lag, 1}}},
		{title: "Clicks not stored yet", lines: []line{{"clicks", s.Backlog, 1}}},
	}
	if r.Dropped > 0 {
		all = append(all, plot{title: "Requests that could not begin in time", unit: "a second", lines: []line{{"dropped", s.Dropped, 2}}})
	}
	pictures := make([]template.HTML, len(all))
	for i := range all {
		pictures[i] = all[i].svg()
	}
	return pictures
}

// cpuLines gives each group of processes the same colour on every plot.
func cpuLines(cpu map[string][]float64) (lines []line) {
	colors := map[string]int{"carom": 1, "k6": 2, "nginx": 3, "postgres": 4, "redis": 5}
	for _, group := range slices.Sorted(maps.Keys(cpu)) {
		lines = append(lines, line{group, cpu[group], max(1, colors[group])})
	}
	return lines
}

func scale(values []float64, by float64) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = v / by
	}
	return out
}

// groups writes 1234567 as 1,234,567.
func groups(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
