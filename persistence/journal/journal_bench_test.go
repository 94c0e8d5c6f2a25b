package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
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
	if err := j.Append(0, smallClick(1)); err != nil {
		b.Fatal(err)
	}
	return j, j.lanes[0].current.Load()
}

// twoSlots has a referrer, and a user agent of 111 bytes that the segment has already.
func twoSlots() engine.Click {
	c := smallClick(1)
	c.UserAgent = bytes.Repeat([]byte("u"), 111)
	c.Referrer = []byte("https://example.com/some/page")
	c.Language = []byte("en-GB")
	return c
}

// BenchmarkAppend measures the appender alone: the segment is wound back before it is full, so that no other is made. What
// making them costs is in BenchmarkAppendSustained. The bytes are those that a click takes in the segment.
func BenchmarkAppend(b *testing.B) {
	for _, kind := range []struct {
		name   string
		clicks []engine.Click
	}{
		{"small", []engine.Click{smallClick(1)}}, {"browser", []engine.Click{browserClick(1)}}, {"referrer", []engine.Click{twoSlots()}}, {"real", realClicks(b)},
	} {
		b.Run(kind.name, func(b *testing.B) {
			j, s := benchJournal(b)
			b.ReportAllocs()
			slots, n := uint64(0), 0
			for b.Loop() {
				if tail := s.tail.Load(); tail > min(s.slots, SegmentBytesDefault/slotSize)-recordSlotsMax {
					slots += tail
					rewind(s)
				}
				if n++; n >= len(kind.clicks) {
					n = 0
				}
				if j.Append(0, kind.clicks[n]) != nil {
					b.Fatal("Append failed")
				}
			}
			b.ReportMetric(float64((slots+s.tail.Load())*slotSize)/float64(b.N), "bytes/op")
		})
	}
}

// realClicks are what the visitors of loadtest/testdata sent.
func realClicks(b *testing.B) (clicks []engine.Click) {
	b.Helper()
	f, err := os.Open("../../loadtest/testdata/usagov-clicks.jsonl")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var sent struct{ A, R, AL string }
		if err := json.Unmarshal(lines.Bytes(), &sent); err != nil || sent.A == "" {
			continue // the file ends with some that are no clicks
		}
		c := smallClick(len(clicks))
		c.UserAgent, c.Language = []byte(sent.A), []byte(sent.AL)
		if sent.R != "direct" {
			c.Referrer = []byte(sent.R)
		}
		clicks = append(clicks, c)
	}
	if len(clicks) < 1000 {
		b.Fatalf("%d real clicks, want more", len(clicks))
	}
	return clicks
}

// rewind empties the segment.
func rewind(s *segment) {
	for i := range s.repeats {
		s.repeats[i].Store(0)
	}
	s.tail.Store(firstSlot)
}

// BenchmarkAppendParallel has all processors append to one lane.
func BenchmarkAppendParallel(b *testing.B) {
	j, s := benchJournal(b)
	c := twoSlots()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for n := 0; pb.Next(); n++ {
			if n&0xfff == 0 && s.tail.Load() > s.slots/2 {
				rewind(s)
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
		storeWord(buf, 0, putWhole(buf, &c, 1, 1))
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
		storeWord(buf, 0, putWhole(buf, &c, 1, 1))
		if _, err := f.WriteAt(buf, int64(n%(1<<20))*2*slotSize); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRead reads and verifies real records, and copies their strings; per record.
func BenchmarkRead(b *testing.B) {
	clicks := realClicks(b)
	for _, kind := range []string{"live", "recovered"} {
		b.Run(kind, func(b *testing.B) {
			cfg := testConfig(b.TempDir())
			cfg.SegmentBytes, cfg.BytesMax = SegmentBytesDefault, 64<<20
			j, err := Open(cfg)
			if err != nil {
				b.Fatal(err)
			}
			const records = 60_000
			for n := range records {
				if err := j.Append(0, clicks[n%len(clicks)]); err != nil {
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
