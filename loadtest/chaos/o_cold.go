package main

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/carom-dev/carom/loadtest/client"
)

// coldRows are the rows of codes that are not in memory.
func coldRows() []row {
	return []row{
		{id: "O5", fault: "1,000 at once on one cold link; loader fails or stalls", bar: "one query; one answer for all; the next try is fresh", short: true, run: coldLink},
		{id: "O6", fault: "unknown codes at 5 x the normal load", bar: "queries a second bounded; hit p99 <= 1.2 x", short: true, run: unknownCodes},
	}
}

const metricQueries = "carom_actors_loader_queries_total"

// rush asks for one code on many connections at once, and returns how often each status came and when the last one did.
func rush(addr, code string, n int) (map[int]int, time.Duration, error) {
	conns := make([]*client.Conn, n)
	for k := range conns {
		var err error
		if conns[k], err = client.Dial(addr, 30*time.Second); err != nil {
			return nil, 0, err
		}
		defer conns[k].Close()
	}
	request := appendVisit(nil, code, 0)
	var mu sync.Mutex
	statuses := map[int]int{}
	var slowest time.Duration
	var failed error
	var visitors sync.WaitGroup
	gate := make(chan struct{})
	for _, conn := range conns {
		visitors.Go(func() {
			<-gate
			began := time.Now()
			r, err := conn.Do(request)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = err
				return
			}
			statuses[r.Status]++
			slowest = max(slowest, time.Since(began))
		})
	}
	close(gate)
	visitors.Wait()
	return statuses, slowest, failed
}

// coldLink lets a thousand ask for links that are not in memory, with a database that answers, one that stalls and one that is gone.
func coldLink(ctx context.Context, e *env) (string, bool, error) {
	const visitors = 1000
	pg, err := e.startPostgres(ctx)
	if err != nil {
		return "", false, err
	}
	i, err := e.startInstance(ctx, "DATABASE_URL="+pg.url)
	if err != nil {
		return "", false, err
	}
	if _, err := makeLinks(ctx, i.api, "cold", 3); err != nil {
		return "", false, err
	}
	if err := i.stop(); err != nil {
		return "", false, err
	}
	if err := i.start(ctx); err != nil {
		return "", false, err
	}
	before, err := i.api.Metric(ctx, metricQueries)
	if err != nil {
		return "", false, err
	}
	answers, slowest, err := rush(i.addr, "cold0", visitors)
	if err != nil {
		return "", false, err
	}
	after, err := i.api.Metric(ctx, metricQueries)
	if err != nil {
		return "", false, err
	}
	if answers[302] != visitors || after-before != 1 {
		return "", false, fmt.Errorf("%d visitors of a cold link got %v by %.0f queries, want 302 by 1", visitors, answers, after-before)
	}
	figure := fmt.Sprintf("%d answers by 1 query within %v", visitors, slowest.Round(time.Millisecond))
	for n, fault := range []struct {
		name        string
		begin, over func() error
	}{
		{"stalled", func() error { return pg.signal(syscall.SIGSTOP) }, func() error { return pg.signal(syscall.SIGCONT) }},
		{"killed", pg.kill, func() error { return pg.start(ctx) }},
	} {
		if err := fault.begin(); err != nil {
			return figure, false, err
		}
		code := fmt.Sprintf("cold%d", n+1)
		answers, slowest, err := rush(i.addr, code, visitors)
		if err == nil && answers[503] != visitors {
			err = fmt.Errorf("%d visitors of a cold link got %v from a database that is %s, want 503", visitors, answers, fault.name)
		}
		if err != nil {
			return figure, false, err
		}
		if err := fault.over(); err != nil {
			return figure, false, err
		}
		began := time.Now()
		if err := until(ctx, "the link is found", 15*time.Second, func() (bool, error) {
			answers, _, err := rush(i.addr, code, 1)
			return answers[302] == 1, err
		}); err != nil {
			return figure, false, err
		}
		figure += fmt.Sprintf("; database %s: 503 for all within %v, found %v after it was back", fault.name,
			slowest.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	}
	return figure, true, nil
}

// unknownCodes asks for codes that nobody has, each another one, beside a normal load: as strangers that are limited, and without limits.
func unknownCodes(ctx context.Context, e *env) (string, bool, error) {
	const rate = 500
	text, held := "", true
	for _, limit := range []string{"300/m", "0"} {
		i, o, l, err := e.steady(ctx, loadConfig{rate: rate, connections: 16}, func(i *instance) { i.vars = append(i.vars, "CAROM_RATE_LIMIT_UNKNOWN="+limit) })
		if err != nil {
			return "", false, err
		}
		var base, crowded []time.Duration
		var phases []*phase
		queries, seconds := 0.0, 0.0
		for round := range pick(e, 1, 5) {
			p, err := l.during(ctx, pick(e, 2*time.Second, 5*time.Second))
			if err != nil {
				return "", false, err
			}
			base, phases = append(base, p.latency.quantile(0.99)), append(phases, p)
			before, err := i.api.Metric(ctx, metricQueries)
			if err != nil {
				return "", false, err
			}
			began := time.Now()
			scan := startLoad(ctx, o, loadConfig{
				addr: func() string { return i.addr }, rate: 5 * rate, connections: 16,
				code: func(n int) string { return fmt.Sprintf("unknown-%d-%d", round, n) },
			})
			p, err = l.during(ctx, pick(e, 2*time.Second, 5*time.Second))
			scan.stop()
			if err != nil {
				return "", false, err
			}
			after, err := i.api.Metric(ctx, metricQueries)
			if err != nil {
				return "", false, err
			}
			queries, seconds = queries+after-before, seconds+time.Since(began).Seconds()
			crowded, phases = append(crowded, p.latency.quantile(0.99)), append(phases, p)
		}
		if err := settleDown(ctx, i, o, l, phases...); err != nil {
			return text, false, err
		}
		ratio := float64(median(crowded)) / float64(median(base))
		text += fmt.Sprintf("limit %s: %.0f queries/s for %d unknown codes/s, hit p99 %v, %v before: x %.2f; ", limit, queries/seconds, 5*rate, median(crowded), median(base), ratio)
		held = held && ratio <= 1.2 && (limit == "0" || queries/seconds <= 300)
	}
	return text + "0 means no limit at all", held, nil
}
