// Package table is the published table of one shard: links by code, written by one goroutine and read by all without a lock.
//
// Entries are immutable bytes in chunks that hold no pointers, so that the garbage collector's work does not grow with the number
// of links. A chunk is never reused: once evicted it is dropped, and the collector frees it when the last reader has let go
// (read-copy-update with the collector as the grace period). Eviction is the CLOCK algorithm (Corbató, 1968) over whole chunks:
// the oldest one's entries that were read since they were written are written again, the others go.
package table

import (
	"bytes"
	"fmt"
	"sync/atomic"

	"github.com/carom-dev/carom/engine"
)

// Config bounds a table. The zero value works.
type Config struct {
	// BytesMax bounds chunks and index together, in bytes. 0 means 64 MiB; at least BytesMin.
	BytesMax int64
	// TTL is how long an entry is fresh after it was read from the store, in seconds. 0 means 300.
	TTL uint32
	// Epoch is the Unix second that stamps count from; times before it count as it.
	Epoch int64
}

// BytesMin is the least a table can be given: four of the smallest chunks and an index.
const BytesMin = 4*chunkMin + 4096

const (
	chunkMin  = 16 << 10
	chunkMax  = 256 << 10
	slotsMin  = 64
	ttlNormal = 300
)

// The smallest chunk holds the largest entry; this does not compile otherwise.
const _ = uint(chunkMin - entryMax)

// Validate names what is out of bounds.
func (c Config) Validate() error {
	if c.BytesMax != 0 && c.BytesMax < BytesMin {
		return fmt.Errorf("table: BytesMax is %d; at least %d are needed", c.BytesMax, BytesMin)
	}
	return nil
}

type chunk struct {
	seq  uint32
	used int // owned by the writer
	data []byte
}

// Table maps (domain, code) to entries. Lookup and Stats are safe for concurrent use; all other methods belong to the one
// goroutine that owns the table.
type Table struct {
	index atomic.Pointer[index]
	// chunks is a ring by sequence number; a reader checks that the chunk is the one it was sent to.
	chunks    []atomic.Pointer[chunk]
	chunkMask uint32
	// distrust: stamps of an earlier second are stale, however young.
	distrust atomic.Uint32

	// Written once by New.
	bytesMax   int64
	chunkBytes int
	ttl        uint32
	epoch      int64

	// Owned by the writer.
	current      *chunk
	oldest, next uint32 // sequence numbers
	tombs        int
	scratch      []byte

	// Written by the writer, read by Stats.
	entries   atomic.Int64
	bytes     atomic.Int64
	evictions atomic.Int64
}

// New makes an empty table. cfg must be valid.
func New(cfg Config) *Table {
	t := &Table{bytesMax: cfg.BytesMax, ttl: cfg.TTL, epoch: cfg.Epoch, oldest: 1, next: 1}
	if t.bytesMax == 0 {
		t.bytesMax = 64 << 20
	}
	if t.ttl == 0 {
		t.ttl = ttlNormal
	}
	// Sixteen chunks or more, so that an eviction takes a small part of the table.
	t.chunkBytes = int(min(max(t.bytesMax/16, chunkMin), chunkMax)) &^ 7
	ring := uint32(8)
	for int64(ring) < t.bytesMax/int64(t.chunkBytes)+4 {
		ring *= 2
	}
	t.chunks = make([]atomic.Pointer[chunk], ring)
	t.chunkMask = ring - 1
	t.index.Store(newIndex(slotsMin))
	t.bytes.Store(slotsMin * indexSlotBytes)
	return t
}

// Lookup finds the entry of a code. refresh asks the caller, and among concurrent ones only this caller, to have the entry read
// again, as it is older than its time to live at now (Unix seconds); it is to be served all the same. 0 allocs: TestLookupAllocs.
func (t *Table) Lookup(hash uint64, domain engine.DomainID, code []byte, now int64) (e Entry, refresh, ok bool) {
	x := t.index.Load()
	i, e := t.find(x, hash, domain, code)
	if e.IsZero() {
		return Entry{}, false, false
	}
	stamp := x.stamps[i].Load()
	if stamp&stampUsed == 0 {
		x.stamps[i].Or(stampUsed)
	}
	if stamp&stampRefreshing == 0 && t.stale(stamp>>stampShift, now) {
		// Compared with the stamp that was judged: the slot may have been given to another entry since, which is fresh.
		refresh = x.stamps[i].CompareAndSwap(stamp|stampUsed, stamp|stampUsed|stampRefreshing)
	}
	return e, refresh, true
}

