package journal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"github.com/carom-dev/carom/engine"
)

// windowBytes is how much of a recovered segment is in memory at once. All lanes may be read at the same time.
const windowBytes = 256 << 10

// archive reads a recovered segment. It reads by read(2) and not through a mapping: a bad sector is then an error to count
// and not a signal that ends the process at each start. Owned by whoever holds the lane's reading lock.
type archive struct {
	disk  disk
	path  string
	slots uint32 // whole ones that the file has; a truncated one has fewer than its header says
	seed  uint32

	file   file
	window []byte
	first  uint32 // slot at which the window starts
	run    run    // the invalid slots in front of the next one
}

// run is a row of slots without a record.
type run uint8

const (
	runNone  run = iota
	runEmpty     // begins with a slot that was never committed: a hole, or what was not used
	runTorn      // has a commit word whose record does not hold
)

// lost is what an archive skipped.
type lost struct{ holes, damaged uint64 }

// read appends up to limit clicks from slot on, and returns the slot behind the last. Slots without a record are passed one by
// one, as the length of what was there can't be trusted.
func (a *archive) read(slot uint32, limit int, dst []engine.Click, mem *arena, skipped *lost) ([]engine.Click, uint32) {
	for limit > 0 && slot < a.slots {
		b, err := a.at(slot)
		if err != nil {
			a.run = runTorn
			slot = min((slot|(pageBytes/slotSize-1))+1, a.slots) // on with the next page
			continue
		}
		word := binary.LittleEndian.Uint64(b)
		c, n, ok := parseRecord(b, word, a.seed, slot)
		if !ok {
			switch {
			case word != 0 && uint32(word) == slot+1:
				a.run = runTorn
			case a.run == runNone && word == 0:
				a.run = runEmpty
			case a.run == runNone:
				a.run = runTorn
			}
			slot++
			continue
		}
		a.endRun(skipped, false)
		mem.own(&c)
		dst = append(dst, c)
		slot += n
		limit--
	}
	if slot >= a.slots {
		a.endRun(skipped, true)
	}
	return dst, slot
}

// endRun counts what was skipped. Empty slots at the segment's end were never used.
func (a *archive) endRun(skipped *lost, last bool) {
	switch {
	case a.run == runTorn:
		skipped.damaged++
	case a.run == runEmpty && !last:
		skipped.holes++
	}
	a.run = runNone
}

// at returns the bytes from slot on: the longest record's worth, unless the file ends or can't be read before.
func (a *archive) at(slot uint32) ([]byte, error) {
	have := a.first + uint32(len(a.window)/slotSize)
	if slot < a.first || slot >= have || slot+recordSlotsMax > have && have < a.slots {
		if err := a.load(slot); err != nil {
			return nil, err
		}
	}
	return a.window[int(slot-a.first)*slotSize:], nil
}

// load moves the window to slot.
func (a *archive) load(slot uint32) error {
	if a.file == nil {
		f, err := a.disk.open(a.path, os.O_RDONLY)
		if err != nil {
			return fmt.Errorf("open segment: %w", err)
		}
		a.file = f
		a.window = make([]byte, 0, windowBytes)
	}
	size := min(windowBytes, int(a.slots-slot)*slotSize)
	n, err := a.file.ReadAt(a.window[:size], int64(slot)*slotSize)
	a.first, a.window = slot, a.window[:n/slotSize*slotSize]
	if len(a.window) > 0 {
		return nil // what lies behind a bad sector is asked for when its turn comes
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read segment: %w", err)
}

// unused reports that there is nothing but zeros behind the header. Other than the rest it may be called by anybody.
func (a *archive) unused() bool {
	f, err := a.disk.open(a.path, os.O_RDONLY)
	if err != nil {
		return false
	}
	zeros := true
	buf, zero := make([]byte, windowBytes), make([]byte, windowBytes)
	for off, end := int64(slotSize), int64(a.slots)*slotSize; zeros && off < end; off += windowBytes {
		n, err := f.ReadAt(buf[:min(windowBytes, end-off)], off)
		zeros = err == nil && bytes.Equal(buf[:n], zero[:n])
	}
	return f.Close() == nil && zeros
}

// close gives the file and the window back.
func (a *archive) close() error {
	f := a.file
	a.file, a.window = nil, nil
	if f == nil {
		return nil
	}
	return f.Close()
}
