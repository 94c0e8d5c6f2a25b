package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// failpointRows are the rows of processes that die at places that chance seldom finds.
func failpointRows() []row {
	const bar = "each answered click stored once; always starts again"
	return []row{
		{id: "D3/sqlite", fault: "kill at named places of the journal (SQLite)", bar: bar, short: true, run: func(ctx context.Context, e *env) (string, bool, error) {
			return dieAtPlaces(ctx, e)
		}},
		{id: "D3/postgres", fault: "kill at named places of the journal (Postgres)", bar: bar, run: func(ctx context.Context, e *env) (string, bool, error) {
			pg, err := e.startPostgres(ctx)
			if err != nil {
				return "", false, err
			}
			return dieAtPlaces(ctx, e, "DATABASE_URL="+pg.url)
		}},
	}
}

// place is a failpoint and how often it may be passed before the process dies there.
type place struct {
	name string
	most int // the n-th time is drawn from 1 to this
}

// places are all of them. What they stand for is in the journal's code, where they are named.
func places() []place {
	return []place{
		{"reserve", 2000}, // slots are reserved, and the record is not written
		{"append", 2000},  // the click is recorded, and not answered
		{"rotate", 2},     // a segment is full, and its successor not installed
		{"rename", 6},     // a segment has its name, and the directory is not synced
		{"sync", 8},       // before a sync of a segment, its header or the directory
		{"release", 6},    // the store has the clicks, and the journal keeps them
		{"recycle", 2},    // a segment is released, and not recycled
	}
}

// dieAtPlaces has a process die at each place, several times, under load that makes segments change.
func dieAtPlaces(ctx context.Context, e *env, vars ...string) (string, bool, error) {
	rounds := pick(e, 1, 15)
	binary, err := e.failpointCarom(ctx)
	if err != nil {
		return "", false, err
	}
	// One lane of four small segments, so that a few thousand clicks fill one. What a process has dropped that is about to die, nobody
	// could ask it, so where the store does not keep up visitors are refused.
	i, err := e.newInstance(append([]string{"CAROM_SHARDS=1", "CAROM_JOURNAL_BYTES=2MiB", "CAROM_JOURNAL_FULL=refuse"}, vars...)...)
	if err != nil {
		return "", false, err
	}
	i.binary = binary
	// The very first rename gives the node its id: there is nothing to lose yet, but the next start has to work.
	if err := i.dieAt(ctx, "rename:1", nil); err != nil {
		return "", false, err
	}
	if err := i.start(ctx); err != nil {
		return "", false, err
	}
	links, err := makeLinks(ctx, i.api, "f", 16)
	if err != nil {
		return "", false, err
	}
	o := newOracle(links)
	deaths := 1
	var names []string
	for round := range rounds {
		for _, at := range places() {
			if round == 0 {
				names = append(names, at.name)
			}
			if err := i.stop(); err != nil {
				return "", false, err
			}
			point := fmt.Sprintf("%s:%d", at.name, 1+e.rand.IntN(at.most))
			err := i.dieAt(ctx, point, o)
			if err == nil {
				err = i.start(ctx)
			}
			if err == nil {
				err = o.await(ctx, i.api, patience)
			}
			if err != nil {
				return o.tally().String(), false, fmt.Errorf("death at %s: %w", point, err)
			}
			deaths++
		}
	}
	t, err := o.check(ctx, i.api, patience)
	return fmt.Sprintf("%d deaths at %d places (%s): %v", deaths, len(names), strings.Join(names, ", "), t), true, err
}

// dieAt starts the instance with a failpoint and lets visitors come until it has died there; without an oracle it has to die at the start.
func (i *instance) dieAt(ctx context.Context, point string, o *oracle) error {
	err := i.start(ctx, "CAROM_FAILPOINT="+point)
	if i.running() && o != nil {
		l := startLoad(ctx, o, loadConfig{addr: func() string { return i.addr }, rate: 4000, timeout: 2 * time.Second})
		defer l.stop()
		select {
		case <-i.process.Done():
			return nil
		case <-time.After(patience):
			return fmt.Errorf("instance with failpoint %s did not die", point)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if err == nil && o == nil {
		return fmt.Errorf("instance with failpoint %s did not die at its start", point)
	}
	return nil // it died before it listened, or before it was ready
}
