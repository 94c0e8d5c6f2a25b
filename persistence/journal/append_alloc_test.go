//go:build !race

package journal

import (
	"testing"

	"github.com/carom-dev/carom/engine"
)

func TestAppendAllocs(t *testing.T) {
	for name, d := range disks {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t.TempDir())
			cfg.disk, cfg.SegmentBytes, cfg.BytesMax, cfg.Sync = d, 8<<20, 64<<20, SyncIntervalMax
			j := open(t, cfg)
			var appender engine.ClickAppender = j
			small, large := smallClick(1), testClick(29)
			appendClicks(t, j, 0, 0, 1, smallClick) // makes the segment
			eventually(t, "the background is done", func() bool { return !j.lanes[0].current.Load().fresh.Load() })
			if n := testing.AllocsPerRun(1000, func() {
				if appender.Append(0, small) != nil || appender.Append(0, large) != nil {
					t.Fatal("Append failed")
				}
			}); n != 0 {
				t.Errorf("Append makes %v allocations, want 0", n)
			}
		})
	}
}

// A full journal is no reason to make garbage either.
func TestDropAllocs(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.BytesMax = 2 * int64(cfg.SegmentBytes)
	j := open(t, cfg)
	c := smallClick(1)
	for j.Append(0, c) == nil {
		continue
	}
	if n := testing.AllocsPerRun(1000, func() {
		if j.Append(0, c) == nil {
			t.Fatal("Append took a click")
		}
	}); n > 0.5 { // the background tries to make a segment now and then
		t.Errorf("a dropped click makes %v allocations, want 0", n)
	}
}