// find probes for a key and returns its place in x; the zero Entry when it is not there.
func (t *Table) find(x *index, hash uint64, domain engine.DomainID, code []byte) (uint64, Entry) {
	for i := hash & x.mask; ; i = (i + 1) & x.mask {
		s := x.load(i)
		if s == slotEmpty {
			return 0, Entry{}
		}
		if s != slotTomb && s.tagged(hash) {
			if e := t.at(s); !e.IsZero() && e.matches(hash, domain, code) {
				return i, e
			}
		}
	}
}

// at is the entry a slot leads to, or none when its chunk has been evicted since the slot was read.
func (t *Table) at(s slot) Entry {
	c := t.chunks[s.seq()&t.chunkMask].Load()
	if c == nil || c.seq != s.seq() {
		return Entry{}
	}
	return Entry{c.data[s.offset():]}
}

// Unrefresh takes back what Lookup asked for with refresh, when it can't be done now: a later Lookup asks again. Safe for
// concurrent use.
func (t *Table) Unrefresh(hash uint64, domain engine.DomainID, code []byte) {
	x := t.index.Load()
	if i, e := t.find(x, hash, domain, code); !e.IsZero() {
		x.stamps[i].And(^uint32(stampRefreshing))
	}
}

func (t *Table) second(now int64) uint32 { return uint32(max(now-t.epoch, 0)) }

func (t *Table) stale(second uint32, now int64) bool {
	return second < t.distrust.Load() || t.second(now) > second+t.ttl
}

// Get is Lookup for the writer: it leaves no mark.
func (t *Table) Get(key engine.Key) (e Entry, ok bool) {
	_, e = t.find(t.index.Load(), key.Hash(), key.Domain, []byte(key.Code))
	return e, !e.IsZero()
}

// Put publishes l under key, or with a nil l that there is no such link, as read from the store at now (Unix seconds).
// What the entry says is published at once, in place of whatever version was: a concurrent Lookup sees the old entry or the new one.
func (t *Table) Put(key engine.Key, l *engine.Link, budget BudgetRef, now int64) {
	hash := key.Hash()
	stamp := stampOf(t.second(now))
	t.scratch = appendEntry(t.scratch[:0], hash, key, l, budget)
	x := t.index.Load()
	i, was := t.find(x, hash, key.Domain, []byte(key.Code))
	if !was.IsZero() && bytes.Equal(was.b[:was.size()], t.scratch) {
		t.restamp(x, i, stamp)
		return
	}
	// Space may come from an eviction, which may take the old entry and even move the index: look again after it.
	seq, off := t.write(t.scratch)
	x = t.index.Load()
	if i, was = t.find(x, hash, key.Domain, []byte(key.Code)); !was.IsZero() {
		t.restamp(x, i, stamp)
		x.slots[i].Store(uint64(makeSlot(hash, seq, off)))
		return
	}
	if x = t.grow(x); x.place(hash, makeSlot(hash, seq, off), stamp) {
		t.tombs--
	}
	t.entries.Add(1)
}

// restamp sets the time of an entry and takes the refreshing mark away; the mark of use stays as readers left it.
func (t *Table) restamp(x *index, i uint64, stamp uint32) {
	for {
		old := x.stamps[i].Load()
		if x.stamps[i].CompareAndSwap(old, stamp|old&stampUsed) {
			return
		}
	}
}

// Restamp makes the entry of key, if there is one, fresh until its time to live has passed from now (Unix seconds): it was
// found unchanged, or can't be read again at present and is to be served as it is.
func (t *Table) Restamp(key engine.Key, now int64) {
	x := t.index.Load()
	if i, e := t.find(x, key.Hash(), key.Domain, []byte(key.Code)); !e.IsZero() {
		t.restamp(x, i, stampOf(t.second(now)))
	}
}

// Remove takes the entry of key away.
func (t *Table) Remove(key engine.Key) {
	x := t.index.Load()
	if i, e := t.find(x, key.Hash(), key.Domain, []byte(key.Code)); !e.IsZero() {
		t.clear(x, i)
	}
}

