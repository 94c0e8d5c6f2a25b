package api

import (
	"encoding/base64"
	"encoding/binary"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/carom-dev/carom/engine"
)

// The kinds of list that a cursor can belong to; the first byte of its content.
const (
	cursorLinks  = 'l'
	cursorAudit  = 'a'
	cursorClicks = 'c'
)

// cursorSumLen bytes of xxhash end a cursor: enough to tell one that was cut or typed from one of ours. It is no secret.
const cursorSumLen = 4

// cursorMax is the longest cursor that is looked at, in bytes.
const cursorMax = 256

const errCursor = "is not one that this list gave; leave it out to begin at the start"

// sorts are the orders of a list of links, by their number in a cursor. Only ever appended to.
func sorts() []engine.LinkSort {
	return []engine.LinkSort{engine.SortNewest, engine.SortOldest, engine.SortCode, engine.SortUpdated}
}

func seal(content []byte) string {
	var sum [8]byte
	binary.LittleEndian.PutUint64(sum[:], xxhash.Sum64(content))
	return base64.RawURLEncoding.EncodeToString(append(content, sum[:cursorSumLen]...))
}

// open gives the content behind the kind's byte; ok is false for a cursor that is none, or another list's.
func openCursor(cursor string, kind byte) (content []byte, ok bool) {
	if len(cursor) > cursorMax {
		return nil, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(raw) < 1+cursorSumLen {
		return nil, false
	}
	content = raw[:len(raw)-cursorSumLen]
	if seal(slices.Clone(content)) != cursor || content[0] != kind {
		return nil, false
	}
	return content[1:], true
}

func linkCursor(c engine.LinkCursor) string {
	b := []byte{cursorLinks, byte(slices.Index(sorts(), c.Sort))}
	b = binary.AppendUvarint(b, uint64(c.ID))
	switch c.Sort {
	case engine.SortCode:
		b = append(b, c.Code...)
	default:
		b = binary.AppendVarint(b, c.Time.UnixMicro())
	}
	return seal(b)
}

func parseLinkCursor(cursor string, sort engine.LinkSort) (*engine.LinkCursor, bool) {
	b, ok := openCursor(cursor, cursorLinks)
	if !ok || len(b) < 2 || int(b[0]) >= len(sorts()) || sorts()[b[0]] != sort {
		return nil, false
	}
	id, n := binary.Uvarint(b[1:])
	if n <= 0 || id == 0 || id > 1<<63-1 {
		return nil, false
	}
	rest := b[1+n:]
	c := &engine.LinkCursor{Sort: sort, ID: engine.LinkID(id)}
	if sort == engine.SortCode {
		c.Code = string(rest)
		return c, engine.ValidCode(rest)
	}
	micros, n := binary.Varint(rest)
	if n <= 0 || n != len(rest) {
		return nil, false
	}
	c.Time = time.UnixMicro(micros).UTC()
	return c, true
}

// numberCursor is the cursor of a list that is ordered by a number.
func numberCursor(kind byte, after int64) string {
	return seal(binary.AppendUvarint([]byte{kind}, uint64(after)))
}

func parseNumberCursor(cursor string, kind byte) (int64, bool) {
	b, ok := openCursor(cursor, kind)
	if !ok {
		return 0, false
	}
	after, n := binary.Uvarint(b)
	if n <= 0 || n != len(b) || after > 1<<63-1 {
		return 0, false
	}
	return int64(after), true
}

// cursor reads the parameter "cursor" of a list that is ordered by a number; 0 without one.
func (q *query) cursor(kind byte) int64 {
	text, ok := q.values["cursor"]
	if !ok {
		return 0
	}
	after, ok := parseNumberCursor(text, kind)
	if !ok {
		q.fail("cursor", errCursor)
	}
	return after
}
