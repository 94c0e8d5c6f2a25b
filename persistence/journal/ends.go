package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"path/filepath"
)

// A record that is gone from a segment's end, with zeros in its place, looks like one that never was, and so does a lane's newest
// file that is gone. So the journal notes, behind each sync, how far each segment is filled at the least. What the note says was
// synced before it was written, which makes it true after a kill and after a power loss; what it does not say may be there all the same.

// mark names a segment in the note.
type mark struct {
	lane int
	seq  uint64
}

const (
	endsMagic = "CAROMEND"
	endsHead  = 12 // magic, count
	endsEntry = 16 // lane 4, sequence number 8, slot 4
)

// appendEnds writes the note: for each segment the slot behind its last record.
func appendEnds(b []byte, ends map[mark]uint32) []byte {
	b = append(b, endsMagic...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(ends)))
	for m, slot := range ends { // in any order
		b = binary.LittleEndian.AppendUint32(b, uint32(m.lane))
		b = binary.LittleEndian.AppendUint64(b, m.seq)
		b = binary.LittleEndian.AppendUint32(b, slot)
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// parseEnds reads the note, whatever it holds; false says that it is none.
func parseEnds(b []byte) (ends map[mark]uint32, ok bool) {
	if len(b) < endsHead+4 || string(b[:len(endsMagic)]) != endsMagic {
		return nil, false
	}
	n := int(binary.LittleEndian.Uint32(b[len(endsMagic):]))
	body := len(b) - 4
	if (body-endsHead)%endsEntry != 0 || (body-endsHead)/endsEntry != n || crc32.Checksum(b[:body], castagnoli) != binary.LittleEndian.Uint32(b[body:]) {
		return nil, false
	}
	ends = make(map[mark]uint32, n)
	for at := endsHead; at < body; at += endsEntry {
		m := mark{lane: int(binary.LittleEndian.Uint32(b[at:])), seq: binary.LittleEndian.Uint64(b[at+4:])}
		ends[m] = binary.LittleEndian.Uint32(b[at+12:])
	}
	return ends, true
}

// readEnds reads the note of an earlier process. One that is missing or damaged says nothing.
func (j *Journal) readEnds() error {
	path := filepath.Join(j.cfg.Dir, endsName)
	f, err := j.disk.open(path, os.O_RDONLY)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open note of ends: %w", err)
	}
	size, err := f.Size()
	b := make([]byte, min(size, 64<<20))
	if err == nil {
		_, err = f.ReadAt(b, 0)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err = errors.Join(err, f.Close()); err != nil {
		j.log.Warn("journal note of ends can't be read", "path", path, "err", err)
		return nil
	}
	ends, ok := parseEnds(b)
	if !ok {
		j.log.Warn("journal note of ends is damaged", "path", path)
		return nil
	}
	j.ends = ends
	return nil
}

// noteEnds writes the note, if it says something new. Called by the one that syncs.
func (j *Journal) noteEnds() {
	if j.cfg.Sync == SyncOff {
		return // nothing is known to be safe
	}
	ends := map[mark]uint32{}
	for _, l := range j.lanes {
		for _, s := range l.all() {
			end := uint32(s.synced.Load())
			if !s.live() {
				end = s.archive.known
			}
			if end > uint32(s.first()) && !s.fresh.Load() && !s.failed.Load() {
				ends[mark{l.id, s.seq}] = end
			}
			j.unref(l, s)
		}
	}
	if maps.Equal(ends, j.ends) {
		return
	}
	if err := j.writeEnds(ends); err != nil {
		j.log.Warn("journal note of ends could not be written", "err", err)
		return
	}
	j.ends = ends
}

func (j *Journal) writeEnds(ends map[mark]uint32) error {
	path := filepath.Join(j.cfg.Dir, endsName)
	f, err := j.disk.open(path+newSuffix, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return fmt.Errorf("write note of ends: %w", err)
	}
	_, err = f.WriteAt(appendEnds(nil, ends), 0)
	if err = errors.Join(err, f.Close()); err == nil {
		err = j.disk.rename(path+newSuffix, path)
	}
	if err != nil {
		return fmt.Errorf("write note of ends: %w", err)
	}
	return nil
}
