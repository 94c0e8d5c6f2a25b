package redis

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/carom-dev/carom/engine"
)

// A message on the wire, in format 1: a byte for the format, a byte for the kind, then From, Sequence, To, the number of
// changes and the changes (ID, Link, Domain, Code, Version, Origin), the number of spends and the spends (Limiter, Key, Units).
// Numbers are varints in their shortest form (Units zigzag), strings have their length before them, and nothing follows.
// There is one form for each message, so that whatever decodes also encodes to the same bytes.
const format = 1

// The bounds of a message. Publish refuses what is over them, Listen skips it.
const (
	PayloadMax = 1 << 20 // bytes
	ChangesMax = 4096
	SpendsMax  = 32768
	NameMaxLen = 255 // bytes of a node's or a limiter's name
)

// The fewest bytes of a change and of a spend, which bound what a count may make the decoder allocate.
const (
	changeMin = 6
	spendMin  = 3
)

var (
	errFormat    = errors.New("format is not known")
	errKind      = errors.New("kind is not known")
	errTruncated = errors.New("ends too early")
	errTrailing  = errors.New("bytes follow the end")
	errNumber    = errors.New("number is out of its range, or not in its shortest form")
	errBound     = errors.New("is over a bound")
	errAddressee = errors.New("has no addressee")
)

// encodeAll encodes each message, or none.
func encodeAll(messages []engine.BusMessage) ([][]byte, error) {
	payloads := make([][]byte, len(messages))
	for i := range messages {
		var err error
		if payloads[i], err = encode(&messages[i]); err != nil {
			return nil, fmt.Errorf("encode message %d of kind %d: %w", i, messages[i].Kind, err)
		}
	}
	return payloads, nil
}

func encode(m *engine.BusMessage) ([]byte, error) {
	if err := check(m); err != nil {
		return nil, err
	}
	dst := make([]byte, 0, 64+96*len(m.Changes)+32*len(m.Spends))
	dst = append(dst, format, byte(m.Kind))
	dst = appendString(dst, string(m.From))
	dst = binary.AppendUvarint(dst, m.Sequence)
	dst = appendString(dst, string(m.To))
	dst = binary.AppendUvarint(dst, uint64(len(m.Changes)))
	for i := range m.Changes {
		c := &m.Changes[i]
		dst = binary.AppendUvarint(dst, uint64(c.ID))
		dst = binary.AppendUvarint(dst, uint64(c.Link))
		dst = binary.AppendUvarint(dst, uint64(c.Key.Domain))
		dst = appendString(dst, c.Key.Code)
		dst = binary.AppendUvarint(dst, c.Version)
		dst = appendString(dst, string(c.Origin))
	}
	dst = binary.AppendUvarint(dst, uint64(len(m.Spends)))
	for i := range m.Spends {
		s := &m.Spends[i]
		dst = appendString(dst, s.Limiter)
		dst = binary.AppendUvarint(dst, s.Key)
		dst = binary.AppendVarint(dst, s.Units)
	}
	if len(dst) > PayloadMax {
		return nil, fmt.Errorf("%d bytes of at most %d: %w", len(dst), PayloadMax, errBound)
	}
	return dst, nil
}

