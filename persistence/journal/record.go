package journal

import (
	"encoding/binary"
	"hash/crc32"
	"unicode/utf8"

	"github.com/carom-dev/carom/engine"
)

// A record is 1 to recordSlotsMax consecutive slots. docs/journal-format.md draws it.
const (
	slotSize = 128

	recordHead     = 48 // where the three strings begin
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
	offLanguage  = 46 // one byte; the one behind it is zero
)

// castagnoli has an instruction of its own on amd64 and arm64.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum covers the record's bytes from the time on. It starts from the header's checksum (which covers the segment's
// random nonce) and the slot, so that neither the bytes of a recycled file nor bytes that a visitor puts into a user agent
// ever look like a record.
func checksum(seed, slot uint32, body []byte) uint32 {
	return crc32.Update(seed^slot*0x9E3779B1, castagnoli, body)
}

// slotsOf is how many slots a record with so many bytes of strings takes.
func slotsOf(strings int) uint64 {
	return uint64(recordHead+strings+slotSize-1) / slotSize
}

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

// putRecord writes c, whose strings have been cut, into the record's slots and returns its commit word, which the caller
// stores. Nothing in it can panic or block: b is as long as slotsOf said.
func putRecord(b []byte, c *engine.Click, seed, slot uint32) uint64 {
	_ = b[recordHead-1]
	binary.LittleEndian.PutUint64(b[offTime:], uint64(c.At))
	binary.LittleEndian.PutUint64(b[offLink:], uint64(c.Link))
	binary.LittleEndian.PutUint64(b[offVisitor:], c.Visitor)
	copy(b[offAddress:offFlags], c.Address[:])
	b[offFlags] = byte(c.Flags)
	binary.LittleEndian.PutUint16(b[offStatus:], c.Status)
	binary.LittleEndian.PutUint16(b[offUserAgent:], uint16(len(c.UserAgent)))
	binary.LittleEndian.PutUint16(b[offReferrer:], uint16(len(c.Referrer)))
	b[offLanguage] = byte(len(c.Language))
	b[offLanguage+1] = 0
	n := recordHead
	n += copy(b[n:], c.UserAgent)
	n += copy(b[n:], c.Referrer)
	n += copy(b[n:], c.Language)
	return uint64(checksum(seed, slot, b[offTime:n]))<<32 | uint64(slot+1)
}

// recordStrings reads the lengths of a record's strings; false when one is beyond its bound.
func recordStrings(b []byte) (userAgent, referrer, language int, ok bool) {
	userAgent = int(binary.LittleEndian.Uint16(b[offUserAgent:]))
	referrer = int(binary.LittleEndian.Uint16(b[offReferrer:]))
	language = int(b[offLanguage])
	ok = userAgent <= engine.UserAgentMaxLen && referrer <= engine.ReferrerMaxLen && language <= engine.LanguageMaxLen
	return userAgent, referrer, language, ok
}

// parseRecord reads the record that starts b under the given commit word, and how many slots it takes. b may hold more than
// the record, or less. The click's strings are parts of b. Any bytes at all may come in; false says that they are no record.
func parseRecord(b []byte, word uint64, seed, slot uint32) (c engine.Click, slots uint32, ok bool) {
	if uint32(word) != slot+1 || len(b) < slotSize {
		return c, 0, false
	}
	ua, ref, lang, ok := recordStrings(b)
	end := recordHead + ua + ref + lang
	if !ok || end > len(b) {
		return c, 0, false
	}
	if checksum(seed, slot, b[offTime:end]) != uint32(word>>32) {
		return c, 0, false
	}
	c.At = int64(binary.LittleEndian.Uint64(b[offTime:]))
	c.Link = engine.LinkID(binary.LittleEndian.Uint64(b[offLink:]))
	c.Visitor = binary.LittleEndian.Uint64(b[offVisitor:])
	copy(c.Address[:], b[offAddress:offFlags])
	c.Flags = engine.ClickFlags(b[offFlags])
	c.Status = binary.LittleEndian.Uint16(b[offStatus:])
	n := recordHead
	c.UserAgent, n = b[n:n+ua], n+ua
	c.Referrer, n = b[n:n+ref], n+ref
	c.Language = b[n : n+lang]
	return c, uint32(slotsOf(ua + ref + lang)), true
}

// arenaBytes is how much an arena takes at once: some hundred clicks with usual headers.
const arenaBytes = 32 << 10

// arena copies the strings of many clicks into few allocations. The zero value is ready; not safe for concurrent use.
type arena struct{ free []byte }

// own makes c independent of the memory it was parsed from.
func (a *arena) own(c *engine.Click) {
	c.UserAgent = a.copy(c.UserAgent)
	c.Referrer = a.copy(c.Referrer)
	c.Language = a.copy(c.Language)
}

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
