package journal

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// prepareRetryInterval is how often a segment that can't be made is tried again: often enough that nobody notices when there is
// space again, and seldom enough to cost nothing while there is none.
const prepareRetryInterval = 200 * time.Millisecond

// prepareLoop makes the next segment of each lane before it is needed, and unblocks lanes. One goroutine.
func (j *Journal) prepareLoop(ctx context.Context) {
	retry := time.NewTimer(prepareRetryInterval)
	defer retry.Stop()
	for _, l := range j.lanes {
		j.sweepUnused(l)
	}
	for {
		again := j.prepareAll(ctx)
		if ctx.Err() != nil {
			return
		}
		if again {
			retry.Reset(prepareRetryInterval)
		} else {
			retry.Stop()
		}
		select {
		case <-ctx.Done():
			return
		case <-j.prepareKick:
		case <-retry.C:
		}
	}
}

// prepareAll gives each lane what it needs. True says: try again later.
func (j *Journal) prepareAll(ctx context.Context) (again bool) {
	for _, l := range j.lanes {
		if ctx.Err() != nil {
			return false
		}
		again = j.prepareLane(l) != nil || again
	}
	j.syncFresh()
	return again
}

// sweepUnused recycles the recovered segments at the lane's end that were prepared and never used. They hold nothing to read, so
// nobody would release them, and a program that dies again and again would fill the disk with them.
func (j *Journal) sweepUnused(l *lane) {
	l.grow.Lock()
	defer l.grow.Unlock()
	for l.current.Load().slots == 0 && l.next == nil { // no segment of this process refers to the last one yet
		s := l.last()
		if s == nil {
			return
		}
		unused, err := s.archive.unused()
		if err != nil {
			j.log.Warn("journal segment could not be read", "lane", l.id, "segment", s.seq, "err", err)
		}
		if unused && l.remove(s) {
			j.unref(l, s) // the chain's
			l.current.Store(newSentinel(l.id, l.lastInChain()))
		}
		j.unref(l, s)
		if !unused {
			return
		}
	}
}

// prepareLane gives the lane its next segment when it will soon need one. An error says: try again later.
func (j *Journal) prepareLane(l *lane) error {
	l.grow.Lock()
	defer l.grow.Unlock()
	if b := l.blocked.Load(); b != nil {
		if !l.complained {
			l.complained = true
			j.log.Warn("journal lane has no room, clicks are not recorded", "lane", l.id, "err", b.cause)
		}
		if err := j.extend(l); err != nil {
			l.blocked.Store(block(err))
			return err
		}
		l.blocked.Store(nil)
		l.complained = false
		j.log.Info("journal lane has room again", "lane", l.id, "dropped", l.dropped.Load())
	}
	s := l.current.Load()
	if l.next != nil || s.tail.Load() < s.slots/2 || s.slots == 0 && l.id >= j.cfg.Lanes {
		return nil
	}
	next, err := j.create(l)
	if err != nil && !l.warned {
		j.log.Warn("journal lane has no next segment yet", "lane", l.id, "err", err)
	}
	l.next, l.warned = next, err != nil
	return err
}

// create makes a segment for the lane, in a recycled file if there is one. Its name and header are durable a moment later, by
// syncFresh. The caller holds grow.
func (j *Journal) create(l *lane) (*segment, error) {
	now := j.cfg.Now()
	// Numbers also grow with the time, so that a lane whose directory was lost does not fall behind the store's checkpoint.
	seq := max(l.lastSeq+1, uint64(max(now.UnixMilli(), 0))*16/1000)
	if seq > sequenceMax {
		return nil, fmt.Errorf("make segment: sequence number %d is beyond %d", seq, uint64(sequenceMax))
	}
	slots := j.cfg.SegmentBytes / slotSize
	h := header{node: j.node, lane: uint32(l.id), seq: seq, prev: l.current.Load().seq, slots: uint32(slots), created: now}
	var nonce [8]byte
	rand.Read(nonce[:]) // never fails
	h.nonce = binary.LittleEndian.Uint64(nonce[:])
	path := filepath.Join(j.cfg.Dir, segmentName(l.id, seq))

	memory, seed, err := j.createFile(path, &h)
	if err != nil {
		return nil, fmt.Errorf("make segment: %w", err)
	}
	s := &segment{
		lane: l.id, seq: seq, prev: h.prev, slots: uint64(slots), seed: seed, size: int64(j.cfg.SegmentBytes), created: now,
		memory: memory, mem: memory.bytes(), repeats: newRepeats(uint64(slots)), settled: firstSlot, flushed: firstSlot,
	}
	s.tail.Store(firstSlot)
	s.refs.Store(1)
	s.fresh.Store(true)
	l.lastSeq = seq
	return s, nil
}

