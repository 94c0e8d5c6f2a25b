package main

import (
	"math/bits"
	"time"
)

// histogram counts durations in buckets that are at most 1/32 wide. Owned by one goroutine.
type histogram struct {
	buckets [64 * bucketsAnOctave]int64
	count   int64
}

const bucketsAnOctave = 32

func (h *histogram) add(d time.Duration) {
	h.buckets[bucketOf(uint64(max(d, 0)))]++
	h.count++
}

func (h *histogram) merge(o *histogram) {
	for i, n := range o.buckets {
		h.buckets[i] += n
	}
	h.count += o.count
}

// quantile is the upper end of the bucket in which the q-th part of all durations lies.
func (h *histogram) quantile(q float64) time.Duration {
	rank := int64(q * float64(h.count))
	for i, n := range h.buckets {
		if rank -= n; rank < 0 {
			return time.Duration(bucketEnd(i))
		}
	}
	return 0
}

// bucketOf: below 32 each number has its own; above, each power of two has 32 of them.
func bucketOf(n uint64) int {
	octave := bits.Len64(n) - bits.Len64(bucketsAnOctave)
	if octave < 0 {
		return int(n)
	}
	return octave*bucketsAnOctave + int(n>>octave)
}

func bucketEnd(i int) uint64 {
	if i < 2*bucketsAnOctave {
		return uint64(i)
	}
	octave := i/bucketsAnOctave - 1
	return uint64(i-octave*bucketsAnOctave+1)<<octave - 1
}
