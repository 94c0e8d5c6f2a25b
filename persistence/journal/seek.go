package journal

import (
	"fmt"
	"time"

	"github.com/carom-dev/carom/engine"
)

const (
	// settleTimeout is how long a segment that is in the way is waited for: far longer than an appender needs between its
	// reservation and its commit, unless the process is stopped.
	settleTimeout  = time.Second
	settleInterval = 100 * time.Microsecond
)

// Seek implements engine.ClickSource. A pos before everything that is there starts at the oldest segment, and counts a gap if
// segments are missing in between. A pos behind everything says that the directory was lost, or put back from a copy: records of
// earlier processes are then taken as stored, those of this one are appended again behind pos, and the lane goes on there.
func (j *Journal) Seek(lane int, pos engine.Position) error {
	l := j.lanes[lane]
	l.reading.Lock()
	defer l.reading.Unlock()
	if j.closed.Load() {
		return fmt.Errorf("seek lane %d: %w", lane, engine.ErrJournalClosed)
	}
	if pos.Segment() >= sequenceMax {
		return fmt.Errorf("seek lane %d: checkpoint is in segment %d; at most %d is possible", lane, pos.Segment(), uint64(sequenceMax-1))
	}
	if j.lift(l, pos) {
		j.log.Warn("journal lane is behind its checkpoint, going on behind it", "lane", lane, "checkpoint", uint64(pos))
		j.carry(l, pos)
		kick(j.syncKick)
	}
	if s := l.find(0); s != nil {
		if s.prev > pos.Segment() {
			j.gaps.Add(1)
			j.log.Warn("journal segments are missing behind the checkpoint", "lane", lane, "checkpoint", uint64(pos), "oldest", s.seq)
		}
		j.unref(l, s)
	}
	if l.missing > pos {
		j.gaps.Add(1)
		j.log.Error("journal segments are missing at the lane's end", "lane", lane, "checkpoint", uint64(pos), "noted", uint64(l.missing))
	}
	l.missing = 0
	for _, s := range l.all() {
		if !s.live() {
			s.archive.run = runNone // its reader jumps
		}
		j.unref(l, s)
	}
	l.at.Store(uint64(pos))
	l.floor = pos // lower than before, if the store went back: it may need what it had
	j.release(l, pos)
	return nil
}

// Release implements engine.ClickSource.
func (j *Journal) Release(lane int, pos engine.Position) error {
	failpoint("release")
	l := j.lanes[lane]
	l.reading.Lock()
	defer l.reading.Unlock()
	if j.closed.Load() {
		return fmt.Errorf("release lane %d: %w", lane, engine.ErrJournalClosed)
	}
	j.release(l, pos)
	return nil
}

func (j *Journal) release(l *lane, pos engine.Position) {
	l.floor = max(l.floor, pos)
	gone := l.detach(pos)
	for _, s := range gone {
		l.retired.Add(s.takeRecorded()) // others may still refer to it; the figures must not go back meanwhile
		j.unref(l, s)
	}
	if len(gone) > 0 {
		kick(j.prepareKick) // a lane without room may have some now
	}
}

// lift makes sure that what is appended from now on gets positions above pos, and reports whether there are records before it that
// the store can't have: of this process, although it has not been told of a checkpoint yet.
func (j *Journal) lift(l *lane, pos engine.Position) bool {
	l.grow.Lock()
	defer l.grow.Unlock()
	behind := l.behind()
	// A segment of this process with the checkpoint's number, or a smaller one: the one that it speaks of was an earlier process's,
	// and is gone.
	again := !l.sought && l.overtaken(pos)
	l.sought = true
	if pos <= behind && !again {
		return false
	}
	l.lastSeq = max(l.lastSeq, pos.Segment())
	if s := l.next; s != nil && s.seq <= pos.Segment() {
		l.next = nil
		s.seal()
		j.unref(l, s)
	}
	if s := l.current.Load(); s.slots > 0 && s.seq <= pos.Segment() {
		s.seal()
	}
	kick(j.prepareKick)
	return behind != 0 // an empty lane is what a clean stop leaves
}

// carry appends the records that this process made before pos once more: no store can have them. Cold: it takes a clock that
// went back, or a second process under the same node id.
func (j *Journal) carry(l *lane, pos engine.Position) {
	for _, s := range l.all() {
		if s.live() && s.seq <= pos.Segment() {
			j.awaitSettled(s)
			slot := s.first()
			if s.seq == l.floor.Segment() {
				slot = max(slot, uint64(l.floor.Slot()))
			}
			// What lies behind pos stays where it is, and is read there: a power loss may undo the end of this segment.
			for end, _ := s.limit(); slot < end && s.position(slot) < pos && s.seq >= l.floor.Segment(); {
				r, _, ok := s.record(slot)
				if !ok {
					break
				}
				slot += slotsOf(r.bytes)
				if r.kind == kindVoid {
					continue
				}
				if r.kind == kindRefers {
					if r.click.UserAgent, r.click.Language, ok = referred(s, r.referent); !ok {
						j.lostUserAgents.Add(1)
					}
				}
				if _, _, err := j.record(l, &r.click); err != nil { // not Append: nobody may sync any more when Close waits for this
					j.log.Warn("journal record could not be carried behind the checkpoint", "lane", l.id, "err", err)
				}
			}
		}
		j.unref(l, s)
	}
}

// awaitSettled waits until no appender is in the sealed segment, within settleTimeout.
func (j *Journal) awaitSettled(s *segment) bool {
	if s.settle() {
		return true
	}
	// Looked at from time to time, as an appender that told when it is done would pay for it with each click.
	look := time.NewTicker(settleInterval)
	defer look.Stop()
	timeout := time.NewTimer(settleTimeout)
	defer timeout.Stop()
	for {
		select {
		case <-look.C:
			if s.settle() {
				return true
			}
		case <-timeout.C:
			return false
		}
	}
}
