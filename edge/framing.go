package edge

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"github.com/carom-dev/carom/edge/wire"
	"github.com/carom-dev/carom/engine"
)

// The server's own parser is more patient than a gateway may be: what two programs in a row can take for different requests has to
// be refused by the second. testdata/raw-http.txt has what is refused and what is not, with the reasons.

// noBody is what the server calls the length of a GET or HEAD that has none.
const noBody = -2

// plain reports whether a request is one of those that can be understood in one way only: HTTP/1.1, without a body, for a path, with
// every header line ended by CR LF. The parser has refused a CR that stands alone, so counting both finds an LF that does. On the hit
// path.
func plain(h *fasthttp.RequestHeader) bool {
	raw := h.RawHeaders()
	return h.IsHTTP11() && h.ContentLength() == noBody && h.RequestURI()[0] == '/' &&
		bytes.Count(raw, lf) == bytes.Count(raw, cr)
}

var (
	lf = []byte("\n")
	cr = []byte("\r")
)

// refusal says why a request that is not plain is not answered; ok is true for one that is. Cold.
func refusal(ctx *fasthttp.RequestCtx) (p wire.Problem, ok bool) {
	h := &ctx.Request.Header
	if v := string(h.Protocol()); v != "HTTP/1.1" && v != "HTTP/1.0" {
		return wire.Problem{
			Title: fasthttp.StatusMessage(fasthttp.StatusHTTPVersionNotSupported), Status: fasthttp.StatusHTTPVersionNotSupported,
			Code: engine.CodeMalformed, Detail: "HTTP/1.1 and HTTP/1.0 are spoken here",
		}, false
	}
	refuse := func(detail string) (wire.Problem, bool) {
		return wire.ProblemOf(engine.Errorf(engine.CodeMalformed, "%s", detail)), false
	}
	var length, coding, folded bool
	for lines := wire.LinesOf(ctx); ; {
		line, more := lines.Next()
		if !more {
			break
		}
		if !bytes.HasSuffix(line, cr) {
			return refuse("a header line ends without CR")
		}
		_, isLength := wire.Field(line, "content-length")
		_, isCoding := wire.Field(line, "transfer-encoding")
		length, coding = length || isLength, coding || isCoding
		folded = folded || line[0] == ' ' || line[0] == '\t'
	}
	switch {
	case length && coding:
		return refuse("a body has a Content-Length or a Transfer-Encoding, not both")
	case folded && (length || coding):
		return refuse("a request with a body has no header of several lines")
	}
	if uri := h.RequestURI(); uri[0] != '/' && !bytes.Equal(uri, []byte("*")) && !bytes.Equal(h.Method(), []byte("CONNECT")) {
		authority, found := bytes.CutPrefix(bytes.ToLower(uri), []byte("http://"))
		if !found {
			authority, found = bytes.CutPrefix(bytes.ToLower(uri), []byte("https://"))
		}
		if i := bytes.IndexByte(authority, '/'); i >= 0 {
			authority = authority[:i]
		}
		if !found || bytes.IndexByte(authority, '@') >= 0 {
			return refuse("the target is a path, or begins with http:// or https:// and a host")
		}
	}
	return p, true
}

// admissible reports whether the request may be answered; otherwise it says why not, and the connection ends behind that.
func (s *Server) admissible(ctx *fasthttp.RequestCtx) bool {
	if plain(&ctx.Request.Header) {
		return true
	}
	p, ok := refusal(ctx)
	if ok {
		return true
	}
	s.reject(ctx, p)
	return false
}

// reject answers what is not understood, and ends the connection: where the next request begins is not known.
func (s *Server) reject(ctx *fasthttp.RequestCtx, p wire.Problem) {
	s.badRequests.Add(1)
	if c, ok := ctx.Conn().(*conn); ok && p.Status != fasthttp.StatusRequestTimeout {
		c.linger()
	}
	// The HTTP server numbers a request once it has been read.
	id := string(s.ids.AppendNumbered(nil, s.numbered.Add(1), 0, []byte(wire.Header(ctx, "x-request-id"))))
	p.RequestID = id
	wire.WriteProblem(ctx, p)
	ctx.Response.Header.SetCanonical(requestIDName, []byte(id))
	ctx.SetConnectionClose()
}
