package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// measurement is a run under way. Owned by one goroutine.
type measurement struct {
	cfg      *config
	site     *site
	generate generator
	rows     []*row
	work     map[*row]workload
	running  map[*row]server
	report   *report
	progress func(format string, args ...any)
}

// measure does everything that cfg asks for, prints it, and says what was wrong.
func measure(ctx context.Context, cfg *config) (err error) {
	shapes, err := cfg.shapes()
	if err != nil {
		return err
	}
	generate, client, err := newGenerator(cfg)
	if err != nil {
		return err
	}
	site, err := newSite(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Close()) }()
	m := &measurement{
		cfg: cfg, site: site, generate: generate, work: map[*row]workload{}, running: map[*row]server{}, report: newReport(cfg, client),
		progress: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) },
	}
	defer func() { err = errors.Join(err, m.stopAll(ctx, lifeRun)) }()
	m.pick()
	for _, s := range shapes {
		if err := m.shape(ctx, s); err != nil {
			return err
		}
	}
	if err := m.extras(ctx); err != nil {
		return err
	}
	return m.report.finish(cfg)
}

// pick takes the rows that are wanted and possible here, and tells of those that are not.
func (m *measurement) pick() {
	for _, r := range allRows(m.cfg) {
		if r.name != nameBare && !m.cfg.wants(r.name) {
			continue
		}
		if r.missing != nil {
			if err := r.missing(); err != nil {
				m.report.Missing = append(m.report.Missing, fmt.Sprintf("%s: %v", r.name, err))
				continue
			}
		}
		w := r.work()
		r.want = w.want
		m.rows, m.work[r] = append(m.rows, r), w
	}
}

// extras are what no load is needed for.
func (m *measurement) extras(ctx context.Context) error {
	if err := m.imports(ctx); err != nil {
		return err
	}
	for r, running := range m.running {
		if r.name == nameBig {
			return m.big(ctx, running.(*caromProcess))
		}
	}
	return nil
}

// shape measures all rows in one shape, in rounds: each row once in each, and each round begins with another row, so that a change of the
// machine's mood meets all of them.
func (m *measurement) shape(ctx context.Context, s shape) (err error) {
	defer func() { err = errors.Join(err, m.stopAll(ctx, lifeShape), m.site.dropPostgres()) }()
	for _, r := range m.rows {
		if _, there := m.running[r]; there || r.life == lifeRound {
			continue
		}
		m.progress("%s connections: starting %s", s, r.name)
		server, err := r.start(ctx, m.site)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		m.running[r] = server
		if err := m.warm(ctx, r, server, s); err != nil {
			return err
		}
	}
	for round := range m.cfg.Rounds {
		for i := range m.rows {
			r := m.rows[(i+round)%len(m.rows)]
			f, err := m.round(ctx, r, s)
			if err != nil {
				return fmt.Errorf("%s, %s connections: %w", r.name, s, err)
			}
			m.progress("%s connections, round %d, %-14s %8.0f/s %7.2f us", s, round+1, r.name, f.Rate, f.CPU)
			m.report.add(r, s, f)
		}
	}
	return nil
}

// warm asks for each code once, which also compares every answer, and then puts the row under load for a while.
func (m *measurement) warm(ctx context.Context, r *row, server server, s shape) error {
	w := m.work[r]
	if r.cold {
		return nil
	}
	once := workload{codes: distinct(w.codes), once: true, want: w.want}
	if r.name == nameBare || r.name == nameBareSame { // it knows one answer
		once.codes = []string{hotCode()}
	}
	l, err := ownLoad(ctx, server.Addr(), &once, shape{Connections: 64, Pipeline: 16}, 0)
	if err != nil {
		return err
	}
	if l.Wrong > 0 || l.Broken > 0 {
		m.report.fault("%s: of %d codes asked for beforehand, %d got a wrong answer and %d none", r.name, len(once.codes), l.Wrong, l.Broken)
	}
	if m.cfg.Warmup == 0 {
		return nil
	}
	_, err = m.generate(ctx, server.Addr(), &w, s, time.Duration(m.cfg.Warmup)*time.Second)
	return err
}

// stopAll ends the servers that live as long as this, and compares what they have answered with what is in their stores.
func (m *measurement) stopAll(ctx context.Context, l life) error {
	var errs []error
	for _, r := range m.rows {
		server := m.running[r]
		if server == nil || r.life != l && ctx.Err() == nil {
			continue
		}
		delete(m.running, r)
		_, err := m.stop(ctx, r, server)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
