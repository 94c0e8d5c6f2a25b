package table

import "sync/atomic"

// BudgetRef names a counter: its place in the lower 32 bits, its generation in the upper. The zero ref is none.
type BudgetRef uint64

// A counter is its generation (24 bits) above what remains (40 bits), so that a reader who holds a ref from before the counter
// was closed and given to another link can take nothing from it.
const (
	remainBits = 40
	// exhausted in the place of what remains says that the store had nothing left to lease, either.
	exhausted     = 1<<remainBits - 1
	remainMax     = exhausted - 1
	generationMax = 1<<24 - 1
	budgetChunk   = 256
	budgetChunks  = 1 << 12
)

// BudgetsMax is how many links of one shard can have a visit budget open at once.
const BudgetsMax = budgetChunk * budgetChunks

// Budgets are the visit counters of one shard's links: what the shard has leased from the store and readers take one by one.
// All methods are safe for concurrent use but Open and Close, which belong to the table's owner. The zero value is ready.
type Budgets struct {
	chunks [budgetChunks]atomic.Pointer[[budgetChunk]atomic.Uint64]
	free   []uint32 // owned by the writer
	next   uint32   // owned by the writer
}

func (b *Budgets) counter(ref BudgetRef) *atomic.Uint64 {
	place := uint32(ref)
	chunk := b.chunks[place/budgetChunk%budgetChunks].Load()
	if chunk == nil {
		return nil
	}
	return &chunk[place%budgetChunk]
}

func (ref BudgetRef) generation() uint64 { return uint64(ref) >> 32 }

// BudgetState is what a counter can do for a reader.
type BudgetState uint8

// The states of a counter.
const (
	BudgetOpen      BudgetState = iota // visits remain
	BudgetEmpty                        // none remains here, the store has to be asked; also a counter that is closed
	BudgetExhausted                    // none remains anywhere
)

// update replaces what remains (or exhausted) by change's answer, unless the counter is closed or change says no.
func (b *Budgets) update(ref BudgetRef, change func(remain uint64) (uint64, bool)) (was uint64, ok bool) {
	c := b.counter(ref)
	if c == nil || ref == 0 {
		return 0, false
	}
	for {
		v := c.Load()
		if v>>remainBits != ref.generation() {
			return 0, false
		}
		was = v & exhausted
		next, ok := change(was)
		if !ok {
			return was, false
		}
		if c.CompareAndSwap(v, ref.generation()<<remainBits|next) {
			return was, true
		}
	}
}

func takeOne(remain uint64) (uint64, bool) { return remain - 1, remain != 0 && remain != exhausted }

// Take takes one visit if the state before it is BudgetOpen. 0 allocs: TestBudgetAllocs.
func (b *Budgets) Take(ref BudgetRef) BudgetState {
	was, ok := b.update(ref, takeOne)
	return stateOf(was, ok)
}

// Peek is Take that takes nothing.
func (b *Budgets) Peek(ref BudgetRef) BudgetState {
	was, ok := b.update(ref, func(remain uint64) (uint64, bool) { return remain, true })
	return stateOf(was, ok)
}

func stateOf(remain uint64, ok bool) BudgetState {
	switch {
	case remain == exhausted:
		return BudgetExhausted
	case !ok || remain == 0:
		return BudgetEmpty
	}
	return BudgetOpen
}

// Give adds n visits, leased or refunded; false when the counter is closed. It ends BudgetExhausted.
func (b *Budgets) Give(ref BudgetRef, n int64) bool {
	_, ok := b.update(ref, func(remain uint64) (uint64, bool) {
		if remain == exhausted {
			remain = 0
		}
		return remain + uint64(n), n >= 0 && remain+uint64(n) <= remainMax
	})
	return ok
}

// Drain takes all that remains, and returns how many that were. An exhausted counter stays so.
func (b *Budgets) Drain(ref BudgetRef) int64 {
	was, ok := b.update(ref, func(remain uint64) (uint64, bool) { return 0, remain != exhausted })
	if !ok {
		return 0
	}
	return int64(was)
}

// Exhaust marks an empty counter: readers then say that the visits are used up, without asking.
func (b *Budgets) Exhaust(ref BudgetRef) {
	b.update(ref, func(remain uint64) (uint64, bool) { return exhausted, remain == 0 })
}

// Revive makes an exhausted counter merely empty, so that the next reader has the store asked again.
func (b *Budgets) Revive(ref BudgetRef) {
	b.update(ref, func(remain uint64) (uint64, bool) { return 0, remain == exhausted })
}

// Open gives an empty counter; ok is false when BudgetsMax are open.
func (b *Budgets) Open() (ref BudgetRef, ok bool) {
	var place uint32
	switch {
	case len(b.free) > 0:
		place = b.free[len(b.free)-1]
		b.free = b.free[:len(b.free)-1]
	case b.next < BudgetsMax:
		place = b.next
		b.next++
	default:
		return 0, false
	}
	chunk := &b.chunks[place/budgetChunk]
	if chunk.Load() == nil {
		chunk.Store(new([budgetChunk]atomic.Uint64))
	}
	c := &chunk.Load()[place%budgetChunk]
	// Generation 0 is only ever a counter that is not open.
	generation := c.Load()>>remainBits%generationMax + 1
	c.Store(generation << remainBits)
	return BudgetRef(generation<<32 | uint64(place)), true
}

// Close ends a counter and returns what remained in it. A ref that is closed already gives 0.
func (b *Budgets) Close(ref BudgetRef) int64 {
	c := b.counter(ref)
	if c == nil || ref == 0 {
		return 0
	}
	for {
		v := c.Load()
		if v>>remainBits != ref.generation() {
			return 0
		}
		// The next generation is not handed out before Open, so no ref matches it.
		next := ref.generation()%generationMax + 1
		if c.CompareAndSwap(v, next<<remainBits) {
			b.free = append(b.free, uint32(ref))
			if v &= exhausted; v == exhausted {
				return 0
			}
			return int64(v)
		}
	}
}
