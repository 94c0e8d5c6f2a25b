package edge

import (
	"errors"

	"github.com/valyala/fasthttp"

	"github.com/carom-dev/carom/edge/wire"
	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/engine/limit"
)

// page is what a visitor reads who is not redirected. No style, no script, nothing to load.
type page struct {
	status     int
	statusLine string
	html, text string
}

func newPage(status int, title, text string) *page {
	return &page{
		status: status, statusLine: statusLine(status), text: text + "\n",
		html: `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">` +
			"<title>" + title + "</title><h1>" + title + "</h1><p>" + text + "</p></html>\n",
	}
}

func (p *page) body(html bool) string {
	if html {
		return p.html
	}
	return p.text
}

func pageType(html bool) string {
	if html {
		return "text/html; charset=utf-8"
	}
	return "text/plain; charset=utf-8"
}

var (
	pageNotFound    = newPage(fasthttp.StatusNotFound, "Not found", "There is no such link.")
	pageGone        = newPage(fasthttp.StatusGone, "Gone", "This link is not in use any more.")
	pageUnavailable = newPage(fasthttp.StatusServiceUnavailable, "Try again", "This link can't be looked up right now. Please try again in a moment.")
	pageLimited     = newPage(fasthttp.StatusTooManyRequests, "Too many requests", "Too many requests from your network. Please wait a moment.")
	pageWrongMethod = newPage(fasthttp.StatusMethodNotAllowed, "Method not allowed", "A short link answers GET and HEAD.")
	pageHome        = newPage(fasthttp.StatusOK, "Carom", "Short links are answered here. Ask whoever gave you one if it does not work.")
)

// admit asks the limit on redirects, which is off by default.
func (s *Server) admit(rep *reply, counters *answerCounters, r engine.Resolution, v *visit) bool {
	d := s.redirects.Take(wire.ClientKey(v.network), v.at.UnixNano(), s.cfg.Share())
	if d.Allowed {
		return true
	}
	if r.Budgeted {
		s.cfg.Resolver.Refund(r)
	}
	rep.tooMany(counters, d)
	return false
}

// refuse answers for a code that leads nowhere now.
func (s *Server) refuse(rep *reply, counters *answerCounters, outcome engine.Outcome, v *visit) {
	if outcome == engine.OutcomeNotFound {
		if d := s.unknown.Take(wire.ClientKey(v.network), v.at.UnixNano(), s.cfg.Share()); !d.Allowed {
			rep.tooMany(counters, d)
			return
		}
	}
	counters.refusals[outcome].Add(1)
	switch outcome {
	case engine.OutcomeNotFound:
		rep.page = pageNotFound
	case engine.OutcomeInactive, engine.OutcomeExpired, engine.OutcomeExhausted:
		rep.page = pageGone
	default:
		rep.page, rep.retryAfter = pageUnavailable, "1"
	}
}

// proceed reports whether a visitor is redirected though its click could not be recorded as promised; else it is sent away.
func (s *Server) proceed(rep *reply, counters *answerCounters, r engine.Resolution, err error) bool {
	// What is only not synced will be stored, unless the power fails: the visit is used up and has its trace.
	recorded := errors.Is(err, engine.ErrNotDurable)
	// A visit of a budget that leaves no trace would make the count wrong for ever.
	if s.cfg.RefuseUnrecorded || r.Budgeted && !recorded {
		if r.Budgeted && !recorded {
			s.cfg.Resolver.Refund(r)
		}
		counters.refused.Add(1)
		rep.page, rep.retryAfter = pageUnavailable, "1"
		return false
	}
	if !recorded {
		counters.unrecorded.Add(1)
	}
	return true
}

func (rep *reply) tooMany(counters *answerCounters, d limit.Decision) {
	counters.limited.Add(1)
	rep.page, rep.retryAfter = pageLimited, wire.Seconds(d.RetryAfter)
}

// show answers with a page: HTML for a browser, a line of text for anything else.
func (s *Server) show(ctx *fasthttp.RequestCtx, p *page, html bool, requestID []byte) {
	h := &ctx.Response.Header
	h.SetStatusCode(p.status)
	h.Set("Vary", "Accept")
	h.SetCanonical(cacheControlName, cacheTemporary)
	wire.SetSecurityHeaders(h)
	s.setRequestID(ctx, requestID)
	h.SetContentType(pageType(html))
	ctx.Response.SetBodyString(p.body(html))
}
