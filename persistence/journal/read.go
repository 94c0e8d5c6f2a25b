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
			pos = s.position(1)
		}
		slot := uint64(max(pos.Slot(), 1))
		if s.live() {
			dst, slot = j.readLive(s, slot, want-len(dst), dst, &mem)
		} else {
			var skipped lost
			var at uint32
			dst, at = s.archive.read(uint32(slot), want-len(dst), dst, &mem, &skipped)
			slot = uint64(at)
			j.holes.Add(skipped.holes)
			j.damagedRecords.Add(skipped.damaged)
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
	l.at.Store(uint64(next.position(1)))
	j.unref(l, next)
	return true
}

// readLive appends up to limit committed clicks from slot on, and returns the slot behind the last.
func (j *Journal) readLive(s *segment, slot uint64, limit int, dst []engine.Click, mem *arena) ([]engine.Click, uint64) {
	end, _ := s.limit()
	for limit > 0 && slot < end {
		c, n, word := s.record(slot)
		if n == 0 && word == 0 {
			break
		}
		if n == 0 {
			// The memory was changed by somebody else. Look for the next record that holds; until there is one, stay, as
			// what follows may not have been committed yet.
			from := slot
			for n == 0 && slot+1 < end {
				slot++
				c, n, _ = s.record(slot)
			}
			if _, final := s.limit(); n == 0 && !final {
				return dst, from
			}
			j.damagedRecords.Add(1)
			if n == 0 {
				return dst, end
			}
		}
		mem.own(&c)
		dst = append(dst, c)
		slot += n
		limit--
	}
	return dst, slot
}

// record reads the record at slot of a live segment; n is 0 when there is none that holds. The caller holds a reference. The
// strings are parts of the segment's memory.
func (s *segment) record(slot uint64) (c engine.Click, n uint64, word uint64) {
	off := int(slot) * slotSize
	word = loadWord(s.mem, off)
	if word == 0 {
		return c, 0, 0
	}
	c, slots, ok := parseRecord(s.mem[off:], word, s.seed, uint32(slot))
	if !ok {
		return c, 0, word
	}
	return c, uint64(slots), word
}
