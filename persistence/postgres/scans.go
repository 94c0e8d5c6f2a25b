package postgres

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/carom-dev/carom/engine"
)

// scans bounds how many long reads are under way. Safe for concurrent use.
type scans struct {
	places chan struct{}
	waited atomic.Uint64
	nanos  atomic.Int64 // waited for places
}

func newScans(most int) *scans { return &scans{places: make(chan struct{}, most)} }

// enter waits for a place until ctx ends.
func (s *scans) enter(ctx context.Context) error {
	select {
	case s.places <- struct{}{}:
		return nil
	default:
	}
	s.waited.Add(1)
	began := time.Now()
	defer func() { s.nanos.Add(int64(time.Since(began))) }()
	select {
	case s.places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *scans) leave() { <-s.places }

func (s *scans) stats() engine.PoolStats {
	return engine.PoolStats{
		Name: "scans", Max: cap(s.places), Open: cap(s.places), Busy: len(s.places), Waited: s.waited.Load(), WaitTime: time.Duration(s.nanos.Load()),
	}
}
