package journal

import (
	"fmt"

	"github.com/carom-dev/carom/engine"
)

// Read implements engine.ClickSource. In a segment of this process it never passes a slot that is reserved and not committed:
// its appender may be stopped, but it will commit. In a recovered one there is nobody left to do that, and such slots are
// skipped.
func (j *Journal) Read(lane, limit int, dst []engine.Click) ([]engine.Click, engine.Position, error) {
	l := j.lanes[lane]
	l.reading.Lock()
	defer l.reading.Unlock()
	if j.closed.Load() {
		return dst, l.position(), fmt.Errorf("read lane %d: %w", lane, engine.ErrJournalClosed)
	}
	var mem arena
	want := len(dst) + limit
	for {
		s := l.find(l.position())
		if s == nil {
			l.passRecovered()
			return dst, l.position(), nil
		}
		pos := l.position()
		if s.seq > pos.Segment() {
			pos = s.position(s.first())
		}
		slot := max(uint64(pos.Slot()), s.first())
		if s.live() {
			mem.turn(nil)
			dst, slot = j.readLive(s, slot, want-len(dst), dst, &mem)
		} else {
			var skipped lost
			var at uint32
			var err error
			dst, at, err = s.archive.read(uint32(slot), want-len(dst), dst, &mem, &skipped)
			if err != nil && !s.archive.warned {
				j.log.Warn("journal segment can't be read yet", "lane", lane, "segment", s.seq, "err", err)
			}
			s.archive.warned = err != nil
			slot = uint64(at)
			j.holes.Add(skipped.holes)
			j.damagedRecords.Add(skipped.damaged)
			j.lostUserAgents.Add(skipped.userAgents)
		}
		l.at.Store(uint64(s.position(slot)))
		end, final := s.limit()
		finished := final && slot >= end
		next := j.stepOver(l, s, finished)
		if finished && !next && !s.live() {
			l.passRecovered()
		}
		j.unref(l, s)
		if !next {
			return dst, l.position(), nil
		}
	}
}

// passRecovered says that there is nothing recovered behind the reader. The segments at the end may have been swept as unused,
// and who waits for the position of Recovered must see it reached.
func (l *lane) passRecovered() {
	l.at.Store(uint64(max(l.position(), l.recovered)))
}

// stepOver moves the reader to the segment behind s, if s is read to its end and there is one.
func (j *Journal) stepOver(l *lane, s *segment, finished bool) bool {
	if !finished {
		return false
	}
	next := l.find(engine.MakePosition(s.seq+1, 0))
	if next == nil {
		return false
	}
	l.at.Store(uint64(next.position(next.first())))
	j.unref(l, next)
	return true
}

// readLive appends up to limit committed clicks from slot on, and returns the slot behind the last.
func (j *Journal) readLive(s *segment, slot uint64, limit int, dst []engine.Click, mem *arena) ([]engine.Click, uint64) {
	end, _ := s.limit()
	for limit > 0 && slot < end {
		r, word, ok := s.record(slot)
		if !ok && word == 0 {
			break
		}
		if !ok {
			// The memory was changed by somebody else. Look for the next record that holds; until there is one, stay, as
			// what follows may not have been committed yet.
			from := slot
			for !ok && slot+1 < end {
				slot++
				r, _, ok = s.record(slot)
			}
			if _, final := s.limit(); !ok && !final {
				return dst, from
			}
			j.damagedRecords.Add(1)
			if !ok {
				return dst, end
			}
		}
		slot += slotsOf(r.bytes)
		if r.kind == kindVoid {
			continue
		}
		c, known := mem.own(&r, s)
		if !known {
			j.lostUserAgents.Add(1)
		}
		dst = append(dst, c)
		limit--
	}
	return dst, slot
}

// record reads the record at slot of a live segment; false when there is none that holds. The caller holds a reference. The
// strings are parts of the segment's memory.
func (s *segment) record(slot uint64) (r record, word uint64, ok bool) {
	b := s.mem[slot*slotSize:]
	if word = loadWord(b, 0); word == 0 {
		return r, 0, false
	}
	r, ok = parseRecord(b, word, s.seed, uint32(slot))
	return r, word, ok
}

// from implements source.
func (s *segment) from(slot uint32) []byte { return s.mem[int(slot)*slotSize:] }

// checksumSeed implements source.
func (s *segment) checksumSeed() uint32 { return s.seed }
