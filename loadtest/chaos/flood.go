package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/carom-dev/carom/loadtest/client"
)

// floodDepth is how many requests a connection of a flood has under way.
const floodDepth = 64

// flood sends n requests as fast as they are answered, on a few connections with many requests under way on each: the cheapest way to
// record many clicks. It returns when all are answered; one that is not is an error.
func flood(ctx context.Context, o *oracle, addr string, n int) error {
	const connections = 4
	var workers sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(n))
	errs := make([]error, connections)
	for k := range connections {
		workers.Go(func() { errs[k] = floodOne(ctx, o, addr, &left) })
	}
	workers.Wait()
	return errors.Join(errs...)
}

func floodOne(ctx context.Context, o *oracle, addr string, left *atomic.Int64) error {
	conn, err := client.Dial(addr, 30*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	var requests []byte
	ids := make([]int, floodDepth)
	for left.Add(-floodDepth) > -floodDepth && ctx.Err() == nil {
		requests = requests[:0]
		for k := range ids {
			link := k % len(o.links)
			ids[k] = o.send(link)
			requests = appendVisit(requests, o.links[link].code, ids[k])
		}
		if err := conn.Write(requests); err != nil {
			return fmt.Errorf("flood: %w", err)
		}
		for _, id := range ids {
			r, err := conn.Read()
			if err != nil {
				return fmt.Errorf("flood: %w", err)
			}
			o.answer(id, r.Status, string(r.Location))
		}
	}
	return context.Cause(ctx)
}
