// Package latency counts how long things took, in fixed buckets.
package latency

import (
	"slices"
	"sync/atomic"
	"time"
)

// bounds are the buckets' upper bounds, included: 1, 2.5 and 5 of each decade from a microsecond to ten seconds. The bounds that are
// promised to visitors (50 ms, 250 ms, 1 s) are among them, so that what is beyond them is counted and not estimated.
var bounds = [...]time.Duration{
	time.Microsecond, 2500 * time.Nanosecond, 5 * time.Microsecond,
	10 * time.Microsecond, 25 * time.Microsecond, 50 * time.Microsecond,
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second,
	10 * time.Second,
}

// Bounds are the buckets' upper bounds, included, in increasing order; one more bucket takes what is above the last.
func Bounds() []time.Duration { return slices.Clone(bounds[:]) }

// Histogram counts durations. The zero value is empty and ready. Safe for concurrent use; an observation is two atomic additions
// and no allocation (TestObserveAllocs), and nobody waits for anybody.
type Histogram struct {
	counts [len(bounds) + 1]atomic.Uint64
	sum    atomic.Int64 // nanoseconds
}

// Observe counts d; below 0 it counts as 0.
func (h *Histogram) Observe(d time.Duration) {
	d = max(d, 0)
	i, _ := slices.BinarySearch(bounds[:], d)
	h.counts[i].Add(1)
	h.sum.Add(int64(d))
}

// Snapshot is a Histogram's counts at one time, each exact, together not of one moment.
type Snapshot struct {
	Counts [len(bounds) + 1]uint64 // by bucket, the last one above all Bounds
	Sum    time.Duration
}

// Snapshot reads the counts.
func (h *Histogram) Snapshot() Snapshot {
	s := Snapshot{Sum: time.Duration(h.sum.Load())}
	for i := range h.counts {
		s.Counts[i] = h.counts[i].Load()
	}
	return s
}

// Count is the number of observations.
func (s *Snapshot) Count() uint64 {
	n := uint64(0)
	for _, c := range s.Counts {
		n += c
	}
	return n
}
