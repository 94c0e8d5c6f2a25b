package edge

import (
	"bytes"
	"encoding/binary"

	"github.com/carom-dev/carom/edge/wire"
	"github.com/carom-dev/carom/engine"
)

// parse reads the request at the beginning of b and returns its length: a GET or HEAD of HTTP/1.1 for a code, of which every byte
// is what browsers, proxies and client libraries send. Whatever is rarer than that, allowed or not, is 0: the HTTP server has
// a whole parser, and is asked then. So is what has not arrived to its end. The visit's slices are parts of b.
func (v *visit) parse(b []byte) int {
	at := 0
	switch {
	case len(b) < minRequest:
		return 0
	case string(b[:5]) == "GET /":
		at = 5
	case string(b[:6]) == "HEAD /":
		at, v.head = 6, true
	default:
		return 0
	}
	begin := at
	for at < len(b) && classes[b[at]]&inCode != 0 {
		at++
	}
	v.code = b[begin:at]
	if len(v.code) == 0 || len(v.code) > engine.CodeMaxLen {
		return 0
	}
	if at < len(b) && b[at] == '?' {
		at++
		begin = at
		for at < len(b) && classes[b[at]]&inQuery != 0 {
			at++
		}
		v.query = b[begin:at]
	}
	const version = " HTTP/1.1\r\n"
	if len(b)-at < len(version) || string(b[at:at+len(version)]) != version {
		return 0
	}
	at += len(version)
	for seen := field(0); ; {
		if len(b)-at < 2 {
			return 0
		}
		if b[at] == '\r' {
			if b[at+1] != '\n' || seen&fieldHost == 0 || at+2 >= readBufferSize {
				return 0
			}
			return at + 2
		}
		length := bytes.IndexByte(b[at:], '\n')
		if length < 2 || b[at+length-1] != '\r' {
			return 0
		}
		line := b[at : at+length-1]
		at += length + 1
		f, ok := v.line(line)
		if !ok || seen&f != 0 {
			return 0
		}
		seen |= f
	}
}

// minRequest is shorter than any request that can be answered.
const minRequest = len("GET / HTTP/1.1\r\n\r\n")

// field is a set of header fields of which there may be one.
type field uint16

const (
	fieldHost field = 1 << iota
	fieldUserAgent
	fieldAccept
	fieldReferrer
	fieldLanguage
	fieldRequestID
	fieldTraceparent
	fieldForwarded
	fieldConnection
)

// line reads one header line, without its end. false is for what the HTTP server has to look at: fields that change how a request is
// read, or what is no field.
func (v *visit) line(line []byte) (field, bool) {
	colon := 0
	for colon < len(line) && classes[line[colon]]&inName != 0 {
		colon++
	}
	if colon == 0 || colon == len(line) || line[colon] != ':' {
		return 0, false
	}
	name, value := line[:colon], line[colon+1:]
	for len(value) > 0 && value[0] == ' ' {
		value = value[1:]
	}
	if !plainValue(value) {
		return 0, false
	}
	switch len(name) {
	case len("host"):
		if wire.Is(name, "host") {
			return fieldHost, plainHost(value)
		}
	case len("expect"): // and accept
		if wire.Is(name, "expect") {
			return 0, false
		}
	case len("upgrade"): // and trailer, referer, purpose
		if wire.Is(name, "upgrade") || wire.Is(name, "trailer") {
			return 0, false
		}
	case len("user-agent"): // and connection
		if wire.Is(name, "user-agent") {
			v.userAgent = value
			return fieldUserAgent, true
		}
		if wire.Is(name, "connection") {
			return fieldConnection, wire.Is(value, "keep-alive")
		}
	case len("content-length"):
		if wire.Is(name, "content-length") {
			return 0, false
		}
	case len("x-forwarded-for"): // and accept-language
		if wire.Is(name, "x-forwarded-for") {
			v.forwarded = value
			return fieldForwarded, true
		}
	case len("transfer-encoding"):
		if wire.Is(name, "transfer-encoding") {
			return 0, false
		}
	}
	return v.field(name, value), true
}

// plainHost reports whether a host is a name or IPv4 address with or without a port.
func plainHost(host []byte) bool {
	if len(host) == 0 {
		return false
	}
	if colon := bytes.IndexByte(host, ':'); colon >= 0 {
		port := host[colon+1:]
		if len(port) == 0 || len(port) > 5 || colon == 0 {
			return false
		}
		for _, c := range port {
			if c < '0' || c > '9' {
				return false
			}
		}
		host = host[:colon]
	}
	for _, c := range host {
		if classes[c]&inHost == 0 {
			return false
		}
	}
	return true
}

// plainValue reports whether a value has no control byte and no space at its end. Eight bytes at a time: a byte is below 0x20 where
// taking 0x20 away borrows from its highest bit, and 0x7f where the same happens to it turned over.
func plainValue(b []byte) bool {
	const (
		ones  = 0x0101010101010101
		highs = ones << 7
	)
	if len(b) > 0 && b[len(b)-1] == ' ' {
		return false
	}
	for ; len(b) >= 8; b = b[8:] {
		x := binary.LittleEndian.Uint64(b)
		y := x ^ ones*0x7f
		if ((x-ones*0x20)&^x|(y-ones)&^y)&highs != 0 {
			return false
		}
	}
	for _, c := range b {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

// The classes of bytes.
const (
	inCode  = 1 << iota // A-Z a-z 0-9 _ -
	inQuery             // printable ASCII but # " < > and what no browser sends as it is
	inName              // of a header: a token of RFC 9110
	inHost              // A-Z a-z 0-9 . -
)

var classes = func() (t [256]uint8) {
	set := func(bits uint8, bytes string) {
		for i := range len(bytes) {
			t[bytes[i]] |= bits
		}
	}
	const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	set(inCode, alphanumeric+"_-")
	set(inQuery, alphanumeric+"-._~!$&'()*+,;=:@/?%")
	set(inName, alphanumeric+"!#$%&'*+-.^_`|~")
	set(inHost, alphanumeric+".-")
	return t
}()
