package edge

import (
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/carom-dev/carom/edge/wire"
	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/engine/limit"
)

// page is what a visitor reads who is not redirected. No style, no script, nothing to load.
type page struct {
	status int
	title  string
	text   string
}

var (
	pageNotFound    = page{fasthttp.StatusNotFound, "Not found", "There is no such link."}
	pageGone        = page{fasthttp.StatusGone, "Gone", "This link is not in use any more."}
	pageUnavailable = page{fasthttp.StatusServiceUnavailable, "Try again", "This link can't be looked up right now. Please try again in a moment."}
	pageLimited     = page{fasthttp.StatusTooManyRequests, "Too many requests", "Too many requests from your network. Please wait a moment."}
	pageWrongMethod = page{fasthttp.StatusMethodNotAllowed, "Method not allowed", "A short link answers GET and HEAD."}
	pageHome        = page{fasthttp.StatusOK, "Carom", "Short links are answered here. Ask whoever gave you one if it does not work."}
)

// load is the way of a code that is not published here. ok is false when the visitor has been answered.
func (s *Server) load(ctx *fasthttp.RequestCtx, miss engine.Resolution, v *visit, now int64) (r engine.Resolution, ok bool) {
	if s.unknown.Rate().Requests > 0 {
		key := wire.ClientKey(engine.TruncateAddr(s.clients.Addr(ctx)))
		if d := s.unknown.Peek(key, ctx.Time().UnixNano(), s.cfg.Share()); !d.Allowed {
			s.tooMany(ctx, &s.shards[miss.Shard&(len(s.shards)-1)], d, v)
			return r, false
		}
	}
	return s.cfg.Resolver.Load(miss, s.cfg.Domain, v.code, now, v.kind()), true
}

// admit asks the limit on redirects, which is off by default.
func (s *Server) admit(ctx *fasthttp.RequestCtx, counters *shardCounters, r engine.Resolution, addr engine.TruncatedAddr, v *visit) bool {
	d := s.redirects.Take(wire.ClientKey(addr), ctx.Time().UnixNano(), s.cfg.Share())
	if d.Allowed {
		return true
	}
	if r.Budgeted {
		s.cfg.Resolver.Refund(r)
	}
	s.tooMany(ctx, counters, d, v)
	return false
}

// refuse answers for a code that leads nowhere now.
func (s *Server) refuse(ctx *fasthttp.RequestCtx, counters *shardCounters, outcome engine.Outcome, v *visit) {
	if outcome == engine.OutcomeNotFound {
		key := wire.ClientKey(engine.TruncateAddr(s.clients.Addr(ctx)))
		if d := s.unknown.Take(key, ctx.Time().UnixNano(), s.cfg.Share()); !d.Allowed {
			s.tooMany(ctx, counters, d, v)
			return
		}
	}
	counters.outcomes[outcome].Add(1)
	switch outcome {
	case engine.OutcomeNotFound:
		s.show(ctx, pageNotFound, v.requestID)
	case engine.OutcomeInactive, engine.OutcomeExpired, engine.OutcomeExhausted:
		s.show(ctx, pageGone, v.requestID)
	default:
		ctx.Response.Header.Set("Retry-After", "1")
		s.show(ctx, pageUnavailable, v.requestID)
	}
}

func (s *Server) refuseUnrecorded(ctx *fasthttp.RequestCtx, counters *shardCounters, r engine.Resolution, v *visit) {
	if r.Budgeted {
		s.cfg.Resolver.Refund(r)
	}
	counters.refused.Add(1)
	ctx.Response.Header.Set("Retry-After", "1")
	s.show(ctx, pageUnavailable, v.requestID)
}

func (s *Server) tooMany(ctx *fasthttp.RequestCtx, counters *shardCounters, d limit.Decision, v *visit) {
	counters.limited.Add(1)
	ctx.Response.Header.Set("Retry-After", wire.Seconds(d.RetryAfter))
	s.show(ctx, pageLimited, v.requestID)
}

// show answers with a page: HTML for a browser, a line of text for anything else.
func (s *Server) show(ctx *fasthttp.RequestCtx, p page, requestID []byte) {
	html := strings.Contains(wire.Header(ctx, "accept"), "text/html")
	h := &ctx.Response.Header
	h.SetStatusCode(p.status)
	h.Set("Vary", "Accept")
	h.SetCanonical(cacheControlName, cacheTemporary)
	wire.SetSecurityHeaders(h)
	s.setRequestID(ctx, requestID)
	if html {
		h.SetContentType("text/html; charset=utf-8")
		ctx.Response.SetBodyString(`<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">` +
			"<title>" + p.title + "</title><h1>" + p.title + "</h1><p>" + p.text + "</p></html>\n")
		return
	}
	h.SetContentType("text/plain; charset=utf-8")
	ctx.Response.SetBodyString(p.text + "\n")
}
