package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/carom-dev/carom/loadtest/client"
)

// load is what a round of load did.
type load struct {
	Answered  int64 // redirects that came back
	Other     int64 // other answers
	Broken    int64 // requests without an answer
	Uncounted int64 // requests that may have been answered besides
	Took      time.Duration
}

// generator makes a closed-loop load: each connection has its next request on the way as soon as the last is answered.
type generator func(ctx context.Context, addr, path string, d time.Duration) (load, error)

// newGenerator picks the client.
func newGenerator(cfg config) (generate generator, name string, err error) {
	if cfg.Client == "own" || cfg.Pipeline > 1 {
		return ownLoad(cfg), "own", nil
	}
	wrk, err := exec.LookPath("wrk")
	switch {
	case err == nil:
		return wrkLoad(wrk, cfg), "wrk", nil
	case cfg.Client == "wrk":
		return nil, "", fmt.Errorf("find wrk: %w", err)
	}
	return ownLoad(cfg), "own", nil
}

// wrkLoad drives wrk, whose client costs least. It counts what was answered when its time was over; up to one request a
// connection is answered behind that.
func wrkLoad(wrk string, cfg config) generator {
	return func(ctx context.Context, addr, path string, d time.Duration) (load, error) {
		args := []string{"-t", strconv.Itoa(min(2, cfg.Connections)), "-c", strconv.Itoa(cfg.Connections), "-d", strconv.Itoa(int(d.Seconds())) + "s"}
		for _, h := range client.Browser() {
			args = append(args, "-H", h.Name+": "+h.Value)
		}
		start := time.Now()
		out, err := exec.CommandContext(ctx, wrk, append(args, "http://"+addr+path)...).CombinedOutput()
		took := time.Since(start)
		if err != nil {
			return load{}, fmt.Errorf("run wrk: %w: %s", err, out)
		}
		l, err := parseWrk(out)
		l.Took, l.Uncounted = min(took, d), int64(cfg.Connections)
		return l, err
	}
}

var (
	wrkRequests = regexp.MustCompile(`(\d+) requests in `)
	wrkOther    = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)`)
	wrkBroken   = regexp.MustCompile(`Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`)
)

func parseWrk(out []byte) (load, error) {
	number := func(digits []byte) int64 {
		n, _ := strconv.ParseInt(string(digits), 10, 64) // the pattern has digits alone
		return n
	}
	m := wrkRequests.FindSubmatch(out)
	if m == nil {
		return load{}, fmt.Errorf("read wrk's output: it has no number of requests: %s", out)
	}
	l := load{Answered: number(m[1])}
	if m := wrkOther.FindSubmatch(out); m != nil {
		l.Other = number(m[1])
		l.Answered -= l.Other
	}
	if m := wrkBroken.FindSubmatch(out); m != nil {
		for _, digits := range m[1:] {
			l.Broken += number(digits)
		}
	}
	return l, nil
}

// ownLoad is the same in Go, with pipelining. It waits for every answer, so that it counts exactly.
func ownLoad(cfg config) generator {
	return func(ctx context.Context, addr, path string, d time.Duration) (load, error) {
		request, err := client.Get(addr, path, client.Browser())
		if err != nil {
			return load{}, err
		}
		requests := bytes.Repeat(request, cfg.Pipeline)
		var mu sync.Mutex
		var sum load
		var workers sync.WaitGroup
		start := time.Now()
		for range cfg.Connections {
			workers.Go(func() {
				l := ownConnection(ctx, addr, requests, cfg.Pipeline, start.Add(d))
				mu.Lock()
				defer mu.Unlock()
				sum.Answered, sum.Other, sum.Broken = sum.Answered+l.Answered, sum.Other+l.Other, sum.Broken+l.Broken
			})
		}
		workers.Wait()
		sum.Took = time.Since(start)
		return sum, context.Cause(ctx)
	}
}

func ownConnection(ctx context.Context, addr string, requests []byte, pipeline int, until time.Time) (l load) {
	conn, err := client.Dial(addr, 10*time.Second)
	if err != nil {
		l.Broken++
		return l
	}
	defer conn.Close()
	for time.Now().Before(until) && ctx.Err() == nil {
		if err := conn.Write(requests); err != nil {
			l.Broken += int64(pipeline)
			return l
		}
		for i := range pipeline {
			answer, err := conn.Read()
			switch {
			case err != nil:
				l.Broken += int64(pipeline - i)
				return l
			case answer.Status/100 == 3:
				l.Answered++
			default:
				l.Other++
			}
		}
	}
	return l
}
