package main

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/carom-dev/carom/loadtest/client"
)

// answerTimeout is how long the client waits for an answer before it calls the request broken.
const answerTimeout = 20 * time.Second

// freshRun numbers the loads of fresh codes, so that none is asked for twice in a run of this program.
var freshRun = new(atomic.Int64)

// ownLoad is a client in Go. It waits for every answer, so that it counts exactly, and compares each with what it has to be.
func ownLoad(ctx context.Context, addr string, w *workload, s shape, d time.Duration) (load, error) {
	head, tail, err := requestParts(addr)
	if err != nil {
		return load{}, err
	}
	o := &ownRun{addr: addr, work: w, pipeline: s.Pipeline, head: head, tail: tail, salt: freshRun.Add(1)}
	var mu sync.Mutex
	var sum load
	var latencies histogram
	var workers sync.WaitGroup
	start := time.Now()
	o.until = start.Add(d)
	for i := range s.Connections {
		workers.Go(func() {
			var h histogram
			l := o.connection(ctx, i*len(w.codes)/s.Connections, &h)
			mu.Lock()
			defer mu.Unlock()
			sum.Right, sum.Wrong, sum.Broken = sum.Right+l.Right, sum.Wrong+l.Wrong, sum.Broken+l.Broken
			latencies.merge(&h)
		})
	}
	workers.Wait()
	sum.Took = time.Since(start)
	sum.P50, sum.P99, sum.P999 = latencies.quantile(0.5), latencies.quantile(0.99), latencies.quantile(0.999)
	return sum, context.Cause(ctx)
}

// requestParts are a browser's request before and behind the code.
func requestParts(addr string) (head, tail []byte, err error) {
	request, err := client.Get(addr, "/*", client.Browser())
	if err != nil {
		return nil, nil, err
	}
	head, tail, _ = bytes.Cut(request, []byte("*"))
	return head, tail, nil
}

// ownRun is one load. Safe for its connections' goroutines: all but next is written before they start.
type ownRun struct {
	addr       string
	work       *workload
	pipeline   int
	head, tail []byte
	until      time.Time
	salt       int64
	next       atomic.Int64 // the next of codes that are asked for once, or of fresh ones
}

// take returns the next codes to ask for, none at the end. at is where this connection stands in codes that come again.
func (o *ownRun) take(into []string, at *int) []string {
	into = into[:0]
	if !o.work.once && !time.Now().Before(o.until) {
		return into
	}
	for range o.pipeline {
		switch {
		case o.work.fresh:
			into = append(into, fmt.Sprintf("n%d-%d", o.salt, o.next.Add(1)))
		case o.work.once:
			n := int(o.next.Add(1)) - 1
			if n >= len(o.work.codes) {
				return into
			}
			into = append(into, o.work.codes[n])
		default:
			into = append(into, o.work.codes[*at%len(o.work.codes)])
			*at++
		}
	}
	return into
}

func (o *ownRun) connection(ctx context.Context, at int, h *histogram) (l load) {
	conn, err := client.Dial(o.addr, answerTimeout)
	if err != nil {
		l.Broken++
		return l
	}
	defer conn.Close()
	var codes []string
	var requests []byte
	for ctx.Err() == nil {
		if codes = o.take(codes, &at); len(codes) == 0 {
			return l
		}
		requests = requests[:0]
		for _, code := range codes {
			requests = append(append(append(requests, o.head...), code...), o.tail...)
		}
		start := time.Now()
		if err := conn.Write(requests); err != nil {
			l.Broken += int64(len(codes))
			return l
		}
		for i, code := range codes {
			answer, err := conn.Read()
			switch {
			case err != nil:
				l.Broken += int64(len(codes) - i)
				return l
			case o.work.right(code, answer.Status, answer.Location):
				l.Right++
			default:
				l.Wrong++
			}
		}
		h.add(time.Since(start))
	}
	return l
}
