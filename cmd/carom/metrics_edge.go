package main

import (
	"github.com/carom-dev/carom/cmd/carom/internal/metric"
	"github.com/carom-dev/carom/engine"
)

// Statuses that requests for codes are answered with besides those of redirects.
const (
	statusNotFound    = "404"
	statusGone        = "410"
	statusLimited     = "429"
	statusUnavailable = "503"
)

func redirectMetrics() []family {
	return []family{
		counter("carom_edge_answers_total", "Answers to requests for codes, by what they came to; refused and limited visitors are counted on their own.", []string{"outcome"},
			func(s *scrape, w *metric.Writer) {
				for _, outcome := range engine.Outcomes() {
					w.Count(s.edge.Of(outcome), outcome.String())
				}
			}),
		counter("carom_edge_responses_total", "All answers to requests for codes, by status.", []string{"status"}, func(s *scrape, w *metric.Writer) {
			e := &s.edge.Answers
			for _, status := range sorted(e.Redirects) {
				w.Count(e.Redirects[status], text(status))
			}
			w.Count(e.Of(engine.OutcomeNotFound), statusNotFound)
			w.Count(e.Of(engine.OutcomeInactive)+e.Of(engine.OutcomeExpired)+e.Of(engine.OutcomeExhausted), statusGone)
			w.Count(e.Limited, statusLimited)
			w.Count(e.Of(engine.OutcomeUnavailable)+e.Of(engine.OutcomeShed)+e.Refused, statusUnavailable)
		}),
		histogram("carom_edge_redirect_seconds", "Time from the request's reading to its answer's writing, of one redirect in 64 that was a hit.", nil,
			func(s *scrape, w *metric.Writer) { w.Distribution(s.edge.RedirectTime) }),
		histogram("carom_edge_miss_seconds", "The same of every answer for which the store was asked.", nil,
			func(s *scrape, w *metric.Writer) { w.Distribution(s.edge.MissTime) }),
		count("carom_edge_unrecorded_total", "Redirects that went out without a click, as the journal had no room.", func(s *scrape) uint64 { return s.edge.Unrecorded }),
		count("carom_edge_refused_total", "Visitors who got a 503, as their click could not be recorded.", func(s *scrape) uint64 { return s.edge.Refused }),
		count("carom_edge_limited_total", "Visitors who got a 429.", func(s *scrape) uint64 { return s.edge.Limited }),
		count("carom_edge_panics_total", "Requests whose handler panicked, answered with 500.", func(s *scrape) uint64 { return s.edge.Panics }),
		count("carom_edge_bad_requests_total", "Requests that could not be read.", func(s *scrape) uint64 { return s.edge.BadRequests }),
	}
}

func connectionMetrics() []family {
	return []family{
		level("carom_edge_connections", "Connections that are open.", func(s *scrape) float64 { return float64(s.edge.Connections) }),
		level("carom_edge_connections_max", "How many may be open at once.", func(s *scrape) float64 { return float64(s.edge.ConnectionsMax) }),
		count("carom_edge_connections_rejected_total", "Connections that were sent away at that bound.", func(s *scrape) uint64 { return s.edge.Rejected }),
		count("carom_edge_accept_pauses_total", "Times that no connection was accepted for a moment, as files or memory had run out.", func(s *scrape) uint64 { return s.edge.Pauses }),
		state("carom_edge_draining", "1 once the end has begun.", func(s *scrape) bool { return s.edge.Draining }),
	}
}

func apiMetrics() []family {
	route := []string{"method", "route"}
	return []family{
		count("carom_edge_managed_total", "Requests for the API, health and metrics.", func(s *scrape) uint64 { return s.edge.Managed }),
		counter("carom_edge_api_requests_total", "Answers of the API; the route (none) is a path that it does not have, (method) a method that the path does not have.",
			[]string{"method", "route", "status"}, func(s *scrape, w *metric.Writer) {
				for _, r := range s.routes {
					for _, status := range sorted(r.Answers) {
						w.Count(r.Answers[status], r.Method, r.Route, text(status))
					}
				}
			}),
		histogram("carom_edge_api_request_seconds", "Time of a request to the API, without the writing of a stream.", route, func(s *scrape, w *metric.Writer) {
			for _, r := range s.routes {
				if r.Time.Count() > 0 {
					w.Distribution(r.Time, r.Method, r.Route)
				}
			}
		}),
		counter("carom_edge_limiter_refused_total", "Requests that a rate limit refused: api and writes are the API's, unknown is for codes that do not exist, redirects for those that do.",
			[]string{"limiter"}, func(s *scrape, w *metric.Writer) {
				for _, name := range sorted(s.limiters) {
					w.Count(s.limiters[name].Refused, name)
				}
			}),
		gauge("carom_edge_limiter_clients", "Clients that a rate limit remembers.", []string{"limiter"}, func(s *scrape, w *metric.Writer) {
			for _, name := range sorted(s.limiters) {
				w.Value(float64(s.limiters[name].Keys), name)
			}
		}),
		counter("carom_edge_limiter_forgotten_total", "Clients that were forgotten too early, as there were too many.", []string{"limiter"}, func(s *scrape, w *metric.Writer) {
			for _, name := range sorted(s.limiters) {
				w.Count(s.limiters[name].Forgotten, name)
			}
		}),
		gauge("carom_edge_health_status", "1 for the state that a part is in: pass, warn (degraded) or fail.", []string{"part", "status"}, func(s *scrape, w *metric.Writer) {
			for _, p := range s.parts {
				for _, status := range []engine.HealthStatus{engine.HealthPass, engine.HealthWarn, engine.HealthFail} {
					w.Flag(p.Status == status, p.Name, string(status))
				}
			}
		}),
		gauge("carom_edge_health_seconds", "How long the part took to say so.", []string{"part"}, func(s *scrape, w *metric.Writer) {
			for _, p := range s.parts {
				w.Value(p.Latency.Seconds(), p.Name)
			}
		}),
		state("carom_edge_ready", "1 while /health/ready says pass or warn.", func(s *scrape) bool { return s.ready }),
	}
}
