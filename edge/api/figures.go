package api

import (
	"cmp"
	"sync/atomic"
	"time"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/engine/latency"
)

// figures count the requests for one route.
type figures struct {
	answers [statusMax - statusMin]atomic.Uint64 // by status
	time    latency.Histogram
}

// The statuses that HTTP has.
const (
	statusMin = 100
	statusMax = 600
)

func (f *figures) count(status int, took time.Duration) {
	f.answers[min(max(status, statusMin), statusMax-1)-statusMin].Add(1)
	f.time.Observe(took)
}

// RouteStats are the figures of one route since the start.
type RouteStats struct {
	Method  string         // "any" where a route has no method of its own; a HEAD counts as GET
	Route   string         // such as "/urls/{id}"; "(none)" and "(method)" are requests that no route answers
	Answers map[int]uint64 // by status; those that were never given are left out
	Time    latency.Snapshot
}

// name is the route's method, or "any".
func (r *route) name() string { return cmp.Or(r.method, "any") }

// Routes reads the figures of all routes.
func (a *API) Routes() []RouteStats {
	all := make([]RouteStats, 0, len(a.table))
	for _, r := range a.table {
		st := RouteStats{Method: r.name(), Route: r.path, Answers: map[int]uint64{}, Time: r.figures.time.Snapshot()}
		for i := range r.figures.answers {
			if n := r.figures.answers[i].Load(); n > 0 {
				st.Answers[i+statusMin] = n
			}
		}
		all = append(all, st)
	}
	return all
}

// PartHealth is one part of the service and what it says of itself.
type PartHealth struct {
	Name     string
	Critical bool
	engine.Health
}

// Health asks the parts, as GET /health does, and tells whether the service is ready.
func (a *API) Health() (parts []PartHealth, ready bool) {
	results := a.health.ask()
	ready = a.health.status(results) != engine.HealthFail && (a.cfg.Ready == nil || a.cfg.Ready())
	for i, r := range results {
		parts = append(parts, PartHealth{Name: a.health.checks[i].Name, Critical: a.health.checks[i].Critical, Health: r})
	}
	return parts, ready
}
