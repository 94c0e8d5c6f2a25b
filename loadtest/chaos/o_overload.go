package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// overloadRows are the rows of more visitors than there is room for.
func overloadRows() []row {
	const bar = "goodput at 5 x >= 80 % of peak; the rest 503 within 50 ms; memory under its cap; back to baseline within 5 s"
	return []row{
		{id: "O1/hits", fault: "overload of the server: 1 x, 1.5 x, 2 x, 5 x of saturation, open loop, codes in memory", bar: bar, short: true, run: overloadServer},
		{id: "O1/lookups", fault: "overload of the database: the same, unknown codes", bar: bar, short: true, run: overloadDatabase},
	}
}

const overloadMemory = 256 << 20

// overloadServer gives a part of a processor to an instance whose visitors come through a balancer: on connections that stay, so many
// and no more. What is beyond its capacity is not read, and waits at the sender.
func overloadServer(ctx context.Context, e *env) (string, bool, error) {
	const percent = 20
	i, err := e.startInstance(ctx, "CAROM_CACHE_BYTES=16MiB", "CAROM_JOURNAL_BYTES=64MiB", fmt.Sprintf("CAROM_MEMORY_LIMIT=%d", overloadMemory), "GOMAXPROCS=1")
	if err != nil {
		return "", false, err
	}
	links, err := makeLinks(ctx, i.api, "o", 64)
	if err != nil {
		return "", false, err
	}
	o := newOracle(links)
	if err := flood(ctx, o, i.addr, 2_000); err != nil { // all links are in memory
		return "", false, err
	}
	if err := e.share(percent, i.kill, i.process.Pid()); errors.Is(err, errNoShare) {
		return err.Error(), false, nil
	} else if err != nil {
		return "", false, err
	}
	figure, held, err := overload(ctx, e, i, 302, func(rate int) *load {
		return startLoad(ctx, o, loadConfig{addr: func() string { return i.addr }, rate: rate, connections: 128, outstanding: 256})
	})
	if err != nil {
		return figure, false, err
	}
	t, err := o.check(ctx, i.api, 5*patience)
	return fmt.Sprintf("%d %% of a core: %s; %v", percent, figure, t), held, err
}

// overloadDatabase gives a small part of a processor to the database, and asks for codes that nobody has. Look-ups go to it many at once,
// so few visitors may wait for them here: otherwise the load generator would be the first to have enough.
func overloadDatabase(ctx context.Context, e *env) (string, bool, error) {
	const percent = 5
	pg, err := e.startPostgres(ctx)
	if err != nil {
		return "", false, err
	}
	i, err := e.startInstance(ctx, "DATABASE_URL="+pg.url, "CAROM_CACHE_BYTES=16MiB", "CAROM_LOOKUPS_MAX=4", fmt.Sprintf("CAROM_MEMORY_LIMIT=%d", overloadMemory))
	if err != nil {
		return "", false, err
	}
	if err := e.share(percent, pg.stop, pg.pids()...); errors.Is(err, errNoShare) {
		return err.Error(), false, nil
	} else if err != nil {
		return "", false, err
	}
	loads := 0
	figure, held, err := overload(ctx, e, i, 404, func(rate int) *load {
		loads++
		return startLoad(ctx, nil, loadConfig{
			addr: func() string { return i.addr }, rate: rate, connections: 256, outstanding: 256,
			code: func(n int) string { return fmt.Sprintf("unknown-%d-%d", loads, n) },
		})
	})
	return fmt.Sprintf("database with %d %% of a core: %s", percent, figure), held, err
}

// overload finds the rate at which answers of a status come when there is always another request, and sends more and more than that.
func overload(ctx context.Context, e *env, i *instance, status int, start func(rate int) *load) (string, bool, error) {
	long := pick(e, time.Second, 10*time.Second)
	var text strings.Builder
	offer := func(rate int) (*phase, float64, error) {
		l := start(rate)
		defer l.stop()
		if err := wait(ctx, 500*time.Millisecond); err != nil { // connections
			return nil, 0, err
		}
		p, err := l.during(ctx, long)
		if err == nil && p.failed.Load() > 0 {
			err = fmt.Errorf("%d requests got no answer", p.failed.Load())
		}
		return p, float64(p.status(status)) / long.Seconds(), err
	}
	_, saturation, err := offer(20_000)
	if err != nil {
		return "", false, err
	}
	base, _, err := offer(int(saturation / 2))
	if err != nil {
		return "", false, err
	}
	fmt.Fprintf(&text, "saturation %.0f/s, p99 at half of it %v", saturation, base.latency.quantile(0.99))
	peak, last := saturation, 0.0
	var slowest time.Duration
	var memory int64
	for _, times := range pick(e, []float64{1, 5}, []float64{1, 1.5, 2, 5}) {
		p, goodput, err := offer(int(times * saturation))
		if err != nil {
			return text.String(), false, err
		}
		peak, last = max(peak, goodput), goodput
		slowest = max(slowest, p.refusal.quantile(0.99))
		u, err := i.usage(ctx)
		if err != nil {
			return text.String(), false, err
		}
		memory = max(memory, u.anonymous)
		fmt.Fprintf(&text, "; %g x: %.0f answers/s, %d 503 (p99 %v), %d waited at the sender", times, goodput, p.status(503), p.refusal.quantile(0.99), p.missed.Load())
	}
	if err := wait(ctx, 2*time.Second); err != nil {
		return text.String(), false, err
	}
	after, _, err := offer(int(saturation / 2))
	if err != nil {
		return text.String(), false, err
	}
	fmt.Fprintf(&text, "; memory %d MiB; p99 at half of it afterwards %v", memory>>20, after.latency.quantile(0.99))
	held := last >= 0.8*peak && slowest <= 50*time.Millisecond && memory <= overloadMemory &&
		after.latency.quantile(0.99) <= max(2*base.latency.quantile(0.99), 20*time.Millisecond)
	return text.String(), held, nil
}