func (t *Table) clear(x *index, i uint64) {
	x.slots[i].Store(uint64(slotTomb))
	t.tombs++
	t.entries.Add(-1)
}

// Distrust makes every entry stale that was read from the store before now (Unix seconds).
func (t *Table) Distrust(now int64) { t.distrust.Store(t.second(now)) }

// Distrusted reports, for the writer, whether the entry of key is stale because of Distrust.
func (t *Table) Distrusted(key engine.Key) bool {
	x := t.index.Load()
	i, e := t.find(x, key.Hash(), key.Domain, []byte(key.Code))
	return !e.IsZero() && x.stamps[i].Load()>>stampShift < t.distrust.Load()
}

// write copies an entry into the current chunk, making room first, and returns its place.
func (t *Table) write(entry []byte) (seq uint32, offset int) {
	if t.current == nil || t.current.used+len(entry) > len(t.current.data) {
		t.addChunk()
		t.shrink(len(entry))
	}
	return t.append(entry)
}

func (t *Table) append(entry []byte) (seq uint32, offset int) {
	c := t.current
	offset = c.used
	c.used += copy(c.data[offset:], entry)
	return c.seq, offset
}

func (t *Table) addChunk() {
	t.current = &chunk{seq: t.next, data: make([]byte, t.chunkBytes)}
	t.chunks[t.next&t.chunkMask].Store(t.current)
	t.next++
	t.bytes.Add(int64(t.chunkBytes))
}

// shrink evicts until the table is within its bound, or has one chunk left.
func (t *Table) shrink(reserve int) {
	for t.bytes.Load() > t.bytesMax && t.oldest != t.current.seq {
		t.evictOldest(reserve)
	}
}

// evictOldest drops the oldest chunk. Entries that were read since they were written move to the current chunk as long as it
// keeps reserve bytes free: each call frees a chunk, however hot its entries are.
func (t *Table) evictOldest(reserve int) {
	c := t.chunks[t.oldest&t.chunkMask].Load()
	x := t.index.Load()
	for off := 0; off < c.used; {
		e := Entry{c.data[off:]}
		size := e.size()
		if i, live := t.slotOf(x, e.hash(), placeOf(c.seq, off)); live {
			stamp := x.stamps[i].Load()
			if stamp&stampUsed != 0 && t.current.used+size+reserve <= len(t.current.data) {
				seq, at := t.append(e.b[:size])
				x.stamps[i].And(^uint32(stampUsed))
				x.slots[i].Store(uint64(makeSlot(e.hash(), seq, at)))
			} else {
				t.clear(x, i)
				t.evictions.Add(1)
			}
		}
		off += size
	}
	t.chunks[t.oldest&t.chunkMask].Store(nil)
	t.oldest++
	t.bytes.Add(-int64(t.chunkBytes))
}

// slotOf finds the slot that leads to a place; live is false when the entry there has been replaced or removed.
func (t *Table) slotOf(x *index, hash uint64, place slot) (i uint64, live bool) {
	for i = hash & x.mask; ; i = (i + 1) & x.mask {
		switch s := x.load(i); {
		case s == slotEmpty:
			return 0, false
		case s.occupied() && s.place() == place:
			return i, true
		}
	}
}

// grow returns an index with room for one more: x, or a new one without tombs, of twice the size when the entries need it.
func (t *Table) grow(x *index) *index {
	entries, slots := int(t.entries.Load()), len(x.slots)
	if (entries+t.tombs+1)*4 <= slots*3 {
		return x
	}
	size := slots
	if entries*2 >= slots {
		size *= 2
	}
	y := newIndex(size)
	for i := range x.slots {
		if s := x.load(uint64(i)); s.occupied() {
			y.place(t.at(s).hash(), s, x.stamps[i].Load())
		}
	}
	t.index.Store(y)
	t.tombs = 0
	t.bytes.Add(int64(size-slots) * indexSlotBytes)
	t.shrink(0)
	return y
}

// Stats are a table's figures.
type Stats struct {
	Entries   int64
	Bytes     int64 // chunks and index
	BytesMax  int64
	Evictions int64 // entries that made room for others
}

// Stats reads the figures. Safe for concurrent use.
func (t *Table) Stats() Stats {
	return Stats{Entries: t.entries.Load(), Bytes: t.bytes.Load(), BytesMax: t.bytesMax, Evictions: t.evictions.Load()}
}
