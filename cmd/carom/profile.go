package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime/trace"
	"time"

	"github.com/grafana/pyroscope-go"
)

// profiler sends profiles to Pyroscope.
type profiler struct{ sender *pyroscope.Profiler }

// profileUploadTimeout bounds one upload; the end waits for those under way.
const profileUploadTimeout = 5 * time.Second

// startProfiler starts sending profiles.
func startProfiler(server string) (*profiler, error) {
	sender, err := pyroscope.Start(pyroscope.Config{
		ApplicationName: "carom", ServerAddress: server,
		HTTPClient: &http.Client{Timeout: profileUploadTimeout},
		// Without this a heap profile forces a garbage collection whenever none happened by itself, which is the rule here.
		DisableGCRuns: true,
		// CPU and heap alone: the others stop the world for a time that grows with the number of goroutines.
		ProfileTypes: []pyroscope.ProfileType{
			pyroscope.ProfileCPU, pyroscope.ProfileAllocObjects, pyroscope.ProfileAllocSpace, pyroscope.ProfileInuseObjects, pyroscope.ProfileInuseSpace,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("start sending profiles: %w", err)
	}
	return &profiler{sender}, nil
}

// stop sends what is there, until ctx ends.
func (p *profiler) stop(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- p.sender.Stop() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// The flight recorder's window: enough for a stall that somebody has just noticed, and no more memory than this.
const (
	flightAge   = 10 * time.Second
	flightBytes = 8 << 20
)

// flightPath is where the admin listener gives the trace out.
const flightPath = "/debug/flight"

// startFlight starts the flight recorder and returns what writes its trace.
func startFlight() (*trace.FlightRecorder, func(io.Writer) error, error) {
	recorder := trace.NewFlightRecorder(trace.FlightRecorderConfig{MinAge: flightAge, MaxBytes: flightBytes})
	if err := recorder.Start(); err != nil {
		return nil, nil, fmt.Errorf("start the flight recorder: %w", err)
	}
	return recorder, func(w io.Writer) error {
		_, err := recorder.WriteTo(w)
		return err
	}, nil
}
