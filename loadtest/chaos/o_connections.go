package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// connectionRows are the rows of many, slow and too many connections.
func connectionRows() []row {
	return []row{
		{id: "O2", fault: "500 -> 5,000 -> 500 connections; 5,000 idle", bar: "no error on the steady ones; memory per connection stated", short: true, run: manyConnections},
		{
			id: "O3", fault: "2,000 slow clients (header a byte at a time; slow body; slow reader)", bar: "each cut at its timeout; steady p99 <= 1.5 x",
			short: true, run: slowClients,
		},
		{id: "O4", fault: "out of file descriptors", bar: "no busy loop; recovers; each answered click stored once", short: true, run: noDescriptors},
	}
}

// steady makes an instance with some links, all of them in memory, and a load on it.
func (e *env) steady(ctx context.Context, cfg loadConfig, prepare func(i *instance)) (*instance, *oracle, *load, error) {
	i, err := e.newInstance()
	if err != nil {
		return nil, nil, nil, err
	}
	if prepare != nil {
		prepare(i)
	}
	if err := i.start(ctx); err != nil {
		return nil, nil, nil, err
	}
	links, err := makeLinks(ctx, i.api, "s", 64)
	if err != nil {
		return nil, nil, nil, err
	}
	o := newOracle(links)
	if err := flood(ctx, o, i.addr, 2_000); err != nil {
		return nil, nil, nil, err
	}
	cfg.addr = func() string { return i.addr }
	l := startLoad(ctx, o, cfg)
	e.later(func() error {
		l.stop()
		return nil
	})
	return i, o, l, nil
}

// settleDown ends a row's load: nothing failed in the phases, and all clicks are there.
func settleDown(ctx context.Context, i *instance, o *oracle, l *load, phases ...*phase) error {
	l.stop()
	for _, p := range phases {
		if err := p.failures(); err != nil {
			return err
		}
	}
	_, err := o.check(ctx, i.api, patience)
	return err
}

// crowd is many connections of which nobody expects much.
type crowd []net.Conn

// gather opens connections, a few at once, and asks one thing on each.
func gather(ctx context.Context, addr string, n int, request string) (crowd, error) {
	conns := make(crowd, n)
	var opening sync.WaitGroup
	var next atomic.Int64
	errs := make([]error, 16)
	for k := range errs {
		opening.Go(func() {
			for ctx.Err() == nil {
				at := int(next.Add(1)) - 1
				if at >= n {
					return
				}
				if conns[at], errs[k] = openIdle(addr, request); errs[k] != nil {
					return
				}
			}
		})
	}
	opening.Wait()
	if err := errors.Join(errs...); err != nil {
		conns.leave()
		return nil, err
	}
	return conns, context.Cause(ctx)
}

// openIdle opens a connection and reads the answer to one request on it.
func openIdle(addr, request string) (net.Conn, error) {
	conn, err := net.DialTimeout("tcp", addr, 10*time.Second) //nolint:noctx // bounded
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	err = conn.SetDeadline(time.Now().Add(30 * time.Second))
	if err == nil {
		_, err = io.WriteString(conn, request)
	}
	if err == nil {
		_, err = readHead(bufio.NewReaderSize(conn, 512))
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("ask on a new connection: %w", err)
	}
	return conn, nil
}

// leave closes them all.
func (c crowd) leave() {
	for _, conn := range c {
		if conn != nil {
			conn.Close()
		}
	}
}

// An answer without a body, so that reading its head is reading it all.
const smallRequest = "GET /favicon.ico HTTP/1.1\r\nHost: a\r\n\r\n"

func manyConnections(ctx context.Context, e *env) (string, bool, error) {
	const few, many = 500, 5_000
	i, o, l, err := e.steady(ctx, loadConfig{rate: 1000, connections: few}, nil)
	if err != nil {
		return "", false, err
	}
	long := pick(e, time.Second, 10*time.Second)
	before, err := l.during(ctx, long)
	if err != nil {
		return "", false, err
	}
	alone, err := i.usage(ctx)
	if err != nil {
		return "", false, err
	}
	during := l.enter()
	others, err := gather(ctx, i.addr, many-few, smallRequest)
	if err != nil {
		return "", false, err
	}
	defer others.leave()
	if err := wait(ctx, long); err != nil {
		return "", false, err
	}
	crowded, err := i.usage(ctx)
	if err != nil {
		return "", false, err
	}
	others.leave()
	after, err := l.during(ctx, long)
	if err != nil {
		return "", false, err
	}
	if err := settleDown(ctx, i, o, l, before, during, after); err != nil {
		return "", false, err
	}
	idle, err := gather(ctx, i.addr, many, smallRequest)
	if err != nil {
		return "", false, err
	}
	defer idle.leave()
	resting, err := i.usage(ctx)
	if err != nil {
		return "", false, err
	}
	if resting.descriptor < many {
		return "", false, fmt.Errorf("%d idle connections take %d descriptors: some were closed", many, resting.descriptor)
	}
	each := func(u usage, n int) float64 { return float64(u.anonymous-alone.anonymous) / float64(n) / 1024 }
	return fmt.Sprintf("%d -> %d -> %d: 0 of %d steady requests failed, p99 %v, %v, %v; %.1f KiB a connection that was used once, %.1f KiB with %d idle",
		few, many, few, o.tally().sent, before.latency.quantile(0.99), during.latency.quantile(0.99), after.latency.quantile(0.99),
		each(crowded, many-few), each(resting, many), many), true, nil
}

