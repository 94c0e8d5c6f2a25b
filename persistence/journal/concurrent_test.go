package journal

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/carom-dev/carom/engine"
)

// TestConcurrentAppendReadRelease lets appenders, readers, releases and recycling run against each other over many small
// segments in a small bound, and wants each click exactly once, and each producer's in order.
func TestConcurrentAppendReadRelease(t *testing.T) {
	for name, d := range disks {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t.TempDir())
			cfg.disk, cfg.Lanes, cfg.BytesMax, cfg.Sync = d, 2, 20*int64(cfg.SegmentBytes), 5*SyncIntervalMin
			j := open(t, cfg)
			const producers, each = 6, 1500
			var live atomic.Int64
			live.Store(producers)
			errs := make(chan error, 32)
			var wg sync.WaitGroup
			for p := range producers {
				wg.Go(func() {
					defer live.Add(-1)
					for n := range each {
						c := mixedClick(n)
						c.Visitor = uint64(p)
						for {
							err := j.Append(p%2, c)
							if err == nil {
								break
							}
							if !errors.Is(err, engine.ErrJournalFull) {
								errs <- err
								return
							}
							runtime.Gosched()
						}
					}
				})
			}
			for lane := range 2 {
				wg.Go(func() { errs <- drain(j, lane, producers, each, &live) })
			}
			wg.Wait()
			close(errs)
			for err := range errs {
				if err != nil {
					t.Error(err)
				}
			}
			if s := j.Stats(); s.Appended != producers*each || s.Holes+s.DamagedRecords+s.Gaps != 0 || s.BytesUsed > cfg.BytesMax {
				t.Errorf("Stats = %+v", s)
			}
			closeJournal(t, j)
		})
	}
}

// drain reads and releases the lane until its producers are done and everything is read.
func drain(j *Journal, lane, producers, each int, live *atomic.Int64) error {
	next := make([]int, producers)
	var batch []engine.Click
	for {
		last := live.Load() == 0
		var err error
		var pos engine.Position
		if batch, pos, err = j.Read(lane, 100, batch[:0]); err != nil {
			return err
		}
		for _, c := range batch {
			p := int(c.Visitor)
			want := mixedClick(next[p])
			want.Visitor = c.Visitor
			if err := sameClick(c, want); err != nil {
				return fmt.Errorf("lane %d: producer %d: %w", lane, p, err)
			}
			next[p]++
		}
		if err := j.Release(lane, pos); err != nil {
			return err
		}
		if len(batch) == 0 {
			if last {
				break
			}
			_ = j.Stats()
			runtime.Gosched()
		}
	}
	for p := lane; p < producers; p += 2 {
		if next[p] != each {
			return fmt.Errorf("lane %d: producer %d: read %d clicks, want %d", lane, p, next[p], each)
		}
	}
	return nil
}

// TestCloseWhileAppending ends the journal under appenders: who got nil finds the click after the next Open.
func TestCloseWhileAppending(t *testing.T) {
	for name, d := range disks {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t.TempDir())
			cfg.disk, cfg.BytesMax = d, 64<<20
			j := open(t, cfg)
			var acked [4]int
			var wg sync.WaitGroup
			started := make(chan struct{}, len(acked))
			for p := range acked {
				wg.Go(func() {
					for n := 0; ; n++ {
						c := smallClick(n)
						c.Visitor = uint64(p)
						err := j.Append(0, c)
						for errors.Is(err, engine.ErrJournalFull) { // Close takes its time on a busy machine
							runtime.Gosched()
							err = j.Append(0, c)
						}
						if errors.Is(err, engine.ErrJournalClosed) {
							return
						}
						if err != nil {
							t.Errorf("Append: %v", err)
							return
						}
						acked[p]++
						if n == 100 {
							started <- struct{}{}
						}
					}
				})
			}
			for range acked {
				<-started
			}
			closeJournal(t, j)
			wg.Wait()
			j = open(t, cfg)
			got, _ := readAll(t, j, 0)
			var found [4]int
			for _, c := range got {
				found[c.Visitor]++
			}
			if found != acked {
				t.Errorf("found %v clicks, acknowledged were %v", found, acked)
			}
		})
	}
}
