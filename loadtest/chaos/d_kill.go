package main

import (
	"context"
	"fmt"
	"time"
)

// deathRows are the rows of processes that die.
func deathRows() []row {
	const fault = "kill -9 at random moments under load, restart, repeat"
	const bar = "each answered click stored once; ready again within 2 s"
	return []row{
		{id: "D1/sqlite", fault: fault + " (SQLite)", bar: bar, short: true, run: func(ctx context.Context, e *env) (string, bool, error) {
			return killRepeatedly(ctx, e)
		}},
		{id: "D1/postgres", fault: fault + " (Postgres)", bar: bar, short: true, run: func(ctx context.Context, e *env) (string, bool, error) {
			pg, err := e.startPostgres(ctx)
			if err != nil {
				return "", false, err
			}
			return killRepeatedly(ctx, e, "DATABASE_URL="+pg.url)
		}},
		{id: "D1/pending", fault: "kill -9 with a million clicks that are not stored yet, restart (SQLite)", bar: bar, short: true, run: killPending},
		{id: "D2", fault: "kill -9 during recovery, 5 in a row", bar: "each answered click stored once; the last replay takes no longer than an undisturbed one", short: true, run: killReplaying},
	}
}

// readyMax is how soon an instance has to be ready after a kill.
const readyMax = 2 * time.Second

// patience is how long clicks may take from the journal to the store on a machine that is busy with other things.
const patience = 60 * time.Second

// killRepeatedly kills an instance again and again, each time between 50 and 500 ms after it was ready, and judges all clicks each time.
func killRepeatedly(ctx context.Context, e *env, vars ...string) (string, bool, error) {
	kills := pick(e, 20, 1000)
	i, err := e.startInstance(ctx, vars...)
	if err != nil {
		return "", false, err
	}
	links, err := makeLinks(ctx, i.api, "k", 64)
	if err != nil {
		return "", false, err
	}
	o := newOracle(links)
	var ready histogram
	for n := range kills {
		l := startLoad(ctx, o, loadConfig{addr: func() string { return i.addr }, rate: 2000})
		err := wait(ctx, 50*time.Millisecond+time.Duration(e.rand.Int64N(int64(450*time.Millisecond))))
		if err == nil {
			err = i.kill()
		}
		l.stop()
		if err == nil {
			err = i.start(ctx)
		}
		if err == nil {
			ready.record(i.ready)
			err = o.await(ctx, i.api, patience)
		}
		if err != nil {
			return o.tally().String(), false, fmt.Errorf("kill %d of %d: %w", n+1, kills, err)
		}
	}
	t, err := o.check(ctx, i.api, patience)
	largest := time.Duration(ready.largest.Load()) * time.Microsecond
	figure := fmt.Sprintf("%d kills: %v; ready again after %v, %v at most", kills, t,
		ready.quantile(0.5).Round(time.Millisecond), largest.Round(time.Millisecond))
	return figure, largest <= readyMax, err
}

// killPending records clicks faster than they are stored, kills, and measures how soon the instance is ready again, and how long it takes
// to store what had waited.
func killPending(ctx context.Context, e *env) (string, bool, error) {
	i, o, err := pending(ctx, e, pick(e, 100_000, 1_000_000))
	if err != nil {
		return "", false, err
	}
	if err := i.start(ctx, "CAROM_CLICK_INTERVAL=200ms"); err != nil {
		return "", false, err
	}
	ready, began := i.ready, time.Now()
	t, err := o.check(ctx, i.api, 10*patience)
	figure := fmt.Sprintf("%v; ready again after %v, all stored and read back %v later", t, ready.Round(time.Millisecond), time.Since(began).Round(100*time.Millisecond))
	return figure, ready <= readyMax, err
}

// pending makes an instance on SQLite whose journal has n clicks that are not stored, and leaves it killed.
func pending(ctx context.Context, e *env, n int) (*instance, *oracle, error) {
	i, err := e.startInstance(ctx)
	if err != nil {
		return nil, nil, err
	}
	links, err := makeLinks(ctx, i.api, "p", 64)
	if err == nil {
		err = i.stop()
	}
	if err == nil {
		err = i.start(ctx, "CAROM_CLICK_INTERVAL=1m")
	}
	if err != nil {
		return nil, nil, err
	}
	o := newOracle(links)
	if err := flood(ctx, o, i.addr, n); err != nil {
		return nil, nil, err
	}
	return i, o, i.kill()
}

// killReplaying kills an instance five times while it stores what an earlier one left, each time a bit later.
func killReplaying(ctx context.Context, e *env) (string, bool, error) {
	const kills = 5
	n := pick(e, 60_000, 300_000)
	var undisturbed, last time.Duration
	for _, disturbed := range []bool{false, true} {
		i, o, err := pending(ctx, e, n)
		if err != nil {
			return "", false, err
		}
		for n := range kills {
			if !disturbed {
				break
			}
			if err := i.killSoon(ctx, n%2 == 0); err != nil {
				return "", false, err
			}
		}
		began := time.Now()
		if err := i.start(ctx); err != nil {
			return "", false, err
		}
		if _, err := o.check(ctx, i.api, 10*patience); err != nil {
			return o.tally().String(), false, err
		}
		last = time.Since(began)
		if !disturbed {
			undisturbed = last
		}
		if err := i.stop(); err != nil {
			return "", false, err
		}
	}
	figure := fmt.Sprintf("2 x %d clicks, 0 lost; replay undisturbed %v, behind %d kills %v", n, undisturbed.Round(10*time.Millisecond), kills, last.Round(10*time.Millisecond))
	return figure, last <= undisturbed*6/5, nil
}

// killSoon starts the instance and kills it again: before it listens, or a moment after it was ready, while it stores what it found.
func (i *instance) killSoon(ctx context.Context, early bool) error {
	if early {
		soon, cancel := context.WithTimeout(ctx, 5*time.Millisecond+time.Duration(i.env.rand.Int64N(int64(60*time.Millisecond))))
		defer cancel()
		if err := i.start(soon); err != nil && ctx.Err() == nil && soon.Err() != nil {
			return i.kill() // a start that was cut off has killed the process, unless it had listened already
		} else if err != nil {
			return err
		}
		return i.kill()
	}
	if err := i.start(ctx); err != nil {
		return err
	}
	if err := wait(ctx, 50*time.Millisecond+time.Duration(i.env.rand.Int64N(int64(150*time.Millisecond)))); err != nil {
		return err
	}
	return i.kill()
}
