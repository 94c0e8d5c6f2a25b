package table

import "sync/atomic"

// A slot is a tag of the hash (12 bits), a chunk's sequence number (32) and the entry's offset in it in units of 8 bytes (20).
// Sequence numbers start at 1, so that 0 is an empty slot and 1 can mark one that was emptied (and must be probed across).
type slot uint64

const (
	slotEmpty slot = 0
	slotTomb  slot = 1

	offsetBits = 20
	seqBits    = 32
	tagShift   = offsetBits + seqBits
)

func makeSlot(hash uint64, seq uint32, offset int) slot {
	return slot(hash>>tagShift<<tagShift | uint64(seq)<<offsetBits | uint64(offset)>>3)
}

func (s slot) seq() uint32                 { return uint32(s >> offsetBits) }
func (s slot) offset() int                 { return int(s&(1<<offsetBits-1)) << 3 }
func (s slot) tagged(hash uint64) bool     { return uint64(s)>>tagShift == hash>>tagShift }
func (s slot) occupied() bool              { return s > slotTomb }
func (s slot) place() slot                 { return s & (1<<tagShift - 1) }
func placeOf(seq uint32, off int) slot     { return makeSlot(0, seq, off) }
func stampOf(second uint32) (stamp uint32) { return second << stampShift }

// A stamp is the second at which the entry was last read from the store, since the table's epoch, above two bits that readers set.
const (
	stampUsed       = 1 << 0 // read since the hand of the clock last passed
	stampRefreshing = 1 << 1 // a reader has asked for it to be read again
	stampShift      = 2
)

// index is an open-addressing table with linear probing. The writer changes slots one by one; to grow it publishes another.
// A reader that still holds the one before loses at most a mark, or finds a miss that the shard's actor then answers.
type index struct {
	slots  []atomic.Uint64
	stamps []atomic.Uint32
	mask   uint64
}

// indexSlotBytes is what a slot costs.
const indexSlotBytes = 8 + 4

func newIndex(slots int) *index {
	return &index{slots: make([]atomic.Uint64, slots), stamps: make([]atomic.Uint32, slots), mask: uint64(slots - 1)}
}

func (x *index) load(i uint64) slot { return slot(x.slots[i].Load()) }

// place stores s where the probe sequence of hash has its first free slot, and returns whether that was a tomb. Writer only.
func (x *index) place(hash uint64, s slot, stamp uint32) (tomb bool) {
	for i := hash & x.mask; ; i = (i + 1) & x.mask {
		if was := x.load(i); !was.occupied() {
			x.stamps[i].Store(stamp)
			x.slots[i].Store(uint64(s))
			return was == slotTomb
		}
	}
}
