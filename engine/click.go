package engine

import (
	"net/netip"
	"time"
)

// The longest header values a click keeps, in bytes; what is longer is cut.
const (
	UserAgentMaxLen = 512
	ReferrerMaxLen  = 1024
	LanguageMaxLen  = 64
)

// ClickFlags are facts of one click.
type ClickFlags uint8

// The facts.
const (
	ClickHead     ClickFlags = 1 << iota // the request was a HEAD
	ClickPrefetch                        // the browser fetched ahead of its user
	ClickBudgeted                        // a visit was taken from the link's budget
)

// Click is one answered redirect. It is passed by value into the journal, which copies the byte slices before it returns;
// clicks read back from the journal own theirs until the batch is released.
type Click struct {
	At        int64 // Unix microseconds, UTC
	Link      LinkID
	Visitor   uint64 // keyed hash of the truncated address and the user agent, under a salt that changes every UTC day
	Address   TruncatedAddr
	Status    uint16
	Flags     ClickFlags
	UserAgent []byte
	Referrer  []byte
	Language  []byte
}

// Time is the moment of the click.
func (c *Click) Time() time.Time { return time.UnixMicro(c.At).UTC() }

// TruncatedAddr is a client's network: the first 24 bits of an IPv4 address or the first 48 of an IPv6 one. The rest never
// leaves the request. The zero value is "not known". Byte 0 is 0, 4 or 6; bytes 1 to 6 are the prefix.
type TruncatedAddr [7]byte

// TruncateAddr cuts addr to its network; an IPv4-mapped IPv6 address counts as IPv4.
func TruncateAddr(addr netip.Addr) (t TruncatedAddr) {
	addr = addr.Unmap()
	switch {
	case addr.Is4():
		a := addr.As4()
		t[0] = 4
		copy(t[1:], a[:3])
	case addr.Is6():
		a := addr.As16()
		t[0] = 6
		copy(t[1:], a[:6])
	}
	return t
}

// String is the network's address ("203.0.113.0", "2001:db8:1::"), or "" when not known.
func (t TruncatedAddr) String() string {
	switch t[0] {
	case 4:
		return netip.AddrFrom4([4]byte{t[1], t[2], t[3]}).String()
	case 6:
		var a [16]byte
		copy(a[:], t[1:])
		return netip.AddrFrom16(a).String()
	}
	return ""
}

// ParseTruncatedAddr reads what String wrote; anything else is "not known".
func ParseTruncatedAddr(s string) TruncatedAddr {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return TruncatedAddr{}
	}
	return TruncateAddr(addr)
}

// NodeID names a journal directory, and so the process that owns it: 32 hex digits, made once.
type NodeID string

// Position is a place in a lane: the segment's sequence number in the upper 40 bits, the slot in the lower 24.
// It orders records within a lane; 0 is before every record.
type Position uint64

// MakePosition joins a segment's sequence number and a slot.
func MakePosition(segment uint64, slot uint32) Position {
	return Position(segment<<24 | uint64(slot)&(1<<24-1))
}

// Segment is the position's segment sequence number.
func (p Position) Segment() uint64 { return uint64(p) >> 24 }

// Slot is the position's slot within its segment.
func (p Position) Slot() uint32 { return uint32(p & (1<<24 - 1)) }

// LaneMove says that a batch takes a lane from one position to the next.
type LaneMove struct {
	Lane     int
	From, To Position
}

// ClickBatch is what the writer hands to the store: clicks, and how far they take each lane. All of it is stored, or nothing.
type ClickBatch struct {
	Node   NodeID
	Moves  []LaneMove // at most one a lane, sorted by lane
	Clicks []Click
}

// ClickAppender takes clicks. Safe for concurrent use.
type ClickAppender interface {
	// Append records c in the lane before it returns: from then on the click survives the death of the process. It does not
	// block on I/O. ErrJournalFull and ErrJournalClosed mean that the click is not recorded, ErrNotDurable that it is, but could not be
	// synced as the journal's setting promises: then it may not survive a power loss, and Append did wait for the disk.
	Append(lane int, c Click) error
}

// ClickSource gives recorded clicks back, lane by lane. One reader a lane at a time.
type ClickSource interface {
	// Node names the journal.
	Node() NodeID
	// Lanes is the number of lanes, numbered from 0; it does not change while the journal is open.
	Lanes() int
	// Seek sets where the next Read of the lane starts: behind the last record the store has. Segments wholly before pos are
	// released. It also makes sure that records appended from now on get positions above pos.
	Seek(lane int, pos Position) error
	// Read appends up to max clicks to dst and returns the position behind the last of them; their bytes are copies.
	// With nothing to read it returns dst and the position it stands at. Damage is skipped and counted, never an error.
	Read(lane int, max int, dst []Click) ([]Click, Position, error)
	// Release says that the store durably has everything before pos.
	Release(lane int, pos Position) error
	// Recovered is the position up to which the lane held records when the journal was opened: what a process that died left.
	Recovered(lane int) Position
}
