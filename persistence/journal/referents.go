package journal

import (
	"bytes"

	"github.com/carom-dev/carom/engine"
)

// source is a segment that is being read.
type source interface {
	// from returns the bytes from slot on: at least the longest record's worth, unless the segment ends or can't be read before.
	// They are valid until the next call.
	from(slot uint32) []byte
	// checksumSeed is what the segment's checksums start from.
	checksumSeed() uint32
}

// referred finds the user agent and the language of the record with that commit word. False says that it does not hold: it was damaged,
// or lost with the power.
func referred(src source, word uint64) (userAgent, language []byte, ok bool) {
	at := slotOf(word)
	r, ok := parseRecord(src.from(at), word, src.checksumSeed(), at)
	if !ok || r.kind != kindWhole {
		return nil, nil, false
	}
	return r.click.UserAgent, r.click.Language, true
}

// arenaBytes is how much an arena takes at once: some hundred clicks with usual headers.
const arenaBytes = 32 << 10

// How many records' strings are remembered: by an arena while it has a segment of this process, where looking again costs a checksum,
// and with a recovered segment, where it mostly costs a read.
const (
	knownMax         = 64
	knownArchivedMax = 1024
)

// arena makes clicks independent of the segment they were read from. The strings of many are copied into few allocations, and those
// that records share are copied once. For one segment; the zero value is ready; not safe for concurrent use.
type arena struct {
	free  []byte
	known []known // nil: none so far
	kept  bool    // they outlive the arena, and own their strings
}

// known are the strings of a whole record.
type known struct {
	word                uint64 // its commit word
	userAgent, language []byte
}

// own makes the strings of a record of src its own. False says that it refers to one that does not hold.
func (a *arena) own(r *record, src source) (c engine.Click, ok bool) {
	c = r.click
	c.Referrer = a.copy(c.Referrer)
	if r.kind != kindRefers {
		c.UserAgent, c.Language = a.copy(c.UserAgent), a.copy(c.Language)
		return c, true
	}
	if a.known == nil {
		a.known = make([]known, knownMax)
	}
	k := &a.known[slotOf(r.referent)%uint32(len(a.known))]
	if k.word != r.referent {
		userAgent, language, ok := referred(src, r.referent)
		if !ok {
			c.UserAgent, c.Language = nil, nil
			return c, false
		}
		keep := a.copy
		if a.kept { // then they must not keep all that is beside them in the arena
			keep = bytes.Clone
		}
		*k = known{word: r.referent, userAgent: keep(userAgent), language: keep(language)}
	}
	c.UserAgent, c.Language = k.userAgent, k.language
	return c, true
}

// turn readies it for another segment, with what is known of that already; nil: nothing, and nothing is kept.
func (a *arena) turn(to []known) { a.known, a.kept = to, to != nil }

func (a *arena) copy(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	if len(a.free) < len(b) {
		a.free = make([]byte, arenaBytes)
	}
	n := copy(a.free, b)
	out := a.free[:n:n]
	a.free = a.free[n:]
	return out
}
