//go:build !race

package main

import "testing"

// TestHitAllocs holds that a redirect, its click recorded, allocates nothing and has no span, with all the real parts in place and tracing on.
func TestHitAllocs(t *testing.T) {
	h := startHits(t)
	before := h.journal.Stats().Appended
	const runs = 5000
	if n := testing.AllocsPerRun(runs, func() { h.hit(t) }); n != 0 {
		t.Errorf("a hit allocates %v times, want 0", n)
	}
	if n := h.spans.started.Load(); n != 1 {
		t.Errorf("%d spans, want 1: that of the miss that loaded the link", n)
	}
	if recorded := h.journal.Stats().Appended - before; recorded != runs+1 { // AllocsPerRun warms up with one more
		t.Errorf("%d clicks were recorded for %d hits", recorded, runs+1)
	}
}
