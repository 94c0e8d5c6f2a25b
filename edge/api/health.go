package api

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/carom-dev/carom/engine"
)

const (
	// healthTimeout is the longest a check may take.
	healthTimeout = 2 * time.Second
	// healthTTL is how long results are given again: however often health is asked, the parts are asked once a second.
	healthTTL = time.Second
)

// health asks the parts, all at once and within a bound. Safe for concurrent use.
type health struct {
	checks []engine.HealthCheck
	busy   []atomic.Bool // a check that has not returned is not asked again
	now    func() time.Time

	mu      sync.Mutex // guards what is below, and joins those who ask at once
	results []engine.Health
	until   time.Time
}

func newHealth(checks []engine.HealthCheck, now func() time.Time) *health {
	return &health{checks: checks, busy: make([]atomic.Bool, len(checks)), now: now}
}

// ask returns a result a check, at most healthTTL old.
func (h *health) ask() []engine.Health {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.results == nil || !h.now().Before(h.until) {
		h.results = h.askLocked()
		h.until = h.now().Add(healthTTL)
	}
	return h.results
}

func (h *health) askLocked() []engine.Health {
	type result struct {
		i      int
		health engine.Health
	}
	ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
	defer cancel()
	results := make([]engine.Health, len(h.checks))
	answers := make(chan result, len(h.checks))
	waiting := 0
	for i := range h.checks {
		results[i] = engine.Health{Status: engine.HealthFail, Reason: "no answer within " + healthTimeout.String(), Latency: healthTimeout}
		if !h.busy[i].CompareAndSwap(false, true) {
			continue
		}
		waiting++
		go func() { // ends with its check; busy bounds it to one a check
			defer h.busy[i].Store(false)
			start := time.Now()
			got := h.checks[i].Check(ctx)
			if got.Latency == 0 {
				got.Latency = time.Since(start)
			}
			answers <- result{i, got}
		}()
	}
	for range waiting {
		select {
		case r := <-answers:
			results[r.i] = r.health
		case <-ctx.Done():
			return results
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
