package edge

import (
	"bytes"
	"errors"
	"net"
	"runtime/debug"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/carom-dev/carom/edge/wire"
	"github.com/carom-dev/carom/engine"
)

// handle is the outermost handler: codes first, then whatever else has a name.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	defer s.finish(ctx)
	if c, ok := ctx.Conn().(*conn); ok && c.quick.panic != nil {
		p := c.quick.panic
		c.quick.panic = nil
		panic(p)
	}
	if !s.admissible(ctx) {
		return
	}
	if path := ctx.URI().PathOriginal(); ctx.IsGet() || ctx.IsHead() {
		if code := codeOf(path); code != nil && !s.words.has(code) {
			s.redirect(ctx, code)
			return
		}
	}
	s.route(ctx)
}

// route answers everything that is no code. Cold.
func (s *Server) route(ctx *fasthttp.RequestCtx) {
	path := ctx.URI().PathOriginal()
	first := bytes.TrimPrefix(path, []byte("/"))
	if i := bytes.IndexByte(first, '/'); i >= 0 {
		first = first[:i]
	}
	if s.words.has(first) {
		s.managed.Add(1)
		s.cfg.API.Handle(ctx)
		return
	}
	requestID := []byte(wire.Header(ctx, "x-request-id"))
	read, html := ctx.IsGet() || ctx.IsHead(), strings.Contains(wire.Header(ctx, "accept"), "text/html")
	switch known := string(path); {
	case known == "/" && read:
		s.home(ctx, html, requestID)
	case known == "/robots.txt" && read:
		s.show(ctx, pageHome, html, requestID)
		ctx.Response.Header.Set("Cache-Control", "public, max-age=86400")
		ctx.Response.Header.SetContentType("text/plain; charset=utf-8")
		ctx.Response.Header.Del("Vary")
		ctx.Response.SetBodyString("User-agent: *\nDisallow: /\n")
	case known == "/favicon.ico" && read:
		ctx.Response.SetStatusCode(fasthttp.StatusNoContent)
		ctx.Response.Header.Set("Cache-Control", "public, max-age=86400")
		ctx.Response.Header.SetCanonical(noSniffName, noSniff)
		s.setRequestID(ctx, requestID)
	case !read && (codeOf(path) != nil || known == "/" || known == "/robots.txt" || known == "/favicon.ico"):
		ctx.Response.Header.Set("Allow", "GET, HEAD")
		s.show(ctx, pageWrongMethod, html, requestID)
	default:
		s.show(ctx, pageNotFound, html, requestID)
	}
}

func (s *Server) home(ctx *fasthttp.RequestCtx, html bool, requestID []byte) {
	if s.cfg.HomeURL == "" {
		s.show(ctx, pageHome, html, requestID)
		return
	}
	h := &ctx.Response.Header
	h.SetStatusCode(fasthttp.StatusFound)
	h.SetCanonical(locationName, []byte(s.cfg.HomeURL))
	h.SetCanonical(cacheControlName, cacheTemporary)
	h.SetCanonical(noSniffName, noSniff)
	s.setRequestID(ctx, requestID)
}

// finish ends a request, whatever became of it. The server has no recover of its own, and one bad request must not end the
// process. A drain that began while the request was under way is told in its answer, too.
func (s *Server) finish(ctx *fasthttp.RequestCtx) {
	if p := recover(); p != nil {
		s.panicked(ctx, p)
	}
	if s.draining.Load() {
		ctx.Response.SetConnectionClose()
	}
}

// panicked turns a panic of a handler into a 500.
func (s *Server) panicked(ctx *fasthttp.RequestCtx, p any) {
	s.panics.Add(1)
	given := []byte(wire.Header(ctx, "x-request-id"))
	id := string(s.ids.Append(nil, ctx, given))
	if ok, swallowed := s.panicThrottle.Allow(time.Now()); ok {
		s.cfg.Logger.Error("handler panicked", "panic", p, "request_id", id, "method", string(ctx.Method()), "stack", string(debug.Stack()), "swallowed", swallowed)
	}
	ctx.Response.Reset()
	problem := wire.ProblemOf(errPanicked)
	problem.RequestID = id
	wire.WriteProblem(ctx, problem)
	ctx.Response.Header.SetCanonical(requestIDName, []byte(id))
}

var errPanicked = engine.Errorf(engine.CodeInternal, "a fault of the service; the request id finds it in the log")

// unreadable answers a request that could not be read; the connection is closed after it.
func (s *Server) unreadable(ctx *fasthttp.RequestCtx, err error) {
	p := wire.ProblemOf(engine.Errorf(engine.CodeMalformed, "the request is not HTTP/1.1 that can be read"))
	var netErr net.Error
	switch _, small := errors.AsType[*fasthttp.ErrSmallBuffer](err); {
	case small:
		p = wire.Problem{
			Title: fasthttp.StatusMessage(fasthttp.StatusRequestHeaderFieldsTooLarge), Status: fasthttp.StatusRequestHeaderFieldsTooLarge,
			Code: engine.CodeTooLarge, Detail: "the request line and header have more than 8192 bytes",
		}
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		p = wire.ProblemOf(engine.Errorf(engine.CodeTooLarge, "the body has more than %d bytes", MaxBodySize))
	case errors.As(err, &netErr) && netErr.Timeout():
		p = wire.Problem{
			Title: fasthttp.StatusMessage(fasthttp.StatusRequestTimeout), Status: fasthttp.StatusRequestTimeout,
			Code: engine.CodeMalformed, Detail: "the request did not arrive in time",
		}
	}
	s.reject(ctx, p)
}

// words are the management API's first segments. Read-only after it is made.
type words struct {
	set     map[string]struct{}
	lengths uint64 // bit n: some word has n bytes
}

func wordsOf(all []string) words {
	w := words{set: make(map[string]struct{}, len(all))}
	for _, word := range all {
		w.set[word] = struct{}{}
		w.lengths |= 1 << (len(word) & 63)
	}
	return w
}

func (w *words) has(segment []byte) bool {
	if w.lengths&(1<<(len(segment)&63)) == 0 {
		return false
	}
	_, ok := w.set[string(segment)]
	return ok
}