// slowClients lets clients of three kinds hold connections for as long as they can. They are a process of their own with the lowest
// priority, as in the world they are on other machines: what is left between the steady load and them is what they cost the server.
func slowClients(ctx context.Context, e *env) (string, bool, error) {
	n := pick(e, 300, 2000)
	i, o, l, err := e.steady(ctx, loadConfig{rate: 1000}, nil)
	if err != nil {
		return "", false, err
	}
	rounds := pick(e, 1, 5)
	var phases []*phase
	var bases, slows []time.Duration
	longest := map[string]time.Duration{}
	late := false
	for range rounds {
		baseline, err := l.during(ctx, pick(e, 3*time.Second, 10*time.Second))
		if err != nil {
			return "", false, err
		}
		during := l.enter()
		kinds, err := runSlow(ctx, i.addr, n)
		if err != nil {
			return "", false, err
		}
		for _, kind := range kinds {
			if kind.Shortest < requestTimeout-time.Second {
				return "", false, fmt.Errorf("%s: cut after %v, which is too soon", kind.Name, kind.Shortest)
			}
			late = late || kind.late()
			longest[kind.Name] = max(longest[kind.Name], kind.Longest)
		}
		phases = append(phases, baseline, during)
		bases, slows = append(bases, baseline.latency.quantile(0.99)), append(slows, during.latency.quantile(0.99))
	}
	var text strings.Builder
	for _, kind := range slowKinds() {
		fmt.Fprintf(&text, "%s cut within %.1f s; ", kind.Name, longest[kind.Name].Seconds())
	}
	base, slow := median(bases), median(slows)
	return fmt.Sprintf("%d clients: %ssteady p99 %v, %v before: x %.2f (medians of %d rounds)", n, text.String(), slow, base, float64(slow)/float64(base), rounds),
		!late && slow <= base*3/2, settleDown(ctx, i, o, l, phases...)
}

// noDescriptors opens more connections than the instance has descriptors for, and measures what it does meanwhile.
func noDescriptors(ctx context.Context, e *env) (string, bool, error) {
	const descriptors, connections = 120, 16
	i, o, l, err := e.steady(ctx, loadConfig{rate: 500, connections: connections}, func(i *instance) {
		i.prefix = []string{"prlimit", fmt.Sprintf("--nofile=%d:%d", descriptors, descriptors)}
		i.vars = append(i.vars, "CAROM_CONNECTIONS_MAX=100000") // so that its own bound does not come first
	})
	if err != nil {
		return "", false, err
	}
	baseline, base, err := i.busyDuring(ctx, l, 3*time.Second)
	if err != nil {
		return "", false, err
	}
	others := make(crowd, 2*descriptors)
	defer func() { others.leave() }()
	for k := range others { // the system takes those into its queue that the instance does not
		if others[k], err = net.DialTimeout("tcp", i.addr, 5*time.Second); err != nil { //nolint:noctx // bounded
			return "", false, fmt.Errorf("connect: %w", err)
		}
	}
	during, busy, err := i.busyDuring(ctx, l, 3*time.Second)
	if err != nil {
		return "", false, err
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", i.process.Pid())) // not by usage, which asks the instance as well
	if err != nil {
		return "", false, fmt.Errorf("read descriptors: %w", err)
	}
	taken := len(open)
	others.leave()
	began := time.Now()
	if err := until(ctx, "a new connection is served", 10*time.Second, func() (bool, error) { return i.isReady(), nil }); err != nil {
		return "", false, err
	}
	back := time.Since(began)
	after, err := l.during(ctx, time.Second)
	if err != nil {
		return "", false, err
	}
	if taken < descriptors-5 {
		return "", false, fmt.Errorf("only %d of %d descriptors were taken: the fault was not made", taken, descriptors)
	}
	err = settleDown(ctx, i, o, l, baseline, during, after)
	figure := fmt.Sprintf("%d of %d descriptors taken; processor %.0f %% of a core, %.0f %% before; a new connection served %v after it was over; %v",
		taken, descriptors, 100*busy, 100*base, back.Round(time.Millisecond), o.tally())
	return figure, busy <= base+0.25, err
}

// busyDuring is a phase of the load, and the part of a core that the instance has used in it.
func (i *instance) busyDuring(ctx context.Context, l *load, d time.Duration) (*phase, float64, error) {
	before, err := i.process.CPU()
	if err != nil {
		return nil, 0, err
	}
	p, err := l.during(ctx, d)
	if err != nil {
		return nil, 0, err
	}
	after, err := i.process.CPU()
	return p, (after - before).Seconds() / d.Seconds(), err
}
