package journal

import (
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

const simSectorBytes = 512

// simDisk is a disk in memory that keeps no more than it must: what was written, made, renamed or removed since the last sync is
// lost, kept or torn by powerLoss, each sector and each name by itself. Mapped segments are slices of the page cache. Not safe
// for concurrent use; the zero rng is not usable.
type simDisk struct {
	rng        *rand.Rand
	behind     bool // segments are written behind instead of mapped
	spaceBytes int  // what all files may take; 0: any

	names   map[string]*simFile // as programs see them
	durable map[string]*simFile // as of the last sync of the directory
	pending []nameChange        // since then
	locked  bool
}

// simFile is an inode.
type simFile struct {
	cache []byte // the page cache; mappings are this very slice
	disk  []byte // what a power loss leaves at least
}

// nameChange gives to the name of file, and takes from away; either may be "".
type nameChange struct {
	from, to string
	file     *simFile
}

func newSimDisk(rng *rand.Rand) *simDisk {
	return &simDisk{rng: rng, names: map[string]*simFile{}, durable: map[string]*simFile{}}
}

func (c nameChange) apply(names map[string]*simFile, torn bool) {
	if c.to != "" {
		names[c.to] = c.file
	}
	if names[c.from] == c.file && !torn {
		delete(names, c.from)
	}
}

func (d *simDisk) change(c nameChange) {
	c.apply(d.names, false)
	d.pending = append(d.pending, c)
}

func (d *simDisk) mkdir(string) error { return nil }

func (d *simDisk) lock(string) (io.Closer, error) {
	if d.locked {
		return nil, errLocked
	}
	d.locked = true
	return simLock{d}, nil
}

type simLock struct{ disk *simDisk }

func (l simLock) Close() error {
	l.disk.locked = false
	return nil
}

func (d *simDisk) list(string) ([]string, error) {
	var names []string
	for name := range d.names {
		names = append(names, filepath.Base(name))
	}
	slices.Sort(names)
	return names, nil
}

func (d *simDisk) open(name string, flag int) (file, error) {
	f, ok := d.names[name]
	if !ok {
		if flag&os.O_CREATE == 0 {
			return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
		}
		f = &simFile{}
		d.change(nameChange{to: name, file: f})
	}
	if flag&os.O_TRUNC != 0 {
		f.cache = nil
	}
	return &simHandle{simFile: f, disk: d, name: name}, nil
}

func (d *simDisk) allocate(f file, size int64) error {
	h := f.(*simHandle)
	if d.spaceBytes > 0 && d.usedBytes()-len(h.cache)+int(size) > d.spaceBytes {
		return syscall.ENOSPC
	}
	h.grow(int(size))
	return nil
}

func (d *simDisk) usedBytes() (n int) {
	for _, f := range d.files() {
		n += len(f.cache)
	}
	return n
}

// files lists each inode that has a name once, in the order of names, so that a seed always does the same.
func (d *simDisk) files() (out []*simFile) {
	for _, name := range slices.Sorted(maps.Keys(d.names)) {
		if f := d.names[name]; !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	return out
}

func (d *simDisk) attach(f file, size int) (memory, error) {
	h := f.(*simHandle)
	if d.behind {
		return &bufferedMemory{file: f, mem: newWords(size)}, nil
	}
	if len(h.cache) < size {
		return nil, errors.New("mapping reaches beyond the file")
	}
	return simMemory{h.simFile}, nil
}

func (d *simDisk) rename(from, to string) error {
	f, ok := d.names[from]
	if !ok {
		return &os.PathError{Op: "rename", Path: from, Err: os.ErrNotExist}
	}
	d.change(nameChange{from: from, to: to, file: f})
	return nil
}

func (d *simDisk) remove(name string) error {
	f, ok := d.names[name]
	if !ok {
		return &os.PathError{Op: "remove", Path: name, Err: os.ErrNotExist}
	}
	d.change(nameChange{from: name, file: f})
	return nil
}

func (d *simDisk) syncDir(string) error {
	d.durable = maps.Clone(d.names)
	d.pending = nil
	return nil
}

func (d *simDisk) promise() string { return "" }

func (d *simDisk) buffered() bool { return d.behind }

// kill ends the process: the page cache stays.
func (d *simDisk) kill() { d.locked = false }

// writeBack is what an operating system does unasked: some sectors, and the first changes of names, become durable.
func (d *simDisk) writeBack() {
	n := d.rng.IntN(len(d.pending) + 1)
	for _, c := range d.pending[:n] {
		c.apply(d.durable, false)
	}
	d.pending = d.pending[n:]
	for _, f := range d.files() {
		if d.rng.IntN(2) == 0 {
			f.eachDirty(func(from, to int) {
				if d.rng.IntN(3) == 0 {
					f.sync(from, to)
				}
			})
		}
	}
}

// powerLoss ends everything that is not durable, or not.
func (d *simDisk) powerLoss() {
	d.locked = false
	for _, c := range d.pending {
		switch d.rng.IntN(4) {
		case 0:
		case 1:
			c.apply(d.durable, c.to != "") // a rename of which only the new name arrived
		default:
			c.apply(d.durable, false)
		}
	}
	d.pending = nil
	d.names = maps.Clone(d.durable)
	lose := d.rng.IntN(3) // one loss in three keeps every sector, one loses all
	for _, f := range d.files() {
		if lose > 0 {
			f.eachDirty(func(from, to int) { d.tear(f, from, to, lose == 2) })
		} else {
			f.sync(0, len(f.cache))
		}
		f.cache = newWords((len(f.disk) + 7) / 8 * 8)[:len(f.disk)] // mappings of the dead see no more of it
		copy(f.cache, f.disk)
	}
}

// tear decides on one sector.
func (d *simDisk) tear(f *simFile, from, to int, all bool) {
	if all {
		return
	}
	switch d.rng.IntN(4) {
	case 0:
	case 1:
		cut := from + d.rng.IntN(to-from+1)/8*8
		if d.rng.IntN(2) == 0 {
			f.sync(from, cut)
		} else {
			f.sync(cut, to)
		}
	default:
		f.sync(from, to)
	}
}

// eachDirty calls do for each sector that differs from the disk's.
func (f *simFile) eachDirty(do func(from, to int)) {
	for from := 0; from < len(f.cache); from += simSectorBytes {
		to := min(from+simSectorBytes, len(f.cache))
		if len(f.disk) < to || string(f.disk[from:to]) != string(f.cache[from:to]) {
			do(from, to)
		}
	}
}

// sync makes a range, and the size up to it, durable.
func (f *simFile) sync(from, to int) {
	if from >= to {
		return
	}
	if len(f.disk) < to {
		f.disk = append(f.disk, make([]byte, to-len(f.disk))...)
	}
	copy(f.disk[from:to], f.cache[from:to])
}

func (f *simFile) grow(size int) {
	if size > len(f.cache) {
		f.cache = append(newWords((size + 7) / 8 * 8)[:0], append(f.cache, make([]byte, size-len(f.cache))...)...)
	}
}

// simHandle is an open file.
type simHandle struct {
	*simFile
	disk *simDisk
	name string
}

func (h *simHandle) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(h.cache)) {
		return 0, io.EOF
	}
	n := copy(p, h.cache[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *simHandle) WriteAt(p []byte, off int64) (int, error) {
	if more := int(off) + len(p) - len(h.cache); h.disk.spaceBytes > 0 && more > 0 && h.disk.usedBytes()+more > h.disk.spaceBytes {
		return 0, syscall.ENOSPC
	}
	h.grow(int(off) + len(p))
	return copy(h.cache[off:], p), nil
}

func (h *simHandle) Close() error         { return nil }
func (h *simHandle) Name() string         { return h.name }
func (h *simHandle) Size() (int64, error) { return int64(len(h.cache)), nil }

func (h *simHandle) Sync() error {
	h.simFile.disk = h.simFile.disk[:min(len(h.simFile.disk), len(h.cache))]
	h.simFile.sync(0, len(h.cache))
	return nil
}

// simMemory is a mapping.
type simMemory struct{ file *simFile }

func (m simMemory) bytes() []byte        { return m.file.cache }
func (m simMemory) warm() error          { return nil }
func (m simMemory) flush(int, int) error { return nil }
func (m simMemory) close() error         { return nil }

func (m simMemory) sync(from, to int) error {
	from = from / pageBytes * pageBytes
	to = min((to+pageBytes-1)/pageBytes*pageBytes, len(m.file.cache))
	if more := len(m.file.cache) - len(m.file.disk); more > 0 { // the size comes with it, the other pages do not
		m.file.disk = append(m.file.disk, make([]byte, more)...)
	}
	m.file.sync(from, to)
	return nil
}

// reserveTorn is an append whose process dies before the commit word: the slots are taken, and some bytes are there.
func reserveTorn(s *segment, n int, rng *rand.Rand) {
	c := testClick(n)
	slots := slotsOf(wholeBytes(&c))
	start := s.tail.Add(slots) - slots
	if start+slots > s.slots {
		if start <= s.slots {
			s.end.Store(start)
		}
		return
	}
	b := newWords(int(slots) * slotSize)
	putWhole(b, &c, s.seed, uint32(start))
	binary.LittleEndian.PutUint64(b, 0)
	copy(s.mem[int(start)*slotSize:], b[:rng.IntN(len(b)+1)])
}
