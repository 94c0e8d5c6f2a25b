package wire

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strconv"

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
	dst = strconv.AppendUint(dst, ctx.ConnID(), 36)
	dst = append(dst, '-')
	return strconv.AppendUint(dst, ctx.ConnRequestNum(), 36)
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
