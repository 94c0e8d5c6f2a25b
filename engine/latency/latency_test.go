package latency

import (
	"slices"
	"sync"
	"testing"
	"time"
)

func TestBoundsIncrease(t *testing.T) {
	if !slices.IsSorted(bounds[:]) || len(slices.Compact(Bounds())) != len(bounds) {
		t.Errorf("bounds %v do not increase", bounds)
	}
	for _, promised := range []time.Duration{50 * time.Millisecond, 250 * time.Millisecond, time.Second} {
		if !slices.Contains(bounds[:], promised) {
			t.Errorf("%v is promised to visitors and is no bound", promised)
		}
	}
}

func TestObservationsFallIntoTheirBuckets(t *testing.T) {
	for i, bound := range bounds {
		var h Histogram
		for _, d := range []time.Duration{bound - 1, bound, bound + 1} {
			h.Observe(d)
		}
		s := h.Snapshot()
		if s.Counts[i] != 2 || s.Counts[i+1] != 1 || s.Count() != 3 || s.Sum != 3*bound {
			t.Errorf("around %v: buckets %v, sum %v; want 2 up to it and 1 above", bound, s.Counts, s.Sum)
		}
	}
	var h Histogram
	h.Observe(-time.Second)
	h.Observe(0)
	h.Observe(time.Hour)
	if s := h.Snapshot(); s.Counts[0] != 2 || s.Counts[len(bounds)] != 1 || s.Sum != time.Hour {
		t.Errorf("the outermost: buckets %v, sum %v", s.Counts, s.Sum)
	}
}

func TestNothingIsLostAmongMany(t *testing.T) {
	var h Histogram
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 1000 {
				h.Observe(time.Duration(i) * time.Microsecond)
			}
		})
	}
	all.Wait()
	s := h.Snapshot()
	if s.Count() != 8000 || s.Sum != 8*999*500*time.Microsecond {
		t.Errorf("%d observations of %v together, want 8000 of 3.996s", s.Count(), s.Sum)
	}
}

func TestObserveAllocs(t *testing.T) {
	var h Histogram
	if n := testing.AllocsPerRun(100, func() { h.Observe(time.Millisecond) }); n != 0 {
		t.Errorf("Observe allocates %v times, want 0", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	var h Histogram
	b.ReportAllocs()
	for b.Loop() {
		h.Observe(37 * time.Microsecond)
	}
}
