package journal

import (
	"bytes"
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

// memoryDisk has one file.
type memoryDisk struct {
	disk
	content []byte
}

func (d memoryDisk) open(string, int) (file, error) {
	return memoryFile{Reader: bytes.NewReader(d.content)}, nil
}

type memoryFile struct {
	file
	*bytes.Reader
}

func (f memoryFile) ReadAt(p []byte, off int64) (int, error) { return f.Reader.ReadAt(p, off) }
func (memoryFile) Size() (int64, error)                      { return 0, nil }
func (memoryFile) Close() error                              { return nil }

// FuzzSegment overwrites and cuts a segment's slots: what is read of it was there, in its order, and what the damage has not
// touched is read.
func FuzzSegment(f *testing.F) {
	const records, seed = 40, 4711
	whole := newWords((records + 24) * slotSize)
	for n := range uint32(records) {
		slot := n + 1
		b := whole[slot*slotSize:]
		storeWord(b, 0, putRecord(b, new(smallClick(int(n))), seed, slot))
	}
	f.Add([]byte("rubbish"), uint16(slotSize+3), uint16(8192))
	f.Add(make([]byte, 4096), uint16(200), uint16(8192))
	f.Add([]byte{1}, uint16(slotSize+offLink), uint16(8192))
	f.Add(whole[slotSize:20*slotSize], uint16(9*slotSize), uint16(8192)) // valid records at wrong slots
	f.Add([]byte{}, uint16(0), uint16(1000))
	f.Fuzz(func(t *testing.T, rubbish []byte, at, size uint16) {
		content := bytes.Clone(whole)
		copy(content[min(int(at), len(content)):], rubbish)
		content = content[:min(int(size), len(content))]
		if len(content) < slotSize {
			return
		}
		a := &archive{disk: memoryDisk{content: content}, slots: uint32(len(content) / slotSize), seed: seed}
		var mem arena
		var skipped lost
		var clicks []engine.Click
		for slot := uint32(1); slot < a.slots; {
			clicks, slot = a.read(slot, 7, clicks, &mem, &skipped)
		}
		found := map[engine.LinkID]bool{}
		var last engine.LinkID
		for _, c := range clicks {
			if c.Link <= last || c.Link > records {
				t.Fatalf("click %d follows %d", c.Link, last)
			}
			if err := sameClick(c, smallClick(int(c.Link-1))); err != nil {
				t.Fatal(err)
			}
			last = c.Link
			found[c.Link] = true
		}
		for n := 1; n <= records; n++ {
			from, to := n*slotSize, (n+1)*slotSize
			touched := from < int(at)+len(rubbish) && int(at) < to || to > len(content)
			if !touched && !found[engine.LinkID(n)] {
				t.Fatalf("click %d was not damaged, but is not read", n)
			}
		}
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