// createFile makes the file under another name first, so that a segment's name always means a whole one. What goes wrong leaves
// no file behind.
func (j *Journal) createFile(path string, h *header) (m memory, seed uint32, err error) {
	size := int64(j.cfg.SegmentBytes)
	free, recycled := j.takeFree()
	if !recycled {
		if !j.reserve(size) {
			return nil, 0, errBytesMax
		}
		free.path = path + newSuffix
	}
	name := free.path // what the file is called now
	defer func() {
		if err == nil {
			return
		}
		if rmErr := j.disk.remove(name); rmErr != nil && !errors.Is(rmErr, os.ErrNotExist) {
			err = errors.Join(err, rmErr)
		}
		j.unreserve(size)
	}()
	var first [headerBytes]byte
	seed = h.put(first[:])
	// Nothing of a recycled segment's old records stays, in case a bug or a disk lets the checksums down.
	if m = free.memory; m != nil {
		if err = m.warm(); err != nil {
			return nil, 0, errors.Join(err, free.close())
		}
		clear(m.bytes())
		copy(m.bytes(), first[:])
	} else if err = j.fillFile(free.path, recycled, first[:]); err != nil {
		return nil, 0, err
	}
	if err = j.disk.rename(free.path, path); err != nil {
		return nil, 0, errors.Join(err, free.close())
	}
	name = path
	if m != nil {
		return m, seed, nil
	}
	f, err := j.disk.open(path, os.O_RDWR)
	if err != nil {
		return nil, 0, err
	}
	if m, err = j.disk.attach(f, int(size)); err != nil {
		return nil, 0, err
	}
	copy(m.bytes(), first[:])
	return m, seed, nil
}

// fillFile makes a file of zeros behind the header.
func (j *Journal) fillFile(path string, recycled bool, first []byte) error {
	flag := os.O_RDWR
	if !recycled {
		flag |= os.O_CREATE | os.O_TRUNC
	}
	f, err := j.disk.open(path, flag)
	if err != nil {
		return err
	}
	if recycled {
		err = zeroFill(f, int64(j.cfg.SegmentBytes))
	} else {
		err = j.disk.allocate(f, int64(j.cfg.SegmentBytes))
	}
	if err == nil {
		_, err = f.WriteAt(first, 0)
	}
	return errors.Join(err, f.Close())
}

// syncFresh makes the headers and names of new segments durable, away from the appenders.
func (j *Journal) syncFresh() {
	for _, l := range j.lanes {
		segments := l.all()
		l.grow.Lock()
		if l.next != nil {
			segments = append(segments, l.next.acquire())
		}
		l.grow.Unlock()
		for _, s := range segments {
			if err := j.syncHeader(s); err != nil {
				j.noteSync(s, err)
			}
			j.unref(l, s)
		}
	}
}

// syncHeader makes one new segment's header and name durable.
func (j *Journal) syncHeader(s *segment) error {
	if !s.fresh.Load() || s.failed.Load() {
		return nil
	}
	if j.cfg.Sync != SyncOff {
		err := s.memory.sync(0, headerBytes)
		if err == nil {
			err = j.disk.syncDir(j.cfg.Dir)
		}
		if err != nil {
			s.failed.Store(!errors.Is(err, errNotTried))
			return err
		}
	}
	s.fresh.Store(false)
	return nil
}

// reserve counts size bytes against the bound.
func (j *Journal) reserve(size int64) bool {
	if j.bytes.Add(size) <= j.cfg.BytesMax {
		return true
	}
	j.bytes.Add(-size)
	return false
}

func (j *Journal) unreserve(size int64) { j.bytes.Add(-size) }
