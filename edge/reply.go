package edge

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/carom-dev/carom/edge/wire"
)

// reply is what a visitor gets: a redirect, or a page. It has two forms, which say the same: through the HTTP server, and
// as bytes behind what a loop is about to send.
type reply struct {
	status     uint16
	target     []byte // of a redirect
	query      []byte // what is forwarded with it
	cache      []byte
	page       *page // instead of a redirect
	retryAfter string
}

// Names and values of the headers, never written to.
var (
	locationName     = []byte("Location")
	cacheControlName = []byte("Cache-Control")
	requestIDName    = []byte("X-Request-ID")
	noSniffName      = []byte("X-Content-Type-Options")

	noSniff        = []byte("nosniff")
	cacheTemporary = []byte("private, no-store")
	cachePermanent = []byte("private, max-age=" + permanentMaxAge)
)

// write gives the reply to the HTTP server.
func (s *Server) write(ctx *fasthttp.RequestCtx, rep *reply, v *visit) {
	h := &ctx.Response.Header
	if rep.page != nil {
		if rep.retryAfter != "" {
			h.Set("Retry-After", rep.retryAfter)
		}
		s.show(ctx, rep.page, v.html(), v.requestID)
		return
	}
	h.SetStatusCode(int(rep.status))
	if len(rep.query) > 0 {
		s.forward(h, rep.target, rep.query)
	} else {
		h.SetCanonical(locationName, rep.target)
	}
	h.SetCanonical(cacheControlName, rep.cache)
	// No X-Content-Type-Options, as there is no content; and no request id but a given one, as no log line would bear it.
	if wire.ValidRequestID(v.requestID) {
		h.SetCanonical(requestIDName, v.requestID)
	}
}

// append writes the reply behind out. last says that the connection ends with it.
func (s *Server) append(out []byte, rep *reply, v *visit, id quickID, last bool) []byte {
	if rep.page != nil {
		out = s.appendPage(out, rep, v, id)
	} else {
		out = append(out, statusLines[rep.status&7]...)
		out = append(out, s.date.line(v.at)...)
		if !v.head {
			out = append(out, "Content-Length: 0\r\n"...)
		}
		out = append(out, "Location: "...)
		if len(rep.query) > 0 {
			out = appendForwarded(out, rep.target, rep.query)
		} else {
			out = append(out, rep.target...)
		}
		out = append(out, "\r\nCache-Control: "...)
		out = append(out, rep.cache...)
		if wire.ValidRequestID(v.requestID) {
			out = append(out, "\r\nX-Request-ID: "...)
			out = append(out, v.requestID...)
		}
	}
	if last {
		out = append(out, "\r\nConnection: close"...)
	}
	out = append(out, "\r\n\r\n"...)
	if rep.page != nil && !v.head {
		out = append(out, rep.page.body(v.html())...)
	}
	return out
}

func (s *Server) appendPage(out []byte, rep *reply, v *visit, id quickID) []byte {
	out = append(out, rep.page.statusLine...)
	out = append(out, s.date.line(v.at)...)
	out = append(out, "Content-Type: "...)
	out = append(out, pageType(v.html())...)
	out = append(out, "\r\nContent-Length: "...)
	out = strconv.AppendInt(out, int64(len(rep.page.body(v.html()))), 10)
	if rep.retryAfter != "" {
		out = append(out, "\r\nRetry-After: "...)
		out = append(out, rep.retryAfter...)
	}
	out = append(out, pageHeaders...)
	out = append(out, "\r\nX-Request-ID: "...)
	return s.ids.AppendNumbered(out, id.conn, id.request, v.requestID)
}

// quickID names a request that the HTTP server has not numbered.
type quickID struct{ conn, request uint64 }

// pageHeaders are those of every page: what show sets.
var pageHeaders = func() string {
	headers := "\r\nVary: Accept\r\nCache-Control: " + string(cacheTemporary)
	for _, h := range wire.SecurityHeaders {
		headers += "\r\n" + h.Name + ": " + h.Value
	}
	return headers
}()

func statusLine(status int) string {
	return fmt.Sprintf("HTTP/1.1 %d %s\r\n", status, fasthttp.StatusMessage(status))
}

// statusLines of redirects, by the last three bits of the status.
var statusLines = func() (lines [8]string) {
	for _, status := range []int{fasthttp.StatusMovedPermanently, fasthttp.StatusFound, fasthttp.StatusTemporaryRedirect, fasthttp.StatusPermanentRedirect} {
		lines[status&7] = statusLine(status)
	}
	return lines
}()

// dateLine is the Date header of one second. The zero value is ready; safe for concurrent use.
type dateLine struct{ of atomic.Pointer[datedSecond] }

type datedSecond struct {
	second int64
	line   []byte
}

func (d *dateLine) line(now time.Time) []byte {
	second := now.Unix()
	if known := d.of.Load(); known != nil && known.second == second {
		return known.line
	}
	made := &datedSecond{second: second, line: append(fasthttp.AppendHTTPDate([]byte("Date: "), now), "\r\n"...)}
	d.of.Store(made)
	return made.line
}

// forwardBuffer is scratch space for targets with a forwarded query.
type forwardBuffer struct{ b []byte }

// forwardBufferMax is the largest scratch space that is kept; a canonical target and a query are at most 12 KiB and what
// percent-encoding adds.
const forwardBufferMax = 16 << 10

// acquireForwardBuffer and its twin share buffers between requests.
func acquireForwardBuffer(pool *sync.Pool) *forwardBuffer {
	if buf, ok := pool.Get().(*forwardBuffer); ok {
		return buf
	}
	return &forwardBuffer{}
}

func releaseForwardBuffer(pool *sync.Pool, buf *forwardBuffer) {
	if cap(buf.b) <= forwardBufferMax {
		pool.Put(buf)
	}
}

func (s *Server) forward(h *fasthttp.ResponseHeader, target, query []byte) {
	buf := acquireForwardBuffer(&s.forwards)
	buf.b = appendForwarded(buf.b[:0], target, query)
	h.SetCanonical(locationName, buf.b)
	releaseForwardBuffer(&s.forwards, buf)
}

func (s *Server) setRequestID(ctx *fasthttp.RequestCtx, given []byte) {
	var buf [wire.RequestIDMax]byte
	ctx.Response.Header.SetCanonical(requestIDName, s.ids.Append(buf[:0], ctx, given))
}
