package journal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/carom-dev/carom/engine"
)

// found is a segment file with a header that holds.
type found struct {
	name   string
	header header
	seed   uint32
	size   int64
}

// recover takes the directory over and finds what earlier processes left in it.
func (j *Journal) recover() error {
	if err := j.disk.mkdir(j.cfg.Dir); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	lock, err := j.disk.lock(filepath.Join(j.cfg.Dir, lockName))
	if errors.Is(err, errLocked) {
		return fmt.Errorf("%w; stop it, or give this one another directory", err)
	}
	if err != nil {
		return fmt.Errorf("lock directory: %w", err)
	}
	j.lock = lock
	names, err := j.disk.list(j.cfg.Dir)
	if err != nil {
		return fmt.Errorf("list directory: %w", err)
	}
	segments, err := j.scan(names)
	if err != nil {
		return err
	}
	if err := j.readEnds(); err != nil {
		return err
	}
	if err := j.takeNode(names, segments); err != nil {
		return err
	}
	return j.chain(segments)
}

// scan reads the headers, puts files aside whose header does not hold, and sorts out the rest.
func (j *Journal) scan(names []string) ([]found, error) {
	var segments []found
	for _, name := range names {
		path := filepath.Join(j.cfg.Dir, name)
		switch {
		case strings.HasSuffix(name, segmentSuffix):
			s, err := j.inspect(name)
			if errors.Is(err, errHeader) {
				if err := j.putAside(name, err); err != nil {
					return nil, err
				}
				continue
			}
			if err != nil {
				return nil, err
			}
			segments = append(segments, s)
		case strings.HasSuffix(name, newSuffix), strings.HasSuffix(name, segmentSuffix+freeSuffix):
			// A process died while it made this one, and nothing was ever recorded in it; or it was waiting for its next use.
			// Using it now would save nothing over a new one, and a power loss may have left it a second name, with records.
			if err := j.disk.remove(path); err != nil {
				return nil, fmt.Errorf("remove unused segment: %w", err)
			}
		}
	}
	return segments, nil
}

