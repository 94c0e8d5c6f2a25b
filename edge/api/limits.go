package api

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/carom-dev/carom/edge/wire"
	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/engine/limit"
)

// limits are the API's rate limits: one on everything a client asks, one more on what changes something.
type limits struct {
	all    *limit.Limiter
	writes *limit.Limiter
	share  func() float64
	policy string // the RateLimit-Policy header; "": nothing is limited
}

func newLimits(all, writes limit.Rate, share func() float64) limits {
	l := limits{all: limit.New(all), writes: limit.New(writes), share: share}
	var policies []string
	for _, p := range []struct {
		name string
		rate limit.Rate
	}{{"api", all}, {"writes", writes}} {
		if p.rate.Requests > 0 {
			policies = append(policies, fmt.Sprintf("%q;q=%d;w=%d", p.name, p.rate.Requests, max(int(p.rate.Period/time.Second), 1)))
		}
	}
	l.policy = strings.Join(policies, ", ")
	return l
}

// take counts the request for client and says so in its header; the error is the answer to one too many.
func (l *limits) take(r *request, client uint64, write bool) error {
	now := r.now.UnixNano()
	name, d := "api", l.all.Take(client, now, l.share())
	if d.Allowed && write {
		if w := l.writes.Take(client, now, l.share()); w.Limit > 0 && (!w.Allowed || d.Limit == 0 || w.Remaining < d.Remaining) {
			name, d = "writes", w
		}
	}
	return l.answer(r, name, d)
}

// peek refuses a client that is over its limit, and counts nothing.
func (l *limits) peek(r *request, client uint64) error {
	if d := l.all.Peek(client, r.now.UnixNano(), l.share()); !d.Allowed {
		return l.answer(r, "api", d)
	}
	return nil
}

// answer sets the headers of draft-ietf-httpapi-ratelimit-headers and the older ones that most clients know.
func (l *limits) answer(r *request, name string, d limit.Decision) error {
	if d.Limit == 0 {
		return nil
	}
	h := &r.ctx.Response.Header
	reset := wire.Seconds(d.ResetAfter)
	h.Set("RateLimit-Policy", l.policy)
	h.Set("RateLimit", fmt.Sprintf("%q;r=%d;t=%s", name, d.Remaining, reset))
	h.Set("X-RateLimit-Limit", strconv.Itoa(d.Limit))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(d.Remaining))
	h.Set("X-RateLimit-Reset", reset)
	if d.Allowed {
		return nil
	}
	retry := wire.Seconds(d.RetryAfter)
	h.Set("Retry-After", retry)
	return engine.Errorf(engine.CodeRateLimited, "over the limit of %d requests (%s); try again in %s s", d.Limit, name, retry)
}
