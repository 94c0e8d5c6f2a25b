package journal

import (
	"errors"
	"fmt"

	"github.com/carom-dev/carom/engine"
)

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
//
// Strings that the segment has already are referred to. That is decided by a hint before slots are reserved, as it says how many,
// and checked after that: a wrong hint costs a void and a second reservation. It takes two strings with one hash.
func (j *Journal) record(l *lane, c *engine.Click) (*segment, uint64, error) {
	c.UserAgent = cut(c.UserAgent, engine.UserAgentMaxLen)
	c.Referrer = cut(c.Referrer, engine.ReferrerMaxLen)
	c.Language = cut(c.Language, engine.LanguageMaxLen)
	whole, referring := slotsOf(wholeBytes(c)), slotsOf(recordRefers+len(c.Referrer))
	repeats := referring < whole // it may be one
	hints := repeats
	var key uint64
	if repeats {
		key = repeatKey(j.seed, c)
	}
	for {
		s := l.current.Load()
		n, referent := whole, uint64(0)
		if hints {
			if referent = s.repeats.find(key); referent != 0 {
				n = referring
			}
		}
		start := s.tail.Add(n) - n
		if start+n > s.slots {
			if err := j.rotate(l, s, start); err != nil {
				return nil, 0, err
			}
			continue
		}
		failpoint("reserve")
		recorded := true
		b := s.mem[start*slotSize : (start+n)*slotSize]
		if referent == 0 {
			storeWord(b, 0, putWhole(b, c, s.seed, uint32(start)))
			if repeats {
				s.repeats.put(key, start)
			}
		} else {
			recorded = s.refer(b, start, referent, c)
		}
		failpoint("append")
		if half := s.slots / 2; start < half && start+n >= half {
			kick(j.prepareKick)
		}
		if j.flushKick != nil {
			kick(j.flushKick)
		}
		if recorded {
			return s, start, nil
		}
		hints = false
	}
}

// refer commits the reserved slots b at start: as a record that refers to the one at referent, if that has what c has, or as a void.
func (s *segment) refer(b []byte, start, referent uint64, c *engine.Click) bool {
	word, ok := s.wordOf(referent, c)
	k := kindRefers
	if !ok {
		k, word = kindVoid, 0
	}
	storeWord(b, 0, putReferring(b, c, k, word, s.seed, uint32(start)))
	return ok
}

// rotate replaces the full segment s, in which the caller's reservation began at start. nil says: try again.
func (j *Journal) rotate(l *lane, s *segment, start uint64) error {
	if start <= s.slots {
		s.end.Store(start) // of all reservations exactly one crosses the end, and seals
		failpoint("rotate")
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
	j.drops[dropReasonOf(b.cause)].Add(1)
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
