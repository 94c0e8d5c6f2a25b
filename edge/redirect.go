package edge

import (
	"time"

	"github.com/valyala/fasthttp"

	"github.com/carom-dev/carom/edge/wire"
	"github.com/carom-dev/carom/engine"
)

// permanentMaxAge is how long a browser may answer 301 and 308 by itself, in seconds. Without a bound it would do so for ever,
// and an edit, an expiry or a deactivation would never reach it; 5 minutes is also what a published entry is trusted for.
const permanentMaxAge = "300"

// codeOf takes the code out of a raw path of exactly one segment, nil when there is none. The path is not decoded: a code has
// no byte that would need it, so "/%61bc" is no other spelling of "/abc" but a path that leads nowhere.
func codeOf(path []byte) []byte {
	if len(path) < 2 || path[0] != '/' || !engine.ValidCode(path[1:]) {
		return nil
	}
	return path[1:]
}

// redirect answers a GET or HEAD for a code that the HTTP server has read. 0 allocs on a hit: TestAllocRedirect.
func (s *Server) redirect(ctx *fasthttp.RequestCtx, code []byte) {
	v := s.visitOf(ctx, code)
	var rep reply
	s.decide(&rep, &v, true)
	s.write(ctx, &rep, &v)
	if sampled(ctx) && rep.page == nil {
		s.observe(&s.redirectTime, "redirect", ctx)
	}
}

// decide makes the reply to a visitor, with the click recorded. Without patience it returns false when it would have to wait for the
// store, and has then done nothing.
func (s *Server) decide(rep *reply, v *visit, patient bool) bool {
	now := v.at.UnixMicro()
	r, found := s.cfg.Resolver.Lookup(s.cfg.Domain, v.code, now, v.kind())
	shard := &s.shards[r.Shard&(len(s.shards)-1)]
	if found {
		s.settle(rep, &shard.hits, r, v, now)
		return true
	}
	if !patient {
		return false
	}
	counters := &shard.misses
	if s.unknown.Rate().Requests > 0 {
		if d := s.unknown.Peek(wire.ClientKey(v.network), v.at.UnixNano(), s.cfg.Share()); !d.Allowed {
			rep.tooMany(counters, d)
			return true
		}
	}
	s.settle(rep, counters, s.load(r, v, now), v, now)
	s.took(&s.missTime, "look-up", time.Since(v.at))
	return true
}

// settle sends the visitor where the code leads, its click recorded, or says why not.
func (s *Server) settle(rep *reply, counters *answerCounters, r engine.Resolution, v *visit, now int64) {
	if r.Outcome != engine.OutcomeRedirect {
		s.refuse(rep, counters, r.Outcome, v)
		return
	}
	if s.redirects != nil && !s.admit(rep, counters, r, v) {
		return
	}
	userAgent := bound(v.userAgent, engine.UserAgentMaxLen)
	click := engine.Click{
		At: now, Link: r.Link, Visitor: s.cfg.Visitors.Visitor(now, v.network, userAgent), Address: v.network, Status: r.Status,
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
	if err := s.cfg.Clicks.Append(r.Shard, click); err != nil && !s.proceed(rep, counters, r, err) {
		return
	}
	counters.redirected(r.Status)
	rep.status, rep.target, rep.cache = r.Status, r.Target, cacheControl(r, v)
	if r.ForwardQuery {
		rep.query = v.query
	}
}

// cacheControl lets a browser keep a permanent redirect for a while, but not one that uses up visits, and not one that was
// fetched ahead: the visit itself would never be seen.
func cacheControl(r engine.Resolution, v *visit) []byte {
	permanent := r.Status == fasthttp.StatusMovedPermanently || r.Status == fasthttp.StatusPermanentRedirect
	if !permanent || r.Budgeted || v.kind() == engine.VisitFree {
		return cacheTemporary
	}
	return cachePermanent
}

func bound(b []byte, length int) []byte { return b[:min(len(b), length)] }
