package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/carom-dev/carom/loadtest/report"
)

// measurement is a whole run of this program under way.
type measurement struct {
	cfg    config
	dir    string
	in     *inputs
	report *report.Report
}

// measure runs each load on each topology.
func measure(ctx context.Context, cfg config) (_ *report.Report, err error) {
	k6, err := version(ctx, cfg.K6)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "carom-k6-")
	if err != nil {
		return nil, fmt.Errorf("make directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	m := &measurement{cfg: cfg, dir: dir, report: &report.Report{
		At: time.Now().UTC().Truncate(time.Second), Commit: report.CommitOf(ctx, cfg.Carom), Machine: report.Machine(), Generator: k6, Command: cfg.command(), Notes: cfg.notes(),
	}}
	if m.in, err = makeInputs(dir, cfg.Clicks, cfg.Links); err != nil {
		return nil, err
	}
	for _, topology := range strings.Split(cfg.Topologies, ",") {
		if err := m.topology(ctx, topology); err != nil {
			return nil, fmt.Errorf("%s: %w", topology, err)
		}
	}
	return m.report, nil
}

func (m *measurement) topology(ctx context.Context, topology string) (err error) {
	dir := filepath.Join(m.dir, topology)
	if err := os.Mkdir(dir, 0o755); err != nil { //nolint:gosec // the server of Postgres has another user, who must be able to enter
		return fmt.Errorf("make directory: %w", err)
	}
	if err := os.Chmod(m.dir, 0o755); err != nil { //nolint:gosec // as above
		return fmt.Errorf("open directory to others: %w", err)
	}
	s, err := start(ctx, m.cfg, topology, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	links, err := m.in.importInto(ctx, m.cfg.Carom, m.dir, s)
	if err != nil {
		return err
	}
	for _, name := range strings.Split(m.cfg.Scenarios, ",") {
		l, _ := findLoad(name)
		fmt.Fprintf(os.Stderr, "%s: %s: %s\n", s.name, l.name, l.words)
		run, err := m.load(ctx, s, l, links)
		if err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		m.report.Runs = append(m.report.Runs, *run)
	}
	return nil
}

// load runs one load, and compares what k6 counted with what is stored behind it.
func (m *measurement) load(ctx context.Context, s *service, l load, links string) (*report.Run, error) {
	before, err := m.in.stored(ctx, s.api)
	if err != nil {
		return nil, err
	}
	began, err := s.look(ctx, nil)
	if err != nil {
		return nil, err
	}
	g, err := generate(ctx, m.cfg, l, s, links, m.in.visitors, m.dir)
	if err != nil {
		return nil, err
	}
	w := watch(ctx, s, map[string][]int{"k6": {g.cmd.Process.Pid}})
	counts, saw, err := g.wait()
	rest, lateErr := s.drained(ctx)
	sights, watchErr := w.finish()
	if err = errors.Join(err, lateErr, watchErr); err != nil {
		return nil, err
	}
	after, err := m.in.stored(ctx, s.api)
	if err != nil {
		return nil, err
	}
	run := &report.Run{
		Topology: s.name, TopologyWords: s.words, Load: l.name, LoadWords: l.words, BarP99: float64(m.cfg.bar(l)), BarDrain: m.cfg.barDrain(),
		Seconds: saw.last.Sub(saw.first).Seconds(), Latency: map[string]report.Latency{}, Complaints: complaints(g.console.String()),
	}
	run.Requests, run.Dropped = int64(counts["http_reqs"].Values["count"]), int64(counts["dropped_iterations"].Values["count"])
	run.Failed, run.Wrong = int64(counts["http_req_failed"].Values["passes"]), int64(counts["checks"].Values["fails"]) // k6: a rate's passes are its ones
	for kind, metric := range map[string]string{
		"all": "http_req_duration", "redirect": "http_req_duration{name:redirect}", "unknown": "http_req_duration{name:unknown}",
		"read": "http_req_duration{name:read}", "write": "http_req_duration{name:write}",
	} {
		v := counts[metric].Values
		run.Latency[kind] = report.Latency{Count: int64(v["count"]), P50: v["p(50)"], P90: v["p(90)"], P99: v["p(99)"], P999: v["p(99.9)"], Max: v["max"]}
	}
	run.Redirects, run.Stored, run.Unequal = compare(counts.redirects(), before, after)
	run.Lost = int64(rest.lost - began.lost)
	run.Drained, run.Drain = rest.lag == 0 && rest.backlog <= 0, max(0, rest.at.Sub(saw.last).Seconds())
	if run.Wrong > 0 {
		for _, name := range slices.Sorted(maps.Keys(rest.trouble)) {
			if more := rest.trouble[name] - began.trouble[name]; more > 0 {
				run.Complaints = append(run.Complaints, fmt.Sprintf("%s: %.0f more", name, more))
			}
		}
	}
	run.Series = series(saw, sights, run)
	return run, nil
}

// compare sets the redirects that k6 counted beside the clicks that came to the store meanwhile, group by group.
func compare(answered, before, after map[string]int64) (redirects, stored int64, unequal []string) {
	groups := map[string]bool{}
	for _, m := range []map[string]int64{answered, before, after} {
		for group := range m {
			groups[group] = true
		}
	}
	for group := range groups {
		came := after[group] - before[group]
		redirects, stored = redirects+answered[group], stored+came
		if answered[group] != came {
			unequal = append(unequal, fmt.Sprintf("%s: %d answered, %d stored", strings.TrimPrefix(group, "redirects_"), answered[group], came))
		}
	}
	slices.Sort(unequal)
	return redirects, stored, unequal
}

// complaints are the last lines that the script wrote of wrong answers.
func complaints(console string) []string {
	var lines []string
	for line := range strings.Lines(console) {
		if strings.Contains(line, "wrong: ") || strings.Contains(line, "level=warn") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines[max(0, len(lines)-10):]
}
