package wire

import (
	"sync/atomic"
	"time"
)

// Throttle lets through one event in an interval and counts the others, for log lines that a stranger can cause at will. The
// zero value lets one a second through. Safe for concurrent use.
type Throttle struct {
	Interval time.Duration // 0: one second
	next     atomic.Int64  // Unix nanoseconds
	swallow  atomic.Uint64
}

// Allow reports whether the event at now goes through, and how many before it did not.
func (t *Throttle) Allow(now time.Time) (ok bool, swallowed uint64) {
	interval := t.Interval
	if interval == 0 {
		interval = time.Second
	}
	next := t.next.Load()
	if now.UnixNano() < next || !t.next.CompareAndSwap(next, now.Add(interval).UnixNano()) {
		t.swallow.Add(1)
		return false, 0
	}
	return true, t.swallow.Swap(0)
}
