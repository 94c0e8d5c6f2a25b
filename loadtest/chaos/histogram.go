package main

import (
	"fmt"
	"math/bits"
	"sync/atomic"
	"time"
)

// histogram counts durations in buckets whose width is at most 1/64 of their value, from a microsecond to an hour. Its memory is fixed.
// Safe for concurrent use; the zero value is empty.
type histogram struct {
	buckets [histogramBuckets]atomic.Uint64
	count   atomic.Uint64
	largest atomic.Int64 // microseconds
}

const (
	histogramBits    = 6 // 64 buckets for each doubling
	histogramSub     = 1 << histogramBits
	histogramBuckets = 28 * histogramSub // 64 us and 26 doublings: 71 minutes
)

func bucketOf(us int64) int {
	us = max(us, 0)
	if us < histogramSub {
		return int(us)
	}
	shift := bits.Len64(uint64(us)) - histogramBits - 1
	return min((shift+1)*histogramSub+int(us>>shift)-histogramSub, histogramBuckets-1)
}

// bucketEnd is the largest value of a bucket, in microseconds.
func bucketEnd(bucket int) int64 {
	if bucket < histogramSub {
		return int64(bucket)
	}
	shift := bucket/histogramSub - 1
	return (int64(bucket%histogramSub)+histogramSub+1)<<shift - 1
}

// record counts d.
func (h *histogram) record(d time.Duration) {
	us := d.Microseconds()
	h.buckets[bucketOf(us)].Add(1)
	h.count.Add(1)
	for {
		largest := h.largest.Load()
		if us <= largest || h.largest.CompareAndSwap(largest, us) {
			return
		}
	}
}

// quantile is a duration that the part q of all is not above; 0 when there are none.
func (h *histogram) quantile(q float64) time.Duration {
	rank := uint64(q*float64(h.count.Load()) + 0.5)
	var sum uint64
	for i := range h.buckets {
		if sum += h.buckets[i].Load(); sum >= max(rank, 1) {
			return time.Duration(min(bucketEnd(i), h.largest.Load())) * time.Microsecond
		}
	}
	return time.Duration(h.largest.Load()) * time.Microsecond
}

// add counts what other has counted.
func (h *histogram) add(other *histogram) {
	for i := range other.buckets {
		h.buckets[i].Add(other.buckets[i].Load())
	}
	h.count.Add(other.count.Load())
	h.largest.Store(max(h.largest.Load(), other.largest.Load()))
}

// String is the distribution in short.
func (h *histogram) String() string {
	return fmt.Sprintf("p50 %v, p99 %v, max %v of %d", h.quantile(0.5), h.quantile(0.99), time.Duration(h.largest.Load())*time.Microsecond, h.count.Load())
}
