package api

import (
	"context"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/carom-dev/carom/engine"
)

const (
	// healthTimeout is the longest a check may take.
	healthTimeout = 2 * time.Second
	// healthTTL is how long a result is given again: however often health is asked, a part is asked once a second.
	healthTTL = time.Second
	// healthPatience is the longest that who asks waits: below the time-outs of balancers, kubelets and scrapes, which must learn
	// that hits are served while a part hangs.
	healthPatience = 200 * time.Millisecond
)

// health asks the parts, all at once and within a bound. Safe for concurrent use.
type health struct {
	checks []engine.HealthCheck
	now    func() time.Time

	mu    sync.Mutex // guards parts
	parts []part
}

// part is what is known of one check.
type part struct {
	last engine.Health
	at   time.Time // when last came; zero: never

	began time.Time     // of the check that is under way; zero: none is
	done  chan struct{} // closed at its end
}

func newHealth(checks []engine.HealthCheck, now func() time.Time) *health {
	return &health{checks: checks, now: now, parts: make([]part, len(checks))}
}

// ask returns a result a check within healthPatience. It is at most healthTTL old; of a part that takes longer to answer it is the
// last one, and a fail once healthTimeout is over.
func (h *health) ask() []engine.Health {
	patience := time.After(healthPatience)
	for _, done := range h.begin() {
		select {
		case <-done:
		case <-patience:
			return h.results()
		}
	}
	return h.results()
}

// begin asks the parts whose results are old, and returns the ends of the checks that may still come within healthPatience.
func (h *health) begin() []<-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	var ends []<-chan struct{}
	for i := range h.parts {
		p := &h.parts[i]
		if p.began.IsZero() {
			if !p.at.IsZero() && now.Sub(p.at) < healthTTL {
				continue
			}
			p.began, p.done = now, make(chan struct{})
			go h.check(i, p.done) // ends with its check, of which there is one at a time
		}
		if now.Sub(p.began) < healthPatience {
			ends = append(ends, p.done)
		}
	}
	return ends
}

func (h *health) check(i int, done chan<- struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
	defer cancel()
	start := time.Now()
	got := h.checks[i].Check(ctx)
	if got.Latency == 0 {
		got.Latency = time.Since(start)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	p := &h.parts[i]
	p.last, p.at, p.began = got, h.now(), time.Time{}
	close(done)
}

func (h *health) results() []engine.Health {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	results := make([]engine.Health, len(h.parts))
	for i := range h.parts {
		p := &h.parts[i]
		switch results[i] = p.last; {
		case p.began.IsZero():
		case now.Sub(p.began) >= healthTimeout:
			results[i] = engine.Health{Status: engine.HealthFail, Reason: "no answer within " + healthTimeout.String(), Latency: now.Sub(p.began)}
		case p.at.IsZero():
			results[i] = engine.Health{Status: engine.HealthWarn, Reason: "no answer yet", Latency: now.Sub(p.began)}
		}
	}
	return results
}

// status sums results up: a critical fail is a fail, anything else that is not a pass a warning.
func (h *health) status(results []engine.Health) engine.HealthStatus {
	status := engine.HealthPass
	for i, r := range results {
		switch {
		case r.Status == engine.HealthFail && h.checks[i].Critical:
			return engine.HealthFail
		case r.Status != engine.HealthPass:
			status = engine.HealthWarn
		}
	}
	return status
}

// healthJSON follows draft-inadarei-api-health-check.
type healthJSON struct {
	Status engine.HealthStatus          `json:"status"`
	Output string                       `json:"output,omitzero"`
	Checks map[string][]healthCheckJSON `json:"checks,omitempty"`
}

type healthCheckJSON struct {
	Status   engine.HealthStatus `json:"status"`
	Critical bool                `json:"critical"`
	Latency  float64             `json:"observedValue"`
	Unit     string              `json:"observedUnit"`
	Reason   string              `json:"output,omitzero"`
}

func (a *API) deepHealth(r *request) error {
	results := a.health.ask()
	out := healthJSON{Status: a.health.status(results), Checks: make(map[string][]healthCheckJSON, len(results))}
	for i, res := range results {
		check := a.health.checks[i]
		out.Checks[check.Name] = append(out.Checks[check.Name], healthCheckJSON{
			Status: res.Status, Critical: check.Critical, Latency: float64(res.Latency.Microseconds()) / 1000, Unit: "ms", Reason: res.Reason,
		})
	}
	return r.answerHealth(out)
}

func (a *API) live(r *request) error { return r.answerHealth(healthJSON{Status: engine.HealthPass}) }

func (a *API) ready(r *request) error {
	if a.cfg.Ready != nil && !a.cfg.Ready() {
		return r.answerHealth(healthJSON{Status: engine.HealthFail, Output: "not taking requests: starting or draining"})
	}
	results := a.health.ask()
	out := healthJSON{Status: a.health.status(results)}
	for i, res := range results {
		if res.Status == engine.HealthFail && a.health.checks[i].Critical {
			out.Output = a.health.checks[i].Name + ": " + res.Reason
		}
	}
	return r.answerHealth(out)
}

func (r *request) answerHealth(out healthJSON) error {
	status := fasthttp.StatusOK
	if out.Status == engine.HealthFail {
		status = fasthttp.StatusServiceUnavailable
		r.ctx.Response.Header.Set("Retry-After", "1")
	}
	if err := r.answer(status, out); err != nil {
		return err
	}
	r.ctx.Response.Header.SetContentType("application/health+json")
	r.ctx.Response.Header.Set("Cache-Control", "no-store")
	return nil
}
