package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/carom-dev/carom/engine"
)

// windowBytes is how much of a recovered segment is in memory at once. All lanes may be read at the same time.
const windowBytes = 256 << 10

// archive reads a recovered segment. It reads by read(2) and not through a mapping: a bad sector is then an error to count
// and not a signal that ends the process at each start. Owned by whoever holds the lane's reading lock.
type archive struct {
	disk      disk
	path      string
	slots     uint32 // whole ones that the file has; a truncated one has fewer than its header says
	slotBytes uint32 // of the version that wrote it
	seed      uint32
	known     uint32 // slots before it held records once, as an earlier process has noted; 0: nothing was noted

	file   file
	window []byte
	shared []known // strings that its records refer to
	aside  []byte  // the last record that was asked for and is not in the window
	first  uint32  // slot at which the window starts
	run    run     // the invalid slots in front of the next one
	begun  uint32  // where the run began
	warned bool    // the log has heard that it can't be opened
}

// run is a row of slots without a record.
type run uint8

const (
	runNone  run = iota
	runEmpty     // begins with a slot that was never committed: a hole, or what was not used
	runHole      // the same, and something was written into it
	runTorn      // has a commit word whose record does not hold
)

// lost is what an archive could not give.
type lost struct{ holes, damaged, userAgents uint64 }

// read appends up to limit clicks from slot on, and returns the slot behind the last. Slots without a record are passed one by
// one, as the length of what was there can't be trusted. A file that can't be opened now is no damage: reading stops in front of
// it, to be tried again.
func (a *archive) read(slot uint32, limit int, dst []engine.Click, mem *arena, skipped *lost) ([]engine.Click, uint32, error) {
	if a.shared == nil {
		a.shared = make([]known, knownArchivedMax)
	}
	mem.turn(a.shared)
	for limit > 0 && slot < a.slots {
		b, err := a.at(slot)
		if a.file == nil && (!errors.Is(err, os.ErrNotExist) || a.folderIsGone()) {
			return dst, slot, err
		}
		if err != nil {
			a.run = runTorn
			slot = min((slot|(pageBytes/a.slotBytes-1))+1, a.slots) // on with the next page
			continue
		}
		word := binary.LittleEndian.Uint64(b)
		r, ok := parseRecord(b, word, a.seed, slot)
		if !ok {
			if a.run == runNone {
				a.begun = slot
			}
			switch {
			case uint32(word) == slot+1, a.run == runNone && word != 0:
				a.run = runTorn
			case a.run > runEmpty:
			case isZero(b[:a.slotBytes]):
				a.run = runEmpty
			default:
				a.run = runHole
			}
			slot++
			continue
		}
		a.endRun(skipped, false)
		slot += (uint32(r.bytes) + a.slotBytes - 1) / a.slotBytes
		if r.kind == kindVoid {
			continue
		}
		c, ok := mem.own(&r, a)
		if !ok {
			skipped.userAgents++
		}
		dst = append(dst, c)
		limit--
	}
	if slot >= a.slots {
		a.endRun(skipped, true)
	}
	return dst, slot, nil
}

// folderIsGone tells a folder that is not there, as a disk that is not mounted, from a segment that somebody has deleted in it.
func (a *archive) folderIsGone() bool {
	f, err := a.disk.open(filepath.Join(filepath.Dir(a.path), nodeName), os.O_RDONLY)
	if err != nil {
		return true
	}
	_ = f.Close()
	return false
}

// endRun counts what was skipped. Zeros at the segment's end were never used.
func (a *archive) endRun(skipped *lost, last bool) {
	switch {
	case a.run == runTorn, a.run == runEmpty && last && a.begun < a.known:
		skipped.damaged++
	case a.run == runHole, a.run == runEmpty && !last:
		skipped.holes++
	}
	a.run = runNone
}

// at returns the bytes from slot on: the longest record's worth, unless the file ends or can't be read before.
func (a *archive) at(slot uint32) ([]byte, error) {
	if !a.holds(slot) {
		if err := a.load(slot); err != nil {
			return nil, err
		}
	}
	return a.inWindow(slot), nil
}

// holds reports that the window has the longest record's worth from slot on, or what there is of it.
func (a *archive) holds(slot uint32) bool {
	have := a.first + uint32(len(a.window))/a.slotBytes
	return slot >= a.first && slot < have && (slot+recordSlotsMax <= have || have >= a.slots)
}

func (a *archive) inWindow(slot uint32) []byte { return a.window[(slot-a.first)*a.slotBytes:] }

// from implements source. It leaves the window where it is, as that follows the reader.
func (a *archive) from(slot uint32) []byte {
	if a.holds(slot) {
		return a.inWindow(slot)
	}
	if a.aside == nil {
		a.aside = make([]byte, recordSlotsMax*slotSize)
	}
	n, _ := a.file.ReadAt(a.aside, int64(slot)*int64(a.slotBytes)) // what can't be read does not hold
	return a.aside[:n]
}

// checksumSeed implements source.
func (a *archive) checksumSeed() uint32 { return a.seed }

// start is the slot behind the header.
func (a *archive) start() uint32 { return headerBytes / a.slotBytes }

// load moves the window to slot.
func (a *archive) load(slot uint32) error {
	if a.file == nil {
		f, err := a.disk.open(a.path, os.O_RDONLY)
		if err != nil {
			return fmt.Errorf("open segment: %w", err)
		}
		a.file = f
		a.window = make([]byte, 0, min(windowBytes, int(a.slots*a.slotBytes)))
	}
	size := min(windowBytes, int((a.slots-slot)*a.slotBytes))
	n, err := a.file.ReadAt(a.window[:size], int64(slot)*int64(a.slotBytes))
	a.first, a.window = slot, a.window[:n-n%int(a.slotBytes)]
	if len(a.window) > 0 {
		return nil // what lies behind a bad sector is asked for when its turn comes
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read segment: %w", err)
}

// unused reports that there is nothing but zeros behind the header. Other than the rest it may be called by anybody.
func (a *archive) unused() (zeros bool, err error) {
	if a.known > a.start() {
		return false, nil
	}
	f, err := a.disk.open(a.path, os.O_RDONLY)
	if err != nil {
		return false, err
	}
	zeros = true
	end := int64(a.slots) * int64(a.slotBytes)
	buf := make([]byte, min(windowBytes, end))
	for off := int64(headerBytes); zeros && off < end; off += int64(len(buf)) {
		var n int
		n, err = f.ReadAt(buf[:min(int64(len(buf)), end-off)], off)
		zeros = err == nil && isZero(buf[:n])
	}
	err = errors.Join(err, f.Close())
	return zeros && err == nil, err
}

func isZero(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }

// close gives the file and the window back.
func (a *archive) close() error {
	f := a.file
	a.file, a.window, a.shared, a.aside = nil, nil, nil, nil
	if f == nil {
		return nil
	}
	return f.Close()
}
