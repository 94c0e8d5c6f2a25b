package edge

import (
	"sync"

	"github.com/valyala/fasthttp"

	"github.com/carom-dev/carom/edge/wire"
	"github.com/carom-dev/carom/engine"
)

// permanentMaxAge is how long a browser may answer 301 and 308 by itself, in seconds. Without a bound it would do so for ever,
// and an edit, an expiry or a deactivation would never reach it; 5 minutes is also what a published entry is trusted for.
const permanentMaxAge = "300"

// Names and values of the redirect's headers, never written to.
var (
	locationName     = []byte("Location")
	cacheControlName = []byte("Cache-Control")
	requestIDName    = []byte("X-Request-ID")
	noSniffName      = []byte("X-Content-Type-Options")

	noSniff        = []byte("nosniff")
	cacheTemporary = []byte("private, no-store")
	cachePermanent = []byte("private, max-age=" + permanentMaxAge)
)

// visit is what the redirect path reads from a request. Its slices are valid until the handler returns.
type visit struct {
	code      []byte
	referrer  []byte
	language  []byte
	requestID []byte
	prefetch  bool
	head      bool
}

// free is how the visit counts against a budget.
func (v *visit) kind() engine.Visit {
	if v.head || v.prefetch {
		return engine.VisitFree
	}
	return engine.VisitCounted
}

// read takes what the redirect path needs out of the header, in one walk over the fields that the server has found already.
func (v *visit) read(ctx *fasthttp.RequestCtx) {
	for name, value := range ctx.Request.Header.All() {
		switch len(name) {
		case len("referer"): // and purpose
			if wire.Is(name, "referer") {
				v.referrer = value
			} else if wire.Is(name, "purpose") {
				v.prefetch = v.prefetch || wire.HasFoldPrefix(value, "prefetch")
			}
		case len("accept-language"):
			if wire.Is(name, "accept-language") {
				v.language = value
			}
		case len("sec-purpose"):
			if wire.Is(name, "sec-purpose") {
				v.prefetch = v.prefetch || wire.HasFoldPrefix(value, "prefetch")
			}
		case len("x-request-id"):
			if wire.Is(name, "x-request-id") {
				v.requestID = value
			}
		case len("x-moz"):
			if wire.Is(name, "x-moz") {
				v.prefetch = v.prefetch || wire.HasFoldPrefix(value, "prefetch")
			}
		}
	}
}

// codeOf takes the code out of a raw path of exactly one segment, nil when there is none. The path is not decoded: a code has
// no byte that would need it, so "/%61bc" is no other spelling of "/abc" but a path that leads nowhere.
func codeOf(path []byte) []byte {
	if len(path) < 2 || path[0] != '/' || !engine.ValidCode(path[1:]) {
		return nil
	}
	return path[1:]
}

// redirect answers a GET or HEAD for a code. 0 allocs on a hit: TestAllocRedirect.
func (s *Server) redirect(ctx *fasthttp.RequestCtx, code []byte) {
	v := visit{code: code, head: ctx.IsHead()}
	v.read(ctx)
	now := ctx.Time().UnixMicro()
	r, ok := s.cfg.Resolver.Lookup(s.cfg.Domain, code, now, v.kind())
	if !ok {
		// Cold from here.
		if r, ok = s.load(ctx, r, &v, now); !ok {
			return
		}
	}
	counters := &s.shards[r.Shard&(len(s.shards)-1)]
	if r.Outcome != engine.OutcomeRedirect {
		s.refuse(ctx, counters, r.Outcome, &v)
		return
	}
	addr := engine.TruncateAddr(s.clients.Addr(ctx))
	if s.redirects != nil && !s.admit(ctx, counters, r, addr, &v) {
		return
	}
	userAgent := bound(ctx.Request.Header.UserAgent(), engine.UserAgentMaxLen)
	click := engine.Click{
		At: now, Link: r.Link, Visitor: s.cfg.Visitors.Visitor(now, addr, userAgent), Address: addr, Status: r.Status,
		UserAgent: userAgent, Referrer: bound(v.referrer, engine.ReferrerMaxLen), Language: bound(v.language, engine.LanguageMaxLen),
	}
	if v.head {
		click.Flags |= engine.ClickHead
	}
	if v.prefetch {
		click.Flags |= engine.ClickPrefetch
	}
	if r.Budgeted {
		click.Flags |= engine.ClickBudgeted
	}
	// Before the answer: once a visitor is redirected, the click must survive whatever happens to this process.
	if err := s.cfg.Clicks.Append(r.Shard, click); err != nil {
		// A visit of a budget that leaves no trace would make the count wrong for ever.
		if s.cfg.RefuseUnrecorded || r.Budgeted {
			s.refuseUnrecorded(ctx, counters, r, &v)
			return
		}
		counters.unrecorded.Add(1)
	}
	counters.outcomes[engine.OutcomeRedirect].Add(1)

	h := &ctx.Response.Header
	h.SetStatusCode(int(r.Status))
	if query := ctx.URI().QueryString(); r.ForwardQuery && len(query) > 0 {
		s.forward(h, r.Target, query)
	} else {
		h.SetCanonical(locationName, r.Target)
	}
	if r.Status == fasthttp.StatusMovedPermanently || r.Status == fasthttp.StatusPermanentRedirect {
		h.SetCanonical(cacheControlName, s.permanentCache(r, &v))
	} else {
		h.SetCanonical(cacheControlName, cacheTemporary)
	}
	h.SetCanonical(noSniffName, noSniff)
	s.setRequestID(ctx, v.requestID)
}

// permanentCache lets a browser keep a permanent redirect for a while, but not one that uses up visits, and not one that was
// fetched ahead: the visit itself would never be seen.
func (s *Server) permanentCache(r engine.Resolution, v *visit) []byte {
	if r.Budgeted || v.kind() == engine.VisitFree {
		return cacheTemporary
	}
	return cachePermanent
}

func bound(b []byte, length int) []byte { return b[:min(len(b), length)] }

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
