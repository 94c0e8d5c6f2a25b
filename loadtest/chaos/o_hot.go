package main

import (
	"context"
	"fmt"
	"time"
)

// hotRows are the rows of load that falls on one place.
func hotRows() []row {
	return []row{
		{id: "O7", fault: "one link takes 90 % of the traffic", bar: "within 20 % of uniform throughput; count exact", short: true, run: oneHotLink},
		{id: "O8", fault: "a shard's actor stuck for 5 s", bar: "other shards' p99 <= 1.2 x; the stuck one sheds", short: true, run: stuckShard},
	}
}

// oneHotLink compares the throughput of equal links with that of a favourite, in turns.
func oneHotLink(ctx context.Context, e *env) (string, bool, error) {
	const links = 64
	i, err := e.startInstance(ctx)
	if err != nil {
		return "", false, err
	}
	made, err := makeLinks(ctx, i.api, "h", links)
	if err != nil {
		return "", false, err
	}
	o := newOracle(made)
	if err := flood(ctx, o, i.addr, 2_000); err != nil {
		return "", false, err
	}
	choices := []func(n int) int{
		func(n int) int { return n % links },
		func(n int) int {
			if n%10 != 0 {
				return 0
			}
			return n / 10 % links
		},
	}
	rates := make([][]time.Duration, len(choices)) // time a request, so that median takes it
	long := pick(e, time.Second, 4*time.Second)
	for range pick(e, 3, 9) {
		for k, choose := range choices {
			l := startLoad(ctx, o, loadConfig{addr: func() string { return i.addr }, rate: 200_000, connections: 64, outstanding: 256, choose: choose})
			p, err := l.during(ctx, long)
			l.stop()
			if err != nil {
				return "", false, err
			}
			if p.failures() != nil || p.status(302) == 0 {
				return "", false, fmt.Errorf("redirects of a round: %v: %w", p, p.failures())
			}
			rates[k] = append(rates[k], long/time.Duration(p.status(302)))
		}
	}
	t, err := o.check(ctx, i.api, 5*patience)
	uniform, hot := time.Second/median(rates[0]), time.Second/median(rates[1])
	figure := fmt.Sprintf("%d redirects/s with a favourite, %d without: x %.2f; %v", hot, uniform, float64(hot)/float64(uniform), t)
	return figure, float64(hot) >= 0.8*float64(uniform), err
}

// The code whose look-up stops its shard in a build with failpoints, and for how long.
const (
	stallCode     = "failpoint-stall"
	stallDuration = 5 * time.Second
)

// stuckShard stops the actor of one shard, and looks up codes in all shards meanwhile; hits go on beside.
func stuckShard(ctx context.Context, e *env) (string, bool, error) {
	binary, err := e.failpointCarom(ctx)
	if err != nil {
		return "", false, err
	}
	const lookups = 800
	i, o, l, err := e.steady(ctx, loadConfig{rate: 500, connections: 16}, func(i *instance) {
		i.binary = binary
		i.vars = append(i.vars, "CAROM_LOOKUPS_MAX=16", fmt.Sprintf("CAROM_FAILPOINT_STALL=%s=%v", stallCode, stallDuration))
	})
	if err != nil {
		return "", false, err
	}
	others := startLoad(ctx, o, loadConfig{
		addr: func() string { return i.addr }, rate: lookups, connections: 64, code: func(n int) string { return fmt.Sprintf("nobody-has-%d", n) },
	})
	defer others.stop()
	if err := wait(ctx, 500*time.Millisecond); err != nil {
		return "", false, err
	}
	hits, before := l.enter(), others.enter()
	if err := wait(ctx, stallDuration-time.Second); err != nil {
		return "", false, err
	}
	stuckHits, during := l.enter(), others.enter()
	if _, _, err := rush(i.addr, stallCode, 1); err != nil {
		return "", false, err
	}
	if err := wait(ctx, stallDuration-2*time.Second); err != nil { // it is stuck for all of this phase
		return "", false, err
	}
	last, rest := l.enter(), others.enter()
	if err := wait(ctx, 3*time.Second); err != nil {
		return "", false, err
	}
	after, err := others.during(ctx, time.Second)
	if err != nil {
		return "", false, err
	}
	others.stop()
	figure := fmt.Sprintf("other shards: look-up p99 %v, %v before; the stuck one: %d of %d look-ups shed, p50 %v, p99 %v; hit p99 %v, %v before; afterwards %d shed",
		during.latency.quantile(0.99), before.latency.quantile(0.99), during.status(503), during.status(503)+during.status(404),
		during.refusal.quantile(0.5), during.refusal.quantile(0.99), stuckHits.latency.quantile(0.99), hits.latency.quantile(0.99), after.status(503))
	for _, p := range []*phase{before, during, rest, after} {
		if n := p.failed.Load(); n > 0 {
			return figure, false, fmt.Errorf("%d look-ups got no answer", n)
		}
	}
	if during.status(503) == 0 || after.status(404) == 0 || after.status(503) > 0 {
		return figure, false, fmt.Errorf("look-ups were shed %d times while a shard was stuck and %d times afterwards, want some and none", during.status(503), after.status(503))
	}
	held := during.latency.quantile(0.99) <= before.latency.quantile(0.99)*6/5 && stuckHits.latency.quantile(0.99) <= hits.latency.quantile(0.99)*6/5
	return figure, held, settleDown(ctx, i, o, l, hits, stuckHits, last)
}
