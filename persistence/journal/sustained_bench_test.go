//go:build unix

package journal

import (
	"syscall"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

// BenchmarkAppendSustained appends without a pause while segments are made, synced, released and used again, and reports the
// processor time of all of it. Records are not read: that is BenchmarkRead. At this rate, hundreds of megabytes a second, time
// is bound by how fast segments are made, and clicks are dropped when the bound is reached.
func BenchmarkAppendSustained(b *testing.B) {
	b.Run("referrer", func(b *testing.B) { appendSustained(b, []engine.Click{twoSlots()}) })
	b.Run("real", func(b *testing.B) { appendSustained(b, realClicks(b)) })
}

func appendSustained(b *testing.B, clicks []engine.Click) {
	cfg := testConfig(b.TempDir())
	cfg.Lanes, cfg.SegmentBytes, cfg.BytesMax, cfg.Sync = LanesDefault, SegmentBytesDefault, 1<<30, SyncDefault
	j, err := Open(cfg)
	if err != nil {
		b.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			if s := j.lanes[0].current.Load(); s.slots > 0 && j.Release(0, engine.MakePosition(s.seq, 0)) != nil {
				return
			}
		}
	}()
	before := processorTime(b)
	b.ReportAllocs()
	dropped := 0
	for n := 0; b.Loop(); n++ {
		if n == len(clicks) {
			n = 0
		}
		if j.Append(0, clicks[n]) != nil {
			dropped++
		}
	}
	b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(dropped)/float64(b.N), "dropped/op")
	close(stop)
	<-stopped
	if err := j.Close(); err != nil {
		b.Error(err)
	}
}

// BenchmarkAppendPaced records what a busy instance does, 130,000 clicks a second, over all lanes, while the writer is away: every
// segment is new, and what is recorded is synced each second. Of interest is the processor time of a click, background included.
// Run it with -benchtime=400000x or more, which are three syncs.
func BenchmarkAppendPaced(b *testing.B) {
	const beat, each = 10 * time.Millisecond, 1300
	for name, clicks := range map[string][]engine.Click{"browser": {browserClick(1)}, "real": realClicks(b)} {
		b.Run(name, func(b *testing.B) {
			cfg := testConfig(b.TempDir())
			cfg.Lanes, cfg.SegmentBytes, cfg.BytesMax, cfg.Sync = LanesDefault, SegmentBytesDefault, 1<<30, SyncDefault
			j, err := Open(cfg)
			if err != nil {
				b.Fatal(err)
			}
			tick := time.NewTicker(beat)
			defer tick.Stop()
			before := processorTime(b)
			for n := 0; b.Loop(); n++ {
				if n%each == each-1 {
					<-tick.C
				}
				if err := j.Append(n%LanesDefault, clicks[n%len(clicks)]); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
			if err := j.Close(); err != nil {
				b.Error(err)
			}
		})
	}
}

func processorTime(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
