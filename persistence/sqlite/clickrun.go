package sqlite

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/carom-dev/carom/engine"
)

// A run is clicks of one link with ids that follow each other, in one row of click_runs: a row and an index entry for each click cost
// several times what all the rest of storing it does. Its bytes are the format's number and then, for each click, the microseconds since
// the one before (varint; the first since 1970), the visitor (8 bytes, little-endian), the address (7), status and flags (uvarints), and
// three texts: user agent, referrer, language. A text is the number of one that the run has had already, counted from 1, 0 for none, or
// the next free number, its length (uvarint) and its bytes. At the end is a CRC-32C of all that (4 bytes, little-endian), which format 1 has not.
const (
	runFormat         = 2
	runFormatUnsummed = 1
	runMax            = 512                                         // clicks: what a reader of one click has to decode
	runLeast          = 1 + 8 + len(engine.TruncatedAddr{}) + 2 + 3 // bytes of a click
)

// clickRun is a run to be stored.
type clickRun struct {
	last            int64 // id
	link            engine.LinkID
	firstAt, lastAt int64
	order           []int32 // of its clicks, among those of the batch
}

// runsOf deals clicks into runs by their links. The first click behind those that are stored gets the id last+1.
func runsOf(clicks []engine.Click, last int64) []clickRun {
	order := make([]int32, len(clicks))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int { return cmp.Or(cmp.Compare(clicks[a].Link, clicks[b].Link), cmp.Compare(a, b)) })
	var runs []clickRun
	for len(order) > 0 {
		first := &clicks[order[0]]
		r := clickRun{link: first.Link, firstAt: first.At, lastAt: first.At}
		n := 1
		for ; n < min(len(order), runMax) && clicks[order[n]].Link == r.link; n++ {
			at := clicks[order[n]].At
			r.firstAt, r.lastAt = min(r.firstAt, at), max(r.lastAt, at)
		}
		last += int64(n)
		r.last, r.order = last, order[:n]
		runs = append(runs, r)
		order = order[n:]
	}
	return runs
}

// runEncoder makes the bytes of runs. Its zero value works; for one goroutine.
type runEncoder struct {
	known map[string]uint64 // texts of the run under way, as they came from the visitor
	texts uint64            // how many it has
	alone bool              // it is of one click: nothing will refer to a text
}

// append adds the run of clicks[i] for each i of order to b. Texts are kept as engine.StoredText has them.
func (e *runEncoder) append(b []byte, clicks []engine.Click, order []int32) []byte {
	if e.known == nil {
		e.known = map[string]uint64{}
	}
	clear(e.known)
	e.texts, e.alone = 0, len(order) == 1
	start := len(b)
	b = append(b, runFormat)
	at := int64(0)
	for _, i := range order {
		c := &clicks[i]
		b = binary.AppendVarint(b, c.At-at)
		b = binary.LittleEndian.AppendUint64(b, c.Visitor)
		b = append(b, c.Address[:]...)
		b = binary.AppendUvarint(b, uint64(c.Status))
		b = binary.AppendUvarint(b, uint64(c.Flags))
		b = e.appendText(b, c.UserAgent)
		b = e.appendText(b, c.Referrer)
		b = e.appendText(b, c.Language)
		at = c.At
	}
	return appendSum(b, start)
}

func (e *runEncoder) appendText(b, text []byte) []byte {
	if len(text) == 0 {
		return append(b, 0)
	}
	if n, ok := e.known[string(text)]; ok {
		return binary.AppendUvarint(b, n)
	}
	e.texts++
	if !e.alone {
		e.known[string(text)] = e.texts
	}
	if !engine.IsStoredText(text) {
		text = []byte(engine.StoredText(text))
	}
	b = binary.AppendUvarint(b, e.texts)
	b = binary.AppendUvarint(b, uint64(len(text)))
	return append(b, text...)
}

// decodeRun reads the n clicks of a run. Their texts are parts of data. The error says what is wrong with the bytes.
func decodeRun(data []byte, link engine.LinkID, n int) ([]engine.Click, error) {
	switch {
	case len(data) > sumBytes && data[0] == runFormat:
		var ok bool
		if data, ok = cutSum(data); !ok {
			return nil, errors.New("its checksum is another one")
		}
	case len(data) == 0 || data[0] != runFormatUnsummed:
		return nil, fmt.Errorf("it does not begin with format %d or %d", runFormatUnsummed, runFormat)
	}
	r := runReader{rest: data[1:]}
	if n < 1 || n > len(r.rest)/runLeast {
		return nil, fmt.Errorf("its %d bytes can't be %d clicks", len(data), n)
	}
	clicks := make([]engine.Click, n)
	at := int64(0)
	for i := range clicks {
		at += r.varint()
		clicks[i] = engine.Click{At: at, Link: link, Visitor: r.uint64(), Address: engine.TruncatedAddr(r.bytes(len(engine.TruncatedAddr{})))}
		c := &clicks[i]
		c.Status, c.Flags = uint16(r.uvarint(math.MaxUint16)), engine.ClickFlags(r.uvarint(math.MaxUint8))
		c.UserAgent, c.Referrer, c.Language = r.text(), r.text(), r.text()
		if r.err != nil {
			return nil, fmt.Errorf("click %d: %w", i, r.err)
		}
	}
	if len(r.rest) > 0 {
		return nil, fmt.Errorf("there are %d bytes behind its last click", len(r.rest))
	}
	return clicks, nil
}

// runReader takes values off the front of a run. From the first error on they are all zero.
type runReader struct {
	rest  []byte
	texts [][]byte
	err   error
}

// bytes takes n bytes; zeroes behind the end.
func (r *runReader) bytes(n int) []byte {
	if r.err == nil && n > len(r.rest) {
		r.err = errors.New("the bytes end early")
	}
	if r.err != nil {
		return make([]byte, n)
	}
	taken := r.rest[:n:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *runReader) uint64() uint64 { return binary.LittleEndian.Uint64(r.bytes(8)) }

func (r *runReader) varint() int64 {
	v, n := binary.Varint(r.rest)
	return int64(r.number(uint64(v), n, math.MaxUint64))
}

func (r *runReader) uvarint(most uint64) uint64 {
	v, n := binary.Uvarint(r.rest)
	return r.number(v, n, most)
}

// number takes v, whose varint has n bytes as package binary counts them.
func (r *runReader) number(v uint64, n int, most uint64) uint64 {
	if r.err == nil && (n <= 0 || v > most) {
		r.err = errors.New("a number is cut or too large")
	}
	if r.err != nil {
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *runReader) text() []byte {
	n := r.uvarint(uint64(len(r.texts)) + 1)
	switch {
	case n == 0:
		return nil
	case n <= uint64(len(r.texts)):
		return r.texts[n-1]
	}
	text := r.bytes(int(r.uvarint(uint64(len(r.rest)))))
	r.texts = append(r.texts, text)
	return text
}
