package journal

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/carom-dev/carom/engine"
)

// segment is one file of a lane. A live one was made by this process, is in memory and takes records; a recovered one was left
// by an earlier process, is never written again, and is read through its archive.
//
// A live segment's life: made by Journal.create, installed as its lane's current one, sealed by the appender that finds it
// full, settled when every record that was reserved in it is committed, and then, once it is released, disposed of. Appenders
// take no reference: what protects the memory under them is that nothing is unmapped before it is settled.
type segment struct {
	lane    int
	seq     uint64
	prev    uint64 // the segment before it
	slots   uint64 // the header's included; 0: the sentinel that a lane starts with, which is always full
	seed    uint32
	size    int64
	created time.Time
	mem     []byte // a live segment's slots
	memory  memory
	repeats repeats  // a live segment's
	archive *archive // a recovered segment's reader; owned by the lane's reader

	_    [64]byte // the appenders' counter shares no line with what they only read
	tail atomic.Uint64
	_    [56]byte

	end atomic.Uint64 // slots that hold records, once sealed; 0 until then

	refs   atomic.Int32 // the lane's list is one, each Read, sync and count under way another
	fresh  atomic.Bool  // its name and header are not yet durable
	left   atomic.Bool  // by an earlier process, which may have died before it synced it
	failed atomic.Bool  // a sync failed: what reached the disk is not known, and a second sync would claim that all did
	synced atomic.Uint64

	mu      sync.Mutex // guards what is below
	settled uint64     // slots before it hold committed records
	flushed uint64     // slots before it are with the operating system
	records uint64     // in the slots before settled, but for those that the lane has counted as retired
	gone    bool       // the memory is no longer the segment's
}

// newSentinel makes the segment that is full from the beginning and stands for the last recovered one.
func newSentinel(lane int, seq uint64) *segment { return &segment{lane: lane, seq: seq} }

// first is the slot of the first record, behind the header.
func (s *segment) first() uint64 {
	if !s.live() {
		return uint64(s.archive.start())
	}
	return firstSlot
}

// live reports that the segment takes or took this process's records.
func (s *segment) live() bool { return s.archive == nil }

// seal ends the segment for appenders: who reserves from now on finds it full.
func (s *segment) seal() {
	if start := s.tail.Add(s.slots+1) - (s.slots + 1); start <= s.slots {
		s.end.Store(start)
	}
}

// limit is the slot that no record reaches beyond, and whether that is final.
func (s *segment) limit() (slot uint64, final bool) {
	if !s.live() {
		return s.slots, true
	}
	if end := s.end.Load(); end != 0 {
		return end, true
	}
	return min(s.tail.Load(), s.slots), false
}

// position of a slot in this segment.
func (s *segment) position(slot uint64) engine.Position {
	return engine.MakePosition(s.seq, uint32(slot))
}

// settle walks over the records that have been committed since the last call. True says that all there will ever be are:
// no appender is inside the segment any more.
func (s *segment) settle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settleLocked()
}

func (s *segment) settleLocked() bool {
	limit, final := s.limit()
	if s.gone || !s.live() {
		return true
	}
	for s.settled < limit {
		off := int(s.settled) * slotSize
		word := loadWord(s.mem, off)
		if uint32(word) != uint32(s.settled)+1 {
			break // not committed; or damaged in memory, and then the mapping is kept for good
		}
		o, ok := readOutline(s.mem[off:])
		if !ok {
			break
		}
		s.settled += slotsOf(o.bytes)
		if o.kind != kindVoid {
			s.records++
		}
	}
	return final && s.settled >= limit
}

// recorded is how many records have been appended.
func (s *segment) recorded() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settleLocked()
	return s.records
}

// takeRecorded is recorded for the one who counts them from now on.
func (s *segment) takeRecorded() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settleLocked()
	n := s.records
	s.records = 0
	return n
}

// flush hands the committed records to the operating system, where memory does not do that by itself.
func (s *segment) flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flushLocked()
}

func (s *segment) flushLocked() error {
	s.settleLocked()
	if s.gone || s.flushed == s.settled {
		return nil
	}
	if err := s.memory.flush(int(s.flushed)*slotSize, int(s.settled)*slotSize); err != nil {
		return err
	}
	s.flushed = s.settled
	return nil
}

// dirty reports records, or a name, that no sync has covered and that one still can.
func (s *segment) dirty() bool {
	limit, _ := s.limit()
	return s.live() && s.slots > 0 && !s.failed.Load() && (s.synced.Load() < limit || s.fresh.Load())
}

// sync makes the committed records durable. The caller holds a reference.
func (s *segment) sync() error {
	s.mu.Lock()
	err := s.flushLocked()
	from, to := s.synced.Load(), s.settled
	gone := s.gone
	s.mu.Unlock()
	if err == nil && !gone && from < to {
		// Without the lock: it takes as long as the disk likes, and the reference keeps the memory.
		err = s.memory.sync(int(from)*slotSize, int(to)*slotSize)
	}
	if err != nil {
		s.failed.Store(true)
		return err
	}
	s.synced.Store(max(from, to))
	return nil
}

// acquire takes a reference; the caller knows that there is one already.
func (s *segment) acquire() *segment {
	s.refs.Add(1)
	return s
}

// takeMemory gives away the memory of a settled segment that nobody refers to; nil when there is none, or no more. False says
// that an appender may still be in it.
func (s *segment) takeMemory() (m memory, settled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone || !s.live() || s.memory == nil {
		return nil, true
	}
	if !s.settleLocked() {
		return nil, false
	}
	s.gone = true
	return s.memory, true
}
