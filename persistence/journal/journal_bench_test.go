package journal

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/carom-dev/carom/engine"
)

// benchJournal makes a journal whose lane 0 has one large segment in use.
func benchJournal(b *testing.B) (*Journal, *segment) {
	b.Helper()
	cfg := testConfig(b.TempDir())
	cfg.SegmentBytes, cfg.BytesMax, cfg.Sync = 64<<20, 1<<30, SyncOff
	j, err := Open(cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := j.Close(); err != nil {
			b.Error(err)
		}
	})
	if err := j.Append(0, oneSlot()); err != nil {
		b.Fatal(err)
	}
	return j, j.lanes[0].current.Load()
}

func oneSlot() engine.Click { return smallClick(1) }

// twoSlots is what a browser sends: a user agent of 111 bytes, and a referrer.
func twoSlots() engine.Click {
	c := smallClick(1)
	c.UserAgent = bytes.Repeat([]byte("u"), 111)
	c.Referrer = []byte("https://example.com/some/page")
	c.Language = []byte("en-GB")
	return c
}

// benchmarkAppend measures the appender alone: the segment is wound back before it is full, so that no other is made. What
// making them costs is in BenchmarkAppendSustained.
func benchmarkAppend(b *testing.B, c engine.Click) {
	j, s := benchJournal(b)
	b.ReportAllocs()
	for n := uint64(0); b.Loop(); n += 2 {
		if n >= s.slots-8 {
			n = 0
			s.tail.Store(1)
		}
		if j.Append(0, c) != nil {
			b.Fatal("Append failed")
		}
	}
}

func BenchmarkAppendOneSlot(b *testing.B)  { benchmarkAppend(b, oneSlot()) }
func BenchmarkAppendTwoSlots(b *testing.B) { benchmarkAppend(b, twoSlots()) }

// BenchmarkAppendParallel has all processors append to one lane.
func BenchmarkAppendParallel(b *testing.B) {
	j, s := benchJournal(b)
	c := twoSlots()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for n := 0; pb.Next(); n++ {
			if n&0xfff == 0 && s.tail.Load() > s.slots/2 {
				s.tail.Store(1)
			}
			if j.Append(0, c) != nil {
				panic("Append failed")
			}
		}
	})
}

// BenchmarkBufferedWriteTwin is the yardstick: the same records through a mutex and a buffered file, which loses the buffer
// when the process dies.
func BenchmarkBufferedWriteTwin(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 64<<10)
	var mu sync.Mutex
	c := twoSlots()
	buf := make([]byte, 2*slotSize)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		mu.Lock()
		storeWord(buf, 0, putRecord(buf, &c, 1, 1))
		if _, err := w.Write(buf); err != nil {
			b.Fatal(err)
		}
		if n%(1<<22) == 0 { // the file must not fill the disk
			if _, err := f.Seek(0, 0); err != nil {
				b.Fatal(err)
			}
		}
		mu.Unlock()
	}
}

// BenchmarkWriteTwin is one write(2) a record, which is as safe as the journal.
func BenchmarkWriteTwin(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	c := twoSlots()
	buf := make([]byte, 2*slotSize)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		storeWord(buf, 0, putRecord(buf, &c, 1, 1))
		if _, err := f.WriteAt(buf, int64(n%(1<<20))*2*slotSize); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRead reads and verifies records of two slots, and copies their strings; per record.
func BenchmarkRead(b *testing.B) {
	for _, kind := range []string{"live", "recovered"} {
		b.Run(kind, func(b *testing.B) {
			cfg := testConfig(b.TempDir())
			cfg.SegmentBytes, cfg.BytesMax = 16<<20, 64<<20
			j, err := Open(cfg)
			if err != nil {
				b.Fatal(err)
			}
			const records = 60_000
			for range records {
				if err := j.Append(0, twoSlots()); err != nil {
					b.Fatal(err)
				}
			}
			if kind == "recovered" {
				if err := j.Close(); err != nil {
					b.Fatal(err)
				}
				if j, err = Open(cfg); err != nil {
					b.Fatal(err)
				}
			}
			defer func() {
				if err := j.Close(); err != nil {
					b.Error(err)
				}
			}()
			batch := make([]engine.Click, 0, 5000)
			b.ReportAllocs()
			for read := 0; b.Loop(); read-- {
				if read > 0 {
					continue
				}
				if batch, _, err = j.Read(0, 5000, batch[:0]); err != nil {
					b.Fatal(err)
				}
				if len(batch) == 0 {
					if err := j.Seek(0, 0); err != nil {
						b.Fatal(err)
					}
				}
				read = len(batch)
			}
		})
	}
}
