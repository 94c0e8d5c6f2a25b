package journal

import (
	"encoding/binary"
	"hash/crc32"
	"unicode/utf8"

	"github.com/carom-dev/carom/engine"
)

// A record is 1 to recordSlotsMax consecutive slots. docs/journal-format.md draws it.
const (
	slotSize   = 64  // a line of the processor's cache, and all that a click with a user agent that is there already takes
	slotSizeV1 = 128 // in segments of version 1, which are only read

	recordHead     = 48 // where the strings begin
	recordRefers   = 56 // where they begin in a record that refers to another one
	recordMax      = recordHead + engine.UserAgentMaxLen + engine.ReferrerMaxLen + engine.LanguageMaxLen
	recordSlotsMax = (recordMax + slotSize - 1) / slotSize

	offTime      = 8
	offLink      = 16
	offVisitor   = 24
	offAddress   = 32 // 7 bytes
	offFlags     = 39
	offStatus    = 40
	offUserAgent = 42 // lengths
	offReferrer  = 44
	offLanguage  = 46 // one byte
	offKind      = 47
	offReferent  = 48 // the commit word of the record that is referred to
)

// kind is what a record holds.
type kind byte

const (
	kindWhole  kind = iota // a click with its strings; all there is in version 1
	kindRefers             // a click whose user agent and language are those of a whole record before it in the segment
	kindVoid               // nothing: its appender found that it needed more room
	kinds
)

// record is one that was read. The click's strings are parts of what it was read from; user agent and language are missing when
// it refers.
type record struct {
	click    engine.Click
	kind     kind
	referent uint64 // commit word
	bytes    int
}

// castagnoli has an instruction of its own on amd64 and arm64.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum covers the record's bytes from the time on. It starts from the header's checksum (which covers the segment's
// random nonce) and the slot, so that neither the bytes of a recycled file nor bytes that a visitor puts into a user agent
// ever look like a record.
func checksum(seed, slot uint32, body []byte) uint32 {
	return crc32.Update(seed^slot*0x9E3779B1, castagnoli, body)
}

func commitWord(seed, slot uint32, body []byte) uint64 {
	return uint64(checksum(seed, slot, body))<<32 | uint64(slot+1)
}

// slotOf is the slot of the record with that commit word.
func slotOf(word uint64) uint32 { return uint32(word) - 1 }

// slotsOf is how many slots of this version a record of so many bytes takes.
func slotsOf(bytes int) uint64 { return uint64(bytes+slotSize-1) / slotSize }

// cut shortens b to limit bytes, not within a UTF-8 sequence.
func cut(b []byte, limit int) []byte {
	if len(b) <= limit {
		return b
	}
	n := limit
	for n > limit-utf8.UTFMax && !utf8.RuneStart(b[n]) {
		n--
	}
	return b[:n]
}

// wholeBytes is how long the record of c with its strings is, which have been cut.
func wholeBytes(c *engine.Click) int {
	return recordHead + len(c.UserAgent) + len(c.Referrer) + len(c.Language)
}

// putWhole writes c, whose strings have been cut, into the record's slots and returns its commit word, which the caller
// stores. Nothing in it can panic or block: b is as long as wholeBytes said.
func putWhole(b []byte, c *engine.Click, seed, slot uint32) uint64 {
	putHead(b, c, kindWhole, len(c.UserAgent), len(c.Language))
	n := recordHead
	n += copy(b[n:], c.UserAgent)
	n += copy(b[n:], c.Referrer)
	n += copy(b[n:], c.Language)
	return commitWord(seed, slot, b[offTime:n])
}

// putReferring is putWhole for a record that refers to another one, or for a void in its place.
func putReferring(b []byte, c *engine.Click, k kind, referent uint64, seed, slot uint32) uint64 {
	putHead(b, c, k, 0, 0)
	binary.LittleEndian.PutUint64(b[offReferent:], referent)
	n := recordRefers + copy(b[recordRefers:], c.Referrer)
	return commitWord(seed, slot, b[offTime:n])
}

func putHead(b []byte, c *engine.Click, k kind, userAgent, language int) {
	_ = b[recordHead-1]
	binary.LittleEndian.PutUint64(b[offTime:], uint64(c.At))
	binary.LittleEndian.PutUint64(b[offLink:], uint64(c.Link))
	binary.LittleEndian.PutUint64(b[offVisitor:], c.Visitor)
	copy(b[offAddress:offFlags], c.Address[:])
	b[offFlags] = byte(c.Flags)
	binary.LittleEndian.PutUint16(b[offStatus:], c.Status)
	binary.LittleEndian.PutUint16(b[offUserAgent:], uint16(userAgent))
	binary.LittleEndian.PutUint16(b[offReferrer:], uint16(len(c.Referrer)))
	b[offLanguage] = byte(language)
	b[offKind] = byte(k)
}

// outline is what a record's head says about the rest.
type outline struct {
	kind                          kind
	userAgent, referrer, language int // lengths
	bytes                         int
}

// readOutline reads a head, whatever it holds; false when a length is beyond its bound, or does not go with the kind.
func readOutline(b []byte) (o outline, ok bool) {
	o = outline{
		kind:      kind(b[offKind]),
		userAgent: int(binary.LittleEndian.Uint16(b[offUserAgent:])),
		referrer:  int(binary.LittleEndian.Uint16(b[offReferrer:])),
		language:  int(b[offLanguage]),
	}
	ok = o.userAgent <= engine.UserAgentMaxLen && o.referrer <= engine.ReferrerMaxLen && o.language <= engine.LanguageMaxLen && o.kind < kinds
	o.bytes = recordHead + o.userAgent + o.referrer + o.language
	if o.kind != kindWhole {
		ok = ok && o.userAgent+o.language == 0
		o.bytes += recordRefers - recordHead
	}
	return o, ok
}

// parseRecord reads the record that starts b under the given commit word. b may hold more than the record, or less. Any bytes at
// all may come in; false says that they are no record.
func parseRecord(b []byte, word uint64, seed, slot uint32) (r record, ok bool) {
	if slotOf(word) != slot || len(b) < slotSize {
		return r, false
	}
	o, ok := readOutline(b)
	if !ok || o.bytes > len(b) || checksum(seed, slot, b[offTime:o.bytes]) != uint32(word>>32) {
		return r, false
	}
	r.kind, r.bytes = o.kind, o.bytes
	n := recordHead
	if r.kind != kindWhole {
		r.referent = binary.LittleEndian.Uint64(b[offReferent:])
		n = recordRefers
	}
	if r.kind == kindRefers && slotOf(r.referent) >= slot {
		return r, false
	}
	c := &r.click
	c.At = int64(binary.LittleEndian.Uint64(b[offTime:]))
	c.Link = engine.LinkID(binary.LittleEndian.Uint64(b[offLink:]))
	c.Visitor = binary.LittleEndian.Uint64(b[offVisitor:])
	copy(c.Address[:], b[offAddress:offFlags])
	c.Flags = engine.ClickFlags(b[offFlags])
	c.Status = binary.LittleEndian.Uint16(b[offStatus:])
	c.UserAgent, n = b[n:n+o.userAgent], n+o.userAgent
	c.Referrer, n = b[n:n+o.referrer], n+o.referrer
	c.Language = b[n:o.bytes]
	return r, true
}
