package journal

import (
	"errors"
	"path/filepath"
)

// freeSegment is a segment file that waits for its next use. Where the disk maps files the mapping stays, and with it the
// pages, so that the next use allocates and faults nothing. BenchmarkAppendSustained shows the difference.
type freeSegment struct {
	path   string
	memory memory // nil: not mapped
}

// close ends the mapping; the file stays for the next Open.
func (f *freeSegment) close() error {
	if f.memory == nil {
		return nil
	}
	return f.memory.close()
}

// unref gives a reference back. The last one disposes of the segment.
func (j *Journal) unref(l *lane, s *segment) {
	if s.refs.Add(-1) == 0 {
		j.dispose(l, s)
	}
}

// dispose ends a segment that is in no chain any more: its memory when no appender is in it, and its file.
func (j *Journal) dispose(l *lane, s *segment) {
	m, settled := s.takeMemory()
	var err error
	if settled {
		l.retired.Add(s.takeRecorded())
		if s.archive != nil {
			err = s.archive.close()
		}
		err = errors.Join(err, j.recycle(s, m))
	}
	if err != nil {
		j.log.Warn("journal segment could not be disposed of", "lane", s.lane, "segment", s.seq, "err", err)
	}
	if !settled || err != nil {
		// The background tries again with its next beat.
		j.mu.Lock()
		j.zombies = append(j.zombies, s)
		j.mu.Unlock()
	}
}

// disposeZombies tries again what could not be disposed of.
func (j *Journal) disposeZombies() {
	j.mu.Lock()
	zombies := j.zombies
	j.zombies = nil
	j.mu.Unlock()
	for _, s := range zombies {
		j.dispose(j.lanes[s.lane], s)
	}
	if len(zombies) > 0 {
		kick(j.prepareKick)
	}
}

// recycle keeps a segment's file for the next one, with its memory m, or deletes it when there are enough.
func (j *Journal) recycle(s *segment, m memory) error {
	failpoint("recycle")
	free := freeSegment{path: filepath.Join(j.cfg.Dir, segmentName(s.lane, s.seq)), memory: m}
	var err error
	if j.disk.buffered() { // the file is open then, and some systems do not rename an open one
		err = free.close()
		free.memory = nil
	}
	// What a failed sync left in the page cache is not known: such a file is not used again.
	if s.size == int64(j.cfg.SegmentBytes) && !s.failed.Load() && j.keepFree(free) {
		return err
	}
	err = errors.Join(err, free.close(), j.disk.remove(free.path))
	if err == nil {
		j.unreserve(s.size)
	}
	return err
}

// keepFree puts the segment into the pool, which holds about one file a lane: calls at the same time may each add one.
func (j *Journal) keepFree(f freeSegment) bool {
	j.mu.Lock()
	room := len(j.free) < j.cfg.Lanes && j.bytes.Load() <= j.cfg.BytesMax
	j.mu.Unlock()
	if !room {
		return false
	}
	from := f.path
	f.path += freeSuffix
	if err := j.disk.rename(from, f.path); err != nil {
		j.log.Warn("journal segment can't be kept for its next use", "path", from, "err", err)
		return false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.free = append(j.free, f)
	return true
}

// takeFree takes a segment out of the pool.
func (j *Journal) takeFree() (f freeSegment, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.free) == 0 {
		return f, false
	}
	f = j.free[len(j.free)-1]
	j.free = j.free[:len(j.free)-1]
	return f, true
}

// closeFree ends the mappings in the pool.
func (j *Journal) closeFree() error {
	var errs []error
	for f, ok := j.takeFree(); ok; f, ok = j.takeFree() {
		errs = append(errs, f.close())
	}
	return errors.Join(errs...)
}
