package journal

import (
	"encoding/binary"
	"testing"

	"github.com/carom-dev/carom/engine"
)

// FuzzRecord puts any bytes before the decoder, and asks that what it takes for a record is one that the encoder would write.
func FuzzRecord(f *testing.F) {
	for n := range 5 {
		c := testClick(n * 13)
		b := newWords(recordSlotsMax * slotSize)
		word := putRecord(b, &c, 77, 3)
		f.Add(b, word, uint32(77), uint32(3))
		f.Add(b[:slotSize], word, uint32(77), uint32(3))
	}
	f.Add([]byte{}, uint64(0), uint32(0), uint32(0))
	f.Fuzz(func(t *testing.T, b []byte, word uint64, seed, slot uint32) {
		for _, w := range []uint64{word, uint64(slot + 1), fixedWord(b, seed, slot)} {
			c, slots, ok := parseRecord(b, w, seed, slot)
			if !ok {
				continue
			}
			if slots < 1 || slots > recordSlotsMax {
				t.Fatalf("record of %d slots", slots)
			}
			again := make([]byte, recordSlotsMax*slotSize)
			if got := putRecord(again, &c, seed, slot); got != w && b[offLanguage+1] == 0 {
				t.Fatalf("commit word is %x, encoding again gives %x", w, got)
			}
		}
	})
}

// fixedWord is the commit word that makes b valid, if its lengths are.
func fixedWord(b []byte, seed, slot uint32) uint64 {
	if len(b) < slotSize {
		return 0
	}
	ua, ref, lang, ok := recordStrings(b)
	if end := recordHead + ua + ref + lang; ok && end <= len(b) {
		return uint64(checksum(seed, slot, b[offTime:end]))<<32 | uint64(slot+1)
	}
	return 0
}

// FuzzSegment overwrites part of a segment file with any bytes: the journal opens, and what it reads is at most what was there.
func FuzzSegment(f *testing.F) {
	f.Add([]byte("rubbish"), uint16(0), uint16(8192))
	f.Add(make([]byte, 4096), uint16(200), uint16(8192))
	f.Add([]byte{1}, uint16(slotSize+offLink), uint16(8192))
	f.Add([]byte{}, uint16(0), uint16(1000))
	f.Fuzz(func(t *testing.T, rubbish []byte, at, size uint16) {
		cfg := testConfig(t.TempDir())
		cfg.Sync = SyncOff
		j := open(t, cfg)
		appendClicks(t, j, 0, 0, 40, smallClick)
		node := j.Node()
		closeJournal(t, j)
		change(t, segmentFiles(t, cfg.Dir)[0], func(b []byte) []byte {
			copy(b[min(int(at), len(b)):], rubbish)
			return b[:min(int(size), len(b))]
		})
		j = open(t, cfg)
		if j.Node() != node {
			t.Fatalf("Node = %q, want %q", j.Node(), node)
		}
		clicks, _ := readAll(t, j, 0)
		var last engine.LinkID
		for _, c := range clicks {
			if c.Link <= last || c.Link > 40 {
				t.Fatalf("click %d follows %d", c.Link, last)
			}
			if err := sameClick(c, smallClick(int(c.Link-1))); err != nil {
				t.Fatal(err)
			}
			last = c.Link
		}
		closeJournal(t, j)
	})
}

// FuzzHeader puts any bytes before the header's decoder.
func FuzzHeader(f *testing.F) {
	var b [slotSize]byte
	h := header{lane: 3, seq: 9, prev: 8, nonce: 7, slots: 64}
	h.put(b[:])
	f.Add(b[:])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= slotSize {
			b = append([]byte(nil), b...)
			copy(b, headerMagic)
			var sum [4]byte
			binary.LittleEndian.PutUint32(sum[:], crcOf(b[:headerCRC]))
			copy(b[headerCRC:], sum[:])
		}
		h, _, err := parseHeader(b)
		if err != nil {
			return
		}
		if lane, seq, ok := parseSegmentName(segmentName(int(h.lane), h.seq)); !ok || lane != int(h.lane) || seq != h.seq {
			t.Fatalf("name of lane %d, segment %d does not read back", h.lane, h.seq)
		}
	})
}

func crcOf(b []byte) uint32 { return checksum(0, 0, b) }
