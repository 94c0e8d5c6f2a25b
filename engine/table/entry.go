package table

import (
	"bytes"
	"encoding/binary"

	"github.com/carom-dev/carom/engine"
)

// An entry's bytes, little endian, padded to 8:
//
//	 0  hash     u64
//	 8  link     u64   0 for a missing code
//	16  version  u64
//	24  domain   u32
//	28  target   u16   its length
//	30  code     u8    its length
//	31  flags    u8    the redirect status in the low two bits, then the flag... bits
//	32  since, until  i64 each, only with flagTimes
//	    budget        u64, only with flagBudget
//	    code, target
const (
	offLink    = 8
	offVersion = 16
	offDomain  = 24
	offTarget  = 28
	offCode    = 30
	offFlags   = 31
	headBytes  = 32

	flagMissing  = 1 << 2
	flagInactive = 1 << 3
	flagForward  = 1 << 4
	flagTimes    = 1 << 5
	flagBudget   = 1 << 6
)

// entryMax is the size of the largest entry.
const entryMax = headBytes + 16 + 8 + engine.CodeMaxLen + engine.TargetMaxLen + 8

var statuses = [4]uint16{302, 301, 307, 308}

// Entry is a view of a published entry: immutable bytes that stay valid for as long as the view is held, also after the entry
// was replaced or evicted. The zero Entry is none. A value; safe for concurrent use.
type Entry struct{ b []byte }

// IsZero reports whether the view shows nothing.
func (e Entry) IsZero() bool { return e.b == nil }

// Missing reports a negative entry: the store has no link for the code.
func (e Entry) Missing() bool { return e.b[offFlags]&flagMissing != 0 }

// Link is the link's id, 0 for a negative entry.
func (e Entry) Link() engine.LinkID { return engine.LinkID(binary.LittleEndian.Uint64(e.b[offLink:])) }

// Version is the link's version, 0 for a negative entry.
func (e Entry) Version() uint64 { return binary.LittleEndian.Uint64(e.b[offVersion:]) }

// Status is the redirect's status.
func (e Entry) Status() uint16 { return statuses[e.b[offFlags]&3] }

// ForwardQuery reports whether the visitor's query goes to the target.
func (e Entry) ForwardQuery() bool { return e.b[offFlags]&flagForward != 0 }

// Conditions are the link's rules by time.
func (e Entry) Conditions() engine.Conditions {
	c := engine.Conditions{Inactive: e.b[offFlags]&flagInactive != 0}
	if e.b[offFlags]&flagTimes != 0 {
		c.Since = int64(binary.LittleEndian.Uint64(e.b[headBytes:]))
		c.Until = int64(binary.LittleEndian.Uint64(e.b[headBytes+8:]))
	}
	return c
}

// Budget names the counter of the link's visits; ok is false for a link without a budget.
func (e Entry) Budget() (ref BudgetRef, ok bool) {
	if e.b[offFlags]&flagBudget == 0 {
		return 0, false
	}
	return BudgetRef(binary.LittleEndian.Uint64(e.b[e.budgetAt():])), true
}

// Target is where the link leads. Never write to it.
func (e Entry) Target() []byte {
	from := e.codeAt() + int(e.b[offCode])
	to := from + int(binary.LittleEndian.Uint16(e.b[offTarget:]))
	return e.b[from:to:to]
}

func (e Entry) hash() uint64 { return binary.LittleEndian.Uint64(e.b) }

func (e Entry) budgetAt() int {
	if e.b[offFlags]&flagTimes != 0 {
		return headBytes + 16
	}
	return headBytes
}

func (e Entry) codeAt() int {
	at := e.budgetAt()
	if e.b[offFlags]&flagBudget != 0 {
		at += 8
	}
	return at
}

func (e Entry) size() int {
	n := e.codeAt() + int(e.b[offCode]) + int(binary.LittleEndian.Uint16(e.b[offTarget:]))
	return (n + 7) &^ 7
}

func (e Entry) matches(hash uint64, domain engine.DomainID, code []byte) bool {
	if e.hash() != hash || binary.LittleEndian.Uint32(e.b[offDomain:]) != uint32(domain) {
		return false
	}
	at := e.codeAt()
	return bytes.Equal(e.b[at:at+int(e.b[offCode])], code)
}

// appendEntry appends the entry of a link, or with nil the negative entry of key, and pads it.
func appendEntry(dst []byte, hash uint64, key engine.Key, l *engine.Link, budget BudgetRef) []byte {
	start := len(dst)
	var head [headBytes]byte
	binary.LittleEndian.PutUint64(head[:], hash)
	binary.LittleEndian.PutUint32(head[offDomain:], uint32(key.Domain))
	head[offCode] = byte(len(key.Code))
	if l == nil {
		head[offFlags] = flagMissing
		dst = append(append(dst, head[:]...), key.Code...)
		return pad(dst, start)
	}
	c := engine.ConditionsOf(l)
	binary.LittleEndian.PutUint64(head[offLink:], uint64(l.ID))
	binary.LittleEndian.PutUint64(head[offVersion:], l.Version)
	binary.LittleEndian.PutUint16(head[offTarget:], uint16(len(l.Target)))
	for i, status := range statuses {
		if l.RedirectStatus == int(status) {
			head[offFlags] = byte(i)
		}
	}
	for _, f := range []struct {
		on  bool
		bit byte
	}{{c.Inactive, flagInactive}, {l.ForwardQuery, flagForward}, {c.Since != 0 || c.Until != 0, flagTimes}, {l.MaxVisits != 0, flagBudget}} {
		if f.on {
			head[offFlags] |= f.bit
		}
	}
	dst = append(dst, head[:]...)
	if head[offFlags]&flagTimes != 0 {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(c.Since))
		dst = binary.LittleEndian.AppendUint64(dst, uint64(c.Until))
	}
	if head[offFlags]&flagBudget != 0 {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(budget))
	}
	return pad(append(append(dst, key.Code...), l.Target...), start)
}

func pad(dst []byte, start int) []byte {
	for (len(dst)-start)%8 != 0 {
		dst = append(dst, 0)
	}
	return dst
}
