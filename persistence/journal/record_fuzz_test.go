package journal

import (
	"bytes"
	"encoding/binary"
	"maps"
	"testing"

	"github.com/carom-dev/carom/engine"
)

// FuzzRecord puts any bytes before the decoder, and asks that what it takes for a record is one that the encoder would write.
func FuzzRecord(f *testing.F) {
	for n := range 5 {
		c := testClick(n * 13)
		b := newWords(recordSlotsMax * slotSize)
		word := putWhole(b, &c, 77, 3)
		f.Add(b, word, uint32(77), uint32(3))
		f.Add(b[:slotSize], word, uint32(77), uint32(3))
	}
	for k := kindRefers; k < kinds; k++ {
		b := newWords(recordSlotsMax * slotSize)
		word := putReferring(b, new(testClick(13)), k, 0x1234_0000_0003, 77, 3)
		f.Add(b, word, uint32(77), uint32(3))
	}
	f.Add([]byte{}, uint64(0), uint32(0), uint32(0))
	f.Fuzz(func(t *testing.T, b []byte, word uint64, seed, slot uint32) {
		for _, w := range []uint64{word, uint64(slot + 1), fixedWord(b, seed, slot)} {
			r, ok := parseRecord(b, w, seed, slot)
			if !ok {
				continue
			}
			if slots := slotsOf(r.bytes); slots < 1 || slots > recordSlotsMax {
				t.Fatalf("record of %d slots", slots)
			}
			if r.kind == kindRefers && slotOf(r.referent) >= slot {
				t.Fatalf("record refers to slot %d, itself is at %d", slotOf(r.referent), slot)
			}
			again := make([]byte, recordSlotsMax*slotSize)
			got := putWhole(again, &r.click, seed, slot)
			if r.kind != kindWhole {
				got = putReferring(again, &r.click, r.kind, r.referent, seed, slot)
			}
			if got != w {
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
	if o, ok := readOutline(b); ok && o.bytes <= len(b) {
		return commitWord(seed, slot, b[offTime:o.bytes])
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
		storeWord(b, 0, putWhole(b, new(smallClick(int(n))), seed, slot))
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
		a := &archive{disk: memoryDisk{content: content}, slots: uint32(len(content) / slotSize), slotBytes: slotSize, seed: seed}
		var mem arena
		var skipped lost
		var clicks []engine.Click
		for slot := uint32(1); slot < a.slots; {
			var err error
			if clicks, slot, err = a.read(slot, 7, clicks, &mem, &skipped); err != nil {
				t.Fatal(err)
			}
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
	var b [headerBytes]byte
	h := header{lane: 3, seq: 9, prev: 8, nonce: 7, slots: 64}
	h.put(b[:])
	f.Add(b[:])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= headerBytes {
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

// FuzzEnds puts any bytes before the note's decoder.
func FuzzEnds(f *testing.F) {
	f.Add(appendEnds(nil, nil))
	f.Add(appendEnds(nil, map[mark]uint32{{1, 2}: 3, {4, 5}: 6}))
	f.Add([]byte(endsMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		fixed := append([]byte(endsMagic), b...) // with a checksum that holds
		fixed = binary.LittleEndian.AppendUint32(fixed, crcOf(fixed))
		for _, b := range [][]byte{b, fixed} {
			ends, ok := parseEnds(b)
			if !ok {
				continue
			}
			again, ok := parseEnds(appendEnds(nil, ends))
			if !ok || !maps.Equal(again, ends) {
				t.Fatalf("%v comes back as %v, %v", ends, again, ok)
			}
		}
	})
}

func crcOf(b []byte) uint32 { return checksum(0, 0, b) }
