package wire

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"

	"github.com/valyala/fasthttp"
)

// RequestIDMax is the longest request id that is taken from a client, in bytes.
const RequestIDMax = 128

// RequestIDs makes request ids out of a prefix drawn at start, the connection's number and the request's number on it: unique
// without any state that requests would share. Safe for concurrent use.
type RequestIDs struct{ prefix string }

// NewRequestIDs draws the prefix.
func NewRequestIDs() (*RequestIDs, error) {
	var bits [5]byte
	if _, err := rand.Read(bits[:]); err != nil {
		return nil, fmt.Errorf("read randomness for request ids: %w", err)
	}
	return &RequestIDs{prefix: hex.EncodeToString(bits[:]) + "-"}, nil
}

// Append appends the request's id: given, the client's X-Request-ID, when it is 1 to RequestIDMax of A-Z a-z 0-9 . _ -, and a
// new one otherwise. 0 allocs when dst has room: TestRequestIDAllocs.
func (ids *RequestIDs) Append(dst []byte, ctx *fasthttp.RequestCtx, given []byte) []byte {
	if ValidRequestID(given) {
		return append(dst, given...)
	}
	dst = append(dst, ids.prefix...)
	dst = appendNumber(dst, ctx.ConnID())
	dst = append(dst, '-')
	return appendNumber(dst, ctx.ConnRequestNum())
}

// AppendNumbered is Append for a request that the caller has numbered itself, from connections and requests of its own.
func (ids *RequestIDs) AppendNumbered(dst []byte, conn, request uint64, given []byte) []byte {
	if ValidRequestID(given) {
		return append(dst, given...)
	}
	dst = append(dst, ids.prefix...)
	dst = append(dst, 'w') // no digit, so that it is none of the server's numbers
	dst = appendNumber(dst, conn)
	dst = append(dst, '-')
	return appendNumber(dst, request)
}

// appendNumber writes n in digits of 5 bits; short numbers, as these are, take a third of strconv's time.
func appendNumber(dst []byte, n uint64) []byte {
	const digits = "0123456789abcdefghijklmnopqrstuv"
	shift := 0
	for n>>shift >= uint64(len(digits)) {
		shift += 5
	}
	for ; shift >= 0; shift -= 5 {
		dst = append(dst, digits[n>>shift&31])
	}
	return dst
}

// ValidRequestID reports whether a client's id can be taken into logs and answers.
func ValidRequestID(id []byte) bool {
	if len(id) == 0 || len(id) > RequestIDMax {
		return false
	}
	for _, c := range id {
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
