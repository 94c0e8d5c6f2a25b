package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// watch samples what one process takes, and tells whether that grows. Its run is one goroutine; the rest comes after that.
type watch struct {
	instance *instance
	samples  []sample
}

type sample struct {
	at time.Time
	usage
}

// watched is what came of it. The first fifth is warm-up and in nothing of this.
type watched struct {
	first, last usage   // medians of the first and the last tenth behind the warm-up
	slope       float64 // of the memory, bytes an hour, by least squares
}

// run samples until ctx ends.
func (w *watch) run(ctx context.Context, interval time.Duration) error {
	for wait(ctx, interval) == nil {
		u, err := w.instance.usage(ctx)
		switch {
		case err == nil:
			w.samples = append(w.samples, sample{time.Now(), u})
		case ctx.Err() == nil: // and not cut off by the end
			return fmt.Errorf("watch: %w", err)
		}
	}
	if len(w.samples) < 10 {
		return errors.New("watch: too few samples to say anything")
	}
	return nil
}

func (w *watch) result() watched {
	kept := w.samples[len(w.samples)/5:]
	part := max(len(kept)/10, 1)
	var r watched
	r.first, r.last = medianUsage(kept[:part]), medianUsage(kept[len(kept)-part:])
	r.slope = slope(kept)
	return r
}

func medianUsage(samples []sample) usage {
	pickBy := func(of func(u *usage) int64) int64 {
		values := make([]time.Duration, len(samples))
		for i := range samples {
			values[i] = time.Duration(of(&samples[i].usage))
		}
		return int64(median(values))
	}
	return usage{
		anonymous:  pickBy(func(u *usage) int64 { return u.anonymous }),
		resident:   pickBy(func(u *usage) int64 { return u.resident }),
		descriptor: int(pickBy(func(u *usage) int64 { return int64(u.descriptor) })),
		goroutines: int(pickBy(func(u *usage) int64 { return int64(u.goroutines) })),
	}
}

// slope is how fast the memory grows, in bytes an hour, by least squares.
func slope(samples []sample) float64 {
	var n, sx, sy, sxx, sxy float64
	for _, s := range samples {
		x, y := s.at.Sub(samples[0].at).Hours(), float64(s.anonymous)
		n, sx, sy, sxx, sxy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	if d := n*sxx - sx*sx; d != 0 {
		return (n*sxy - sx*sy) / d
	}
	return 0
}