// inspect reads one header.
func (j *Journal) inspect(name string) (s found, err error) {
	f, err := j.disk.open(filepath.Join(j.cfg.Dir, name), os.O_RDONLY)
	if err != nil {
		return s, fmt.Errorf("open segment: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return s, fmt.Errorf("size of segment: %w", err)
	}
	var b [headerBytes]byte
	n, err := f.ReadAt(b[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return s, fmt.Errorf("%w: %w", errHeader, err)
	}
	h, seed, err := parseHeader(b[:n])
	if err != nil {
		return s, err
	}
	if name != segmentName(int(h.lane), h.seq) {
		return s, fmt.Errorf("%w: it belongs to %s", errHeader, segmentName(int(h.lane), h.seq))
	}
	return found{name: name, header: h, seed: seed, size: size}, nil
}

// putAside keeps a file that can't be read for whoever can.
func (j *Journal) putAside(name string, reason error) error {
	from := filepath.Join(j.cfg.Dir, name)
	to := from + damagedSuffix
	for n := 2; ; n++ { // a name may have been damaged before
		f, err := j.disk.open(to, os.O_RDONLY)
		if errors.Is(err, os.ErrNotExist) {
			break
		}
		if err != nil {
			return fmt.Errorf("put damaged segment aside: %w", err)
		}
		if err := f.Close(); err != nil {
			return fmt.Errorf("put damaged segment aside: %w", err)
		}
		to = fmt.Sprintf("%s%s.%d", from, damagedSuffix, n)
	}
	if err := j.disk.rename(from, to); err != nil {
		return fmt.Errorf("put damaged segment aside: %w", err)
	}
	j.damagedSegments.Add(1)
	j.log.Error("journal segment put aside", "path", to, "err", reason)
	return nil
}

// takeNode reads the node id, or makes one. Without its file the id comes from the segments, as the store knows their clicks
// by it.
func (j *Journal) takeNode(names []string, segments []found) error {
	path := filepath.Join(j.cfg.Dir, nodeName)
	if slices.Contains(names, nodeName) {
		id, err := j.readNode(path)
		if err == nil {
			j.node = id
			return nil
		}
		j.log.Error("journal node id can't be read", "path", path, "err", err)
	}
	rand.Read(j.node[:]) // never fails
	for i, s := range segments {
		if i > 0 && s.header.node != j.node {
			return fmt.Errorf("file %s is missing or damaged, and segments of more than one node are there (%s, %s); write the right one into it",
				path, nodeID(j.node), nodeID(s.header.node))
		}
		j.node = s.header.node
	}
	if err := j.writeNode(path); err != nil {
		return fmt.Errorf("write node id: %w", err)
	}
	return nil
}

func (j *Journal) readNode(path string) (id [nodeBytes]byte, err error) {
	f, err := j.disk.open(path, os.O_RDONLY)
	if err != nil {
		return id, err
	}
	var b [64]byte
	n, err := f.ReadAt(b[:], 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return id, err
	}
	id, ok := parseNodeID(string(b[:n]))
	if !ok {
		return id, fmt.Errorf("it is %q; 32 hex digits are required", b[:n])
	}
	return id, nil
}

func (j *Journal) writeNode(path string) error {
	f, err := j.disk.open(path+newSuffix, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(string(nodeID(j.node))+"\n"), 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := j.disk.rename(path+newSuffix, path); err != nil {
		return err
	}
	return j.disk.syncDir(j.cfg.Dir)
}

// chain builds the lanes.
func (j *Journal) chain(segments []found) error {
	lanes := j.cfg.Lanes
	for _, s := range segments {
		if s.header.node == j.node {
			lanes = max(lanes, int(s.header.lane)+1)
		}
	}
	j.lanes = make([]*lane, lanes)
	for i := range j.lanes {
		j.lanes[i] = &lane{id: i}
	}
	for _, s := range segments { // sorted by name: by lane and number
		if s.header.node != j.node {
			if err := j.putAside(s.name, fmt.Errorf("it belongs to node %s", nodeID(s.header.node))); err != nil {
				return err
			}
			continue
		}
		j.adopt(s)
	}
	for m, slot := range j.ends {
		if m.lane < len(j.lanes) && m.seq > j.lanes[m.lane].lastSeq {
			l := j.lanes[m.lane]
			l.missing = max(l.missing, engine.MakePosition(m.seq, slot))
		}
	}
	for _, l := range j.lanes {
		l.current.Store(newSentinel(l.id, l.lastSeq))
	}
	return nil
}

// adopt puts a recovered segment at the end of its lane.
func (j *Journal) adopt(f found) {
	l := j.lanes[f.header.lane]
	slots := f.header.slots
	if have := f.size / int64(f.header.size); have < int64(slots) {
		slots = uint32(have)
		j.damagedSegments.Add(1)
		j.log.Error("journal segment is shorter than it was", "path", f.name, "bytes", f.size, "want", int64(f.header.slots)*int64(f.header.size))
	}
	s := &segment{
		lane: l.id, seq: f.header.seq, prev: f.header.prev, slots: uint64(slots), seed: f.seed, size: f.size, created: f.header.created,
		archive: &archive{
			disk: j.disk, path: filepath.Join(j.cfg.Dir, f.name), slots: slots, slotBytes: f.header.size, seed: f.seed,
			known: j.ends[mark{l.id, f.header.seq}],
		},
	}
	if n := len(l.segments); n > 0 && s.prev > l.segments[n-1].seq {
		j.gaps.Add(1)
		j.log.Error("journal segments are missing", "lane", l.id, "behind", l.segments[n-1].seq, "before", s.seq)
	}
	s.refs.Store(1)
	s.left.Store(true)
	l.segments = append(l.segments, s)
	l.lastSeq = s.seq
	l.recovered = s.position(s.slots)
	j.bytes.Add(s.size)
}