// check holds a message to what a decoder accepts.
func check(m *engine.BusMessage) error {
	switch {
	case m.Kind < engine.BusHeartbeat || m.Kind == engine.BusSubscribed || m.Kind > engine.BusRecall: // BusSubscribed is made here, and never sent
		return errKind
	case m.Kind == engine.BusAck && m.To == "":
		return errAddressee
	case len(m.Changes) > ChangesMax:
		return fmt.Errorf("%d changes of at most %d: %w", len(m.Changes), ChangesMax, errBound)
	case len(m.Spends) > SpendsMax:
		return fmt.Errorf("%d spends of at most %d: %w", len(m.Spends), SpendsMax, errBound)
	case len(m.From) > NameMaxLen || len(m.To) > NameMaxLen:
		return fmt.Errorf("name of a node: %w", errBound)
	}
	for i := range m.Changes {
		switch c := &m.Changes[i]; {
		case c.ID < 0 || c.Link < 0:
			return fmt.Errorf("change %d: %w", i, errNumber)
		case len(c.Key.Code) > engine.CodeMaxLen || len(c.Origin) > NameMaxLen:
			return fmt.Errorf("code or origin of change %d: %w", i, errBound)
		}
	}
	for i := range m.Spends {
		if len(m.Spends[i].Limiter) > NameMaxLen {
			return fmt.Errorf("limiter of spend %d: %w", i, errBound)
		}
	}
	return nil
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// decode reads a message, whose strings are parts of payload.
func decode(payload string) (m engine.BusMessage, err error) {
	if len(payload) > PayloadMax {
		return engine.BusMessage{}, errBound
	}
	d := decoder{rest: payload}
	if d.byte() != format && d.err == nil {
		return engine.BusMessage{}, errFormat
	}
	m.Kind = engine.BusKind(d.byte())
	m.From = engine.NodeID(d.string(NameMaxLen))
	m.Sequence = d.uint(math.MaxUint64)
	m.To = engine.NodeID(d.string(NameMaxLen))
	if n := d.count(ChangesMax, changeMin); n > 0 {
		m.Changes = make([]engine.Change, n)
	}
	for i := range m.Changes {
		m.Changes[i] = engine.Change{
			ID:      engine.AuditID(d.uint(math.MaxInt64)),
			Link:    engine.LinkID(d.uint(math.MaxInt64)),
			Key:     engine.Key{Domain: engine.DomainID(d.uint(math.MaxUint32)), Code: d.string(engine.CodeMaxLen)},
			Version: d.uint(math.MaxUint64),
			Origin:  engine.NodeID(d.string(NameMaxLen)),
		}
	}
	if n := d.count(SpendsMax, spendMin); n > 0 {
		m.Spends = make([]engine.Spend, n)
	}
	for i := range m.Spends {
		m.Spends[i] = engine.Spend{Limiter: d.string(NameMaxLen), Key: d.uint(math.MaxUint64), Units: d.int()}
	}
	if d.err == nil && d.rest != "" {
		d.err = errTrailing
	}
	if d.err == nil {
		d.err = check(&m)
	}
	if d.err != nil {
		return engine.BusMessage{}, d.err
	}
	return m, nil
}

// decoder takes values off the front of rest. After the first error all values are zero.
type decoder struct {
	rest string
	err  error
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.rest = ""
}

func (d *decoder) byte() byte {
	if d.rest == "" {
		d.fail(errTruncated)
		return 0
	}
	c := d.rest[0]
	d.rest = d.rest[1:]
	return c
}

// uint reads a varint of at most limit. encoding/binary reads from bytes only, and takes longer forms than the shortest.
func (d *decoder) uint(limit uint64) uint64 {
	var v uint64
	for shift := 0; ; shift += 7 {
		c := d.byte()
		if d.err != nil {
			return 0
		}
		if shift == 63 && c > 1 || c == 0 && shift > 0 {
			d.fail(errNumber)
			return 0
		}
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			break
		}
	}
	if v > limit {
		d.fail(errNumber)
		return 0
	}
	return v
}

// int reads a zigzag varint.
func (d *decoder) int() int64 {
	v := d.uint(math.MaxUint64)
	return int64(v>>1) ^ -int64(v&1)
}

func (d *decoder) string(limit uint64) string {
	n := d.uint(limit)
	if n > uint64(len(d.rest)) {
		d.fail(errTruncated)
		return ""
	}
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s
}

// count reads how many things of at least size bytes follow.
func (d *decoder) count(limit uint64, size int) uint64 {
	n := d.uint(limit)
	if n > uint64(len(d.rest)/size) {
		d.fail(errTruncated)
		return 0
	}
	return n
}
