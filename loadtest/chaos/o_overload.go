package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
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
	const percent = 10
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
	more := &overload{e: e, i: i, status: 302, long: pick(e, time.Second, 5*time.Second), start: func(rate int) *load {
		return startLoad(ctx, o, loadConfig{addr: func() string { return i.addr }, rate: rate, connections: 128, outstanding: 256})
	}}
	figure, held, err := more.measure(ctx)
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
	more := &overload{e: e, i: i, status: 404, long: pick(e, time.Second, 5*time.Second), start: func(rate int) *load {
		loads++
		return startLoad(ctx, nil, loadConfig{
			addr: func() string { return i.addr }, rate: rate, connections: 256, outstanding: 256,
			code: func(n int) string { return fmt.Sprintf("unknown-%d-%d", loads, n) },
		})
	}}
	figure, held, err := more.measure(ctx)
	return fmt.Sprintf("database with %d %% of a core: %s", percent, figure), held, err
}

// overload is more and more requests.
type overload struct {
	e      *env
	i      *instance // whose memory is told
	status int       // of the answers that count
	start  func(rate int) *load
	long   time.Duration // of one measurement
}

// offered is what came of a rate.
type offered struct {
	goodput  float64 // answers a second
	p99      time.Duration
	refused  int64         // answers of 503
	slowest  time.Duration // the 99th percentile of those
	withheld int64         // never sent, as all connections were waiting
	memory   int64
}

// offer sends requests at a rate, whether they are answered or not.
func (o *overload) offer(ctx context.Context, rate int) (offered, error) {
	l := o.start(rate)
	defer l.stop()
	if err := wait(ctx, 500*time.Millisecond); err != nil { // connections
		return offered{}, err
	}
	p, err := l.during(ctx, o.long)
	if err != nil {
		return offered{}, err
	}
	if n := p.failed.Load(); n > 0 {
		return offered{}, fmt.Errorf("%d requests got no answer", n)
	}
	u, err := o.i.usage(ctx)
	return offered{
		goodput: float64(p.status(o.status)) / o.long.Seconds(), p99: p.latency.quantile(0.99),
		refused: p.status(503), slowest: p.refusal.quantile(0.99), withheld: p.missed.Load(), memory: u.anonymous,
	}, err
}

// saturationSteps bounds the search for what can be done: each step offers twice as much as the one before.
const saturationSteps = 6

// saturate finds the most answers a second, and at which rate they came: what is offered is doubled until it brings less than a tenth more.
func (o *overload) saturate(ctx context.Context) (most float64, at int, err error) {
	for rate, step := 10_000, 0; step < saturationSteps; rate, step = 2*rate, step+1 {
		got, err := o.offer(ctx, rate)
		if err != nil {
			return 0, 0, err
		}
		if got.goodput < 1.1*most {
			break
		}
		most, at = got.goodput, rate
	}
	return most, at, nil
}

// overloadRounds is how often each rate is offered, in turn with the others: what comes of one differs by a sixth from one time to the next.
const overloadRounds = 3

// measure finds the rate at which no more answers come, offers multiples of that, and looks whether what was usual before is so afterwards.
func (o *overload) measure(ctx context.Context) (string, bool, error) {
	saturation, at, err := o.saturate(ctx)
	if err != nil {
		return "", false, err
	}
	base, err := o.offer(ctx, int(saturation/2))
	if err != nil {
		return "", false, err
	}
	figure := fmt.Sprintf("saturation %.0f/s of %d, p99 at half of it %v", saturation, at, base.p99)
	times := pick(o.e, []float64{1, 5}, []float64{1, 1.5, 2, 5})
	rates := []int{at}
	for _, n := range times {
		rates = append(rates, int(n*saturation))
	}
	came := make([][]offered, len(rates))
	for range pick(o.e, 1, overloadRounds) {
		for k, rate := range rates {
			got, err := o.offer(ctx, rate)
			if err != nil {
				return figure, false, err
			}
			came[k] = append(came[k], got)
		}
	}
	if err := wait(ctx, 2*time.Second); err != nil {
		return figure, false, err
	}
	after, err := o.offer(ctx, int(saturation/2))
	if err != nil {
		return figure, false, err
	}
	peak, last, worst := 0.0, 0.0, offered{}
	for k, all := range came {
		slices.SortFunc(all, func(a, b offered) int { return cmp.Compare(a.goodput, b.goodput) })
		m := all[len(all)/2]
		peak, last = max(peak, m.goodput), m.goodput
		for _, got := range all {
			worst.slowest, worst.memory = max(worst.slowest, got.slowest), max(worst.memory, got.memory)
		}
		name := "there again"
		if k > 0 {
			name = fmt.Sprintf("%g x", times[k-1])
		}
		figure += fmt.Sprintf("; %s: %.0f answers/s, %d 503 (p99 %v), %d waited at the sender", name, m.goodput, m.refused, m.slowest, m.withheld)
	}
	figure += fmt.Sprintf(" (medians of %d); memory %d MiB; p99 at half of it afterwards %v", len(came[0]), worst.memory>>20, after.p99)
	held := last >= 0.8*peak && worst.slowest <= 50*time.Millisecond && worst.memory <= overloadMemory && after.p99 <= max(2*base.p99, 20*time.Millisecond)
	return figure, held, nil
}
