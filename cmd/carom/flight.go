package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/trace"
	"slices"
	"sync"
	"time"
)

// The flight recorder's window: enough for a stall that somebody has just noticed, and no more memory than this.
const (
	flightAge   = 10 * time.Second
	flightBytes = 8 << 20
)

const (
	// flightPath is where the admin listener gives the trace out.
	flightPath = "/debug/flight"
	// flightPause lies between two traces that are kept, so that a slow hour does not fill the disk.
	flightPause = time.Minute
	// flightsKept is how many of them stay; the oldest goes.
	flightsKept   = 5
	flightPattern = "flight-*.trace"
)

// flight keeps an execution trace of the last seconds, gives it out on request, and keeps it when a request was slow.
type flight struct {
	recorder *trace.FlightRecorder
	dir      string
	bound    time.Duration // 0: traces are given out on request only
	log      *slog.Logger

	slow chan slowRequest
	done sync.WaitGroup
	stop context.CancelFunc
}

type slowRequest struct {
	what string
	took time.Duration
}

// startFlight starts recording. Traces of requests that took longer than bound are kept in dir.
func startFlight(ctx context.Context, dir string, bound time.Duration, log *slog.Logger) (*flight, error) {
	f := &flight{
		recorder: trace.NewFlightRecorder(trace.FlightRecorderConfig{MinAge: flightAge, MaxBytes: flightBytes}),
		dir:      dir, bound: bound, log: log, slow: make(chan slowRequest, 1),
	}
	if err := f.recorder.Start(); err != nil {
		return nil, fmt.Errorf("start the flight recorder: %w", err)
	}
	ctx, f.stop = context.WithCancel(context.WithoutCancel(ctx))
	f.done.Go(func() { f.keepSlow(ctx) })
	return f, nil
}

// dump writes the trace.
func (f *flight) dump(w io.Writer) error {
	_, err := f.recorder.WriteTo(w)
	return err
}

// took is told how long a request took. It does not wait.
func (f *flight) took(what string, took time.Duration) {
	if f.bound == 0 || took <= f.bound {
		return
	}
	select {
	case f.slow <- slowRequest{what, took}:
	default: // one is being looked after
	}
}

func (f *flight) keepSlow(ctx context.Context) {
	var next time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-f.slow:
			if time.Now().Before(next) {
				continue
			}
			path, err := f.keep()
			if err != nil {
				f.log.Warn("request was slow; its trace can't be kept", "what", r.what, "took", r.took, "err", err)
			} else {
				f.log.Warn("request was slow; see its trace with go tool trace", "what", r.what, "took", r.took, "trace", path)
			}
			next = time.Now().Add(flightPause)
		}
	}
}

// keep writes the trace to a file of its own, and removes the oldest ones.
func (f *flight) keep() (path string, err error) {
	out, err := os.CreateTemp(f.dir, "flight-"+time.Now().UTC().Format("20060102T150405")+"-*.trace")
	if err != nil {
		return "", fmt.Errorf("make a file for the trace: %w", err)
	}
	err = f.dump(out)
	if closing := out.Close(); err == nil {
		err = closing
	}
	if err != nil {
		_ = os.Remove(out.Name()) // half a trace helps nobody
		return "", fmt.Errorf("write the trace: %w", err)
	}
	kept, err := filepath.Glob(filepath.Join(f.dir, flightPattern))
	if err != nil {
		return "", fmt.Errorf("list the traces: %w", err)
	}
	slices.Sort(kept) // by time, as their names begin with it
	for _, old := range kept[:max(len(kept)-flightsKept, 0)] {
		if err := os.Remove(old); err != nil {
			return "", fmt.Errorf("remove an old trace: %w", err)
		}
	}
	return out.Name(), nil
}

// end ends the recording and waits.
func (f *flight) end(context.Context) error {
	f.stop()
	f.done.Wait()
	f.recorder.Stop()
	return nil
}
