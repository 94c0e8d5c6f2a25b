package journal

import (
	"errors"
	"fmt"

	"github.com/carom-dev/carom/engine"
)

// ErrNotDurable says that the click is recorded, but the sync that SyncAlways promises failed: it may not survive a power loss.
var ErrNotDurable = errors.New("click is recorded but not synced")

// errBytesMax is why there is no room when it is not the disk's fault.
var errBytesMax = errors.New("bound on the journal's bytes is reached")

// Append implements engine.ClickAppender. Strings beyond their bounds are cut. With SyncAlways, and only then, it waits for the
// disk. 0 allocs: TestAppendAllocs.
func (j *Journal) Append(lane int, c engine.Click) error {
	s, start, err := j.record(j.lanes[lane], &c)
	if err != nil || !j.always {
		return err
	}
	return j.waitSynced(s, start)
}

// record reserves slots by one atomic add, fills them, and stores the commit word last. Between the two nothing can block or
// panic; a process that dies there leaves a hole, and its click was not acknowledged. It returns where the record is.
func (j *Journal) record(l *lane, c *engine.Click) (*segment, uint64, error) {
	c.UserAgent = cut(c.UserAgent, engine.UserAgentMaxLen)
	c.Referrer = cut(c.Referrer, engine.ReferrerMaxLen)
	c.Language = cut(c.Language, engine.LanguageMaxLen)
	n := slotsOf(len(c.UserAgent) + len(c.Referrer) + len(c.Language))
	for {
		s := l.current.Load()
		start := s.tail.Add(n) - n
		if start+n > s.slots {
			if err := j.rotate(l, s, start); err != nil {
				return nil, 0, err
			}
			continue
		}
		off := int(start) * slotSize
		b := s.mem[off : off+int(n)*slotSize]
		storeWord(b, 0, putRecord(b, c, s.seed, uint32(start)))
		if half := s.slots / 2; start < half && start+n >= half {
			kick(j.prepareKick)
		}
		if j.flushKick != nil {
			kick(j.flushKick)
		}
		return s, start, nil
	}
}

// rotate replaces the full segment s, in which the caller's reservation began at start. nil says: try again.
func (j *Journal) rotate(l *lane, s *segment, start uint64) error {
	if start <= s.slots {
		s.end.Store(start) // of all reservations exactly one crosses the end, and seals
	}
	if b := l.blocked.Load(); b != nil {
		return j.drop(l, b)
	}
	l.grow.Lock()
	defer l.grow.Unlock()
	if b := l.blocked.Load(); b != nil {
		return j.drop(l, b)
	}
	if l.current.Load() != s {
		return nil
	}
	if err := j.extend(l); err != nil {
		// From here on the preparer tries again, at its own pace, and nobody waits for it.
		b := block(err)
		l.blocked.Store(b)
		kick(j.prepareKick)
		return j.drop(l, b)
	}
	kick(j.prepareKick)
	return nil
}

// extend installs the prepared segment, or one made here when appenders were faster than the preparer. The caller holds grow.
func (j *Journal) extend(l *lane) error {
	if l.next == nil {
		next, err := j.create(l)
		if err != nil {
			return err
		}
		l.next = next
	}
	next := l.next
	l.next = nil
	l.push(next)
	return nil
}

// drop counts a click that is not recorded and says why.
func (j *Journal) drop(l *lane, b *blocked) error {
	l.dropped.Add(1)
	j.lastDrop.Store(j.cfg.Now().UnixNano())
	return b.answer
}

// block makes the answer once, so that the appends that get it allocate nothing.
func block(cause error) *blocked {
	answer := engine.ErrJournalClosed
	if isFull(cause) {
		answer = engine.ErrJournalFull
	}
	return &blocked{answer: fmt.Errorf("append click: %w", answer), cause: cause}
}

// kick wakes the goroutine behind ch, if it is not awake already.
func kick(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
