package wire

import (
	"bytes"
	"strings"

	"github.com/valyala/fasthttp"
)

// Lines walks the header lines of a request as they came, in their order and without allocating. The server does not
// normalise header names (it costs a tenth of a microsecond a request), so names are compared by Field.
type Lines struct{ rest []byte }

// LinesOf starts a walk; the bytes it yields are valid until the handler returns.
func LinesOf(ctx *fasthttp.RequestCtx) Lines { return Lines{rest: ctx.Request.Header.RawHeaders()} }

// Next yields the next line without its end; ok is false behind the last one. Field reads it.
func (l *Lines) Next() (line []byte, ok bool) {
	if len(l.rest) == 0 {
		return nil, false
	}
	if i := bytes.IndexByte(l.rest, '\n'); i >= 0 {
		line, l.rest = l.rest[:i], l.rest[i+1:]
	} else {
		line, l.rest = l.rest, nil
	}
	return line, true
}

// Field is the trimmed value of line if that is the header named lower, which is in lower case. The server refuses a space
// before the colon; a folded line (obsolete since RFC 7230) ends at its first part, as the rest begins with a space.
func Field(line []byte, lower string) (value []byte, ok bool) {
	if len(line) <= len(lower) || line[len(lower)] != ':' || !Is(line[:len(lower)], lower) {
		return nil, false
	}
	return trim(line[len(lower)+1:]), true
}

func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	return b
}

// Is compares a header's name with lower, which is in lower case, without regard to case.
func Is(name []byte, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i, c := range name {
		if c != lower[i] && (c|0x20 != lower[i] || c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

// HasFoldPrefix reports whether value begins with lower, which is in lower case, without regard to case.
func HasFoldPrefix(value []byte, lower string) bool {
	return len(value) >= len(lower) && Is(value[:len(lower)], lower)
}

// Header is the value of the first line named lower, and "" without one. A copy, safe to keep; for cold paths.
func Header(ctx *fasthttp.RequestCtx, lower string) string {
	for lines := LinesOf(ctx); ; {
		line, ok := lines.Next()
		if !ok {
			return ""
		}
		if value, ok := Field(line, lower); ok {
			return string(value)
		}
	}
}

// HeaderList is the value of a header that is a list, which may stand on several lines (RFC 9110, 5.3), and "" without one.
func HeaderList(ctx *fasthttp.RequestCtx, lower string) string {
	var values []string
	for lines := LinesOf(ctx); ; {
		line, ok := lines.Next()
		if !ok {
			return strings.Join(values, ", ")
		}
		if value, ok := Field(line, lower); ok {
			values = append(values, string(value))
		}
	}
}

// SecurityHeaders are what every answer with a body carries: nothing is sniffed, framed, loaded or told to others. Read-only.
var SecurityHeaders = []struct{ Name, Value string }{
	{"X-Content-Type-Options", "nosniff"},
	{"X-Frame-Options", "DENY"},
	{"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"},
	{"Referrer-Policy", "no-referrer"},
}

// SetSecurityHeaders sets SecurityHeaders.
func SetSecurityHeaders(h *fasthttp.ResponseHeader) {
	for _, header := range SecurityHeaders {
		h.Set(header.Name, header.Value)
	}
}
