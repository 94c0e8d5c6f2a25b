package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/carom-dev/carom/loadtest/program"
)

// storedTimeout bounds each wait for clicks to reach the store, which is slower than a hit.
const storedTimeout = 5 * time.Minute

// round measures a row once. It waits for rest before, so that no click of an earlier round is stored at this one's cost, and behind, so that
// this one's clicks are charged to it.
func (m *measurement) round(ctx context.Context, r *row, s shape) (f figures, err error) {
	server := m.running[r]
	if r.life == lifeRound {
		if server, err = r.start(ctx, m.site); err != nil {
			return f, err
		}
		defer func() {
			stored, stopErr := m.stop(ctx, r, server)
			if err = errors.Join(err, stopErr); r.held { // that of the round is what is more than before it
				f.Counted.Stored = float64(stored) - (f.before.Redirects - f.before.Lost)
			}
		}()
		if err := m.warm(ctx, r, server, s); err != nil {
			return f, err
		}
	}
	before, err := m.settle(ctx, r, server, !r.held)
	if err != nil {
		return f, err
	}
	f.before = before
	u0, db0, err := m.usage(server)
	if err != nil {
		return f, err
	}
	w := m.work[r]
	if f.load, err = m.generate(ctx, server.Addr(), &w, s, time.Duration(m.cfg.Seconds)*time.Second); err != nil {
		return f, err
	}
	u1, db1, err := m.usage(server)
	if err != nil {
		return f, err
	}
	during := before
	if !r.log { // a log is of no use before it is settled
		if during, err = server.Counts(ctx); err != nil {
			return f, err
		}
	}
	start := time.Now()
	after, err := m.settle(ctx, r, server, !r.held)
	if err != nil {
		return f, err
	}
	f.Lag = time.Since(start)
	u2, db2, err := m.usage(server)
	if err != nil {
		return f, err
	}
	f.compute(u0, u1, u2, during.minus(before))
	n := float64(max(f.Right, 1))
	f.BesideCPU = micros(db1-db0) / n
	f.BesideCPUStored = micros(db2-db0) / n
	f.Counted = after.minus(before)
	return f, nil
}

// usage is what the server has used, and the database beside it.
func (m *measurement) usage(server server) (u usage, beside time.Duration, err error) {
	if u, err = server.Usage(); err != nil || m.site.postgres == nil {
		return u, 0, err
	}
	db, err := m.site.postgres.Usage()
	return u, db.CPU, err
}

// settle waits until the server is at rest: until it has stored the clicks of all its redirects, or, where they are held back, until it
// stores none. It returns the server's counts.
func (m *measurement) settle(ctx context.Context, r *row, server server, all bool) (counts, error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(storedTimeout)
	last := counts{Redirects: -1}
	still := 0
	for {
		c, err := server.Counts(ctx)
		if err != nil || c.Redirects < 0 {
			return c, err
		}
		// What was under way at the end of a load may still be answered: the number has to stand still.
		if still++; c.Redirects != last.Redirects || c.Stored != last.Stored {
			still = 0
		}
		if all && still >= 1 && c.Stored+c.Lost >= c.Redirects || !all && still >= 3 {
			return c, nil
		}
		last = c
		if time.Now().After(deadline) {
			m.report.fault("%s: %.0f clicks of %.0f redirects were stored after %v", r.name, c.Stored, c.Redirects, storedTimeout)
			return c, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return c, context.Cause(ctx)
		}
	}
}

// stop ends a server. Of a Carom it compares what it has answered with what another process then finds in the store, and returns that.
func (m *measurement) stop(ctx context.Context, r *row, server server) (stored int64, err error) {
	carom, ok := server.(*caromProcess)
	if !ok || r.postgres || r.life == lifeRun || ctx.Err() != nil {
		return 0, server.Stop()
	}
	dir := carom.dir
	carom.dir = "" // it is needed once more
	c, err := carom.Counts(ctx)
	if err = errors.Join(err, carom.Stop()); err != nil {
		return 0, errors.Join(err, os.RemoveAll(dir))
	}
	reader, err := startCarom(ctx, m.cfg.Carom, dir)
	if err != nil {
		return 0, errors.Join(err, os.RemoveAll(dir))
	}
	reader.dir = dir
	stored, err = storedClicks(ctx, reader.api)
	if want := int64(c.Redirects - c.Lost); err == nil && stored != want {
		m.report.fault("%s: %d redirects left a click, and the store has %d", r.name, want, stored)
	}
	m.report.Verified += stored
	return stored, errors.Join(err, reader.Stop())
}

// storedClicks adds up the clicks of all links.
func storedClicks(ctx context.Context, api *program.API) (sum int64, err error) {
	links, err := api.Links(ctx)
	if err != nil {
		return 0, fmt.Errorf("count stored clicks: %w", err)
	}
	for _, l := range links {
		sum += l.Clicks
	}
	return sum, nil
}
