package journal

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/carom-dev/carom/engine"
)

// lane is one shard's chain of segments, oldest first: recovered ones, then those of this process.
type lane struct {
	id      int
	current atomic.Pointer[segment] // where appenders go
	blocked atomic.Pointer[blocked] // why there is no room, while there is none
	dropped atomic.Uint64
	_       [64]byte // keeps what appenders read off the lines that others write

	// grow is held while a segment is made or installed, disk calls included: appenders that find the current one full wait
	// here for its successor, and nobody else does. It guards next and what follows it.
	grow       sync.Mutex
	next       *segment // prepared
	lastSeq    uint64
	complained bool // the log has heard that there is no room
	warned     bool // the log has heard that there is no next segment

	// reading is held by Seek, Read and Release. It guards the archives and what follows it, but for at.
	reading sync.Mutex
	missing engine.Position // the end of a newest segment that is gone; 0: none is
	sought  bool            // the store's checkpoint is known
	floor   engine.Position // what the store is known to have
	at      atomic.Uint64   // the reader's position; stored under reading

	mu       sync.Mutex // guards segments; never held over a disk call
	segments []*segment

	recovered engine.Position // written once in Open
	retired   atomic.Uint64   // records in segments that are gone
}

// blocked says why appends to a lane fail.
type blocked struct {
	answer error // what Append returns
	cause  error
}

// position is where the reader stands.
func (l *lane) position() engine.Position { return engine.Position(l.at.Load()) }

// find returns the first segment at or behind pos's with a reference, or nil.
func (l *lane) find(pos engine.Position) *segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.segments {
		if s.seq >= pos.Segment() {
			return s.acquire()
		}
	}
	return nil
}

// all returns every segment with a reference.
func (l *lane) all() []*segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]*segment, len(l.segments))
	for i, s := range l.segments {
		out[i] = s.acquire()
	}
	return out
}

// behind returns the position behind everything that is in the chain, and 0 without a chain.
func (l *lane) behind() engine.Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segments) == 0 {
		return 0
	}
	s := l.segments[len(l.segments)-1]
	slot, _ := s.limit()
	return s.position(slot)
}

// overtaken reports whether a segment of this process is not behind pos.
func (l *lane) overtaken(pos engine.Position) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.segments, func(s *segment) bool { return s.live() && s.seq <= pos.Segment() })
}

// push puts a new segment at the chain's end and sends appenders there. The caller holds grow.
func (l *lane) push(s *segment) {
	l.mu.Lock()
	l.segments = append(l.segments, s)
	l.mu.Unlock()
	l.current.Store(s)
}

// detach takes the segments wholly before pos out of the chain.
func (l *lane) detach(pos engine.Position) []*segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, s := range l.segments {
		slot, final := s.limit()
		if s.seq >= pos.Segment() && (s.seq > pos.Segment() || !final || uint64(pos.Slot()) < slot) {
			break
		}
		n++
	}
	out := append([]*segment(nil), l.segments[:n]...)
	l.segments = append(l.segments[:0], l.segments[n:]...)
	return out
}

// last returns the newest segment with a reference, or nil.
func (l *lane) last() *segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segments) == 0 {
		return nil
	}
	return l.segments[len(l.segments)-1].acquire()
}

// lastInChain is the newest segment's sequence number; 0 without one.
func (l *lane) lastInChain() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segments) == 0 {
		return 0
	}
	return l.segments[len(l.segments)-1].seq
}

// remove takes s out of the chain, if it is still in it.
func (l *lane) remove(s *segment) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.segments, s)
	if i < 0 {
		return false
	}
	l.segments = slices.Delete(l.segments, i, i+1)
	return true
}
