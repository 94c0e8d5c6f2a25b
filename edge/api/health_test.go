package api

import (
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carom-dev/carom/engine"
)

func check(name string, critical bool, h engine.Health) engine.HealthCheck {
	return engine.HealthCheck{Name: name, Critical: critical, Check: func(context.Context) engine.Health { return h }}
}

func probe(t *testing.T, f *fixture, path string) answer {
	t.Helper()
	return f.raw(t, "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n")
}

func TestHealth(t *testing.T) {
	pass, warn, fail := engine.Health{Status: engine.HealthPass, Latency: 1500 * time.Microsecond}, engine.Health{Status: engine.HealthWarn, Reason: "half full"}, engine.Health{Status: engine.HealthFail, Reason: "gone"}
	for _, tt := range []struct {
		rule   string
		checks []engine.HealthCheck
		deep   int
		status string
		ready  int
	}{
		{"nothing to ask", nil, 200, "pass", 200},
		{"all well", []engine.HealthCheck{check("store", false, pass), check("journal", true, pass)}, 200, "pass", 200},
		{"a warning", []engine.HealthCheck{check("journal", true, warn)}, 200, "warn", 200},
		{"a part that hits do without", []engine.HealthCheck{check("store", false, fail), check("journal", true, pass)}, 200, "warn", 200},
		{"a critical part", []engine.HealthCheck{check("store", false, pass), check("journal", true, fail)}, 503, "fail", 503},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			f := newFixture(t, func(c *Config) { c.Checks = tt.checks })
			deep := probe(t, f, "/health")
			if deep.status != tt.deep || !strings.HasPrefix(deep.body, `{"status":"`+tt.status+`"`) || deep.get("Content-Type") != "application/health+json" || deep.get("Cache-Control") != "no-store" {
				t.Errorf("/health = %d %s %s, want %d %s", deep.status, deep.get("Content-Type"), deep.body, tt.deep, tt.status)
			}
			for _, c := range tt.checks {
				if !strings.Contains(deep.body, `"`+c.Name+`":[{"status":"`) {
					t.Errorf("/health = %s lacks %s", deep.body, c.Name)
				}
			}
			if ready := probe(t, f, "/health/ready"); ready.status != tt.ready {
				t.Errorf("/health/ready = %d %s, want %d", ready.status, ready.body, tt.ready)
			}
			if live := probe(t, f, "/health/live"); live.status != 200 || live.body != `{"status":"pass"}` {
				t.Errorf("/health/live = %d %s, want pass whatever the parts say", live.status, live.body)
			}
		})
	}
}

func TestNotReadyWhileDraining(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Ready = func() bool { return false } })
	if got := probe(t, f, "/health/ready"); got.status != 503 || got.get("Retry-After") == "" {
		t.Errorf("/health/ready = %d, want 503", got.status)
	}
}

// TestHealthOfASilentPart holds that who asks is answered soon whatever a part does, and that a part that hangs is told in the end.
func TestHealthOfASilentPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		goOn := make(chan struct{})
		silent := engine.HealthCheck{Name: "store", Check: func(context.Context) engine.Health {
			if asked.Add(1) > 1 {
				<-goOn
			}
			return engine.Health{Status: engine.HealthPass}
		}}
		h := newHealth([]engine.HealthCheck{silent, check("journal", true, engine.Health{Status: engine.HealthPass})}, time.Now)
		want := func(when string, store engine.HealthStatus, within time.Duration) {
			t.Helper()
			start := time.Now()
			results := h.ask()
			if took := time.Since(start); took != within || results[0].Status != store || results[1].Status != engine.HealthPass {
				t.Errorf("%s: %+v after %v, want %s and pass after %v", when, results, took, store, within)
			}
		}
		want("well", engine.HealthPass, 0)
		time.Sleep(healthTTL) //nolint:forbidigo // the bubble's clock
		want("silent", engine.HealthPass, healthPatience)
		want("still silent, and not waited for again", engine.HealthPass, 0)
		time.Sleep(healthTimeout) //nolint:forbidigo // the bubble's clock
		want("given up", engine.HealthFail, 0)
		if n := asked.Load(); n != 2 {
			t.Errorf("the silent part was asked %d times, want twice: not again while it does not answer", n)
		}
		close(goOn)
		synctest.Wait()
		time.Sleep(healthTTL) //nolint:forbidigo // the bubble's clock
		want("well again", engine.HealthPass, 0)
	})
}

// TestHealthOfAPartThatWasNeverHeard holds that a start beside a store that hangs is ready all the same.
func TestHealthOfAPartThatWasNeverHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := engine.HealthCheck{Name: "store", Check: func(ctx context.Context) engine.Health {
			<-ctx.Done()
			return engine.Health{Status: engine.HealthFail, Reason: "gone"}
		}}
		h := newHealth([]engine.HealthCheck{silent}, time.Now)
		if got := h.ask(); got[0].Status != engine.HealthWarn || h.status(got) != engine.HealthWarn {
			t.Errorf("health is %+v, want a warning until it is known", got)
		}
		time.Sleep(healthTimeout) //nolint:forbidigo // the bubble's clock
		synctest.Wait()
		if got := h.ask(); got[0].Reason != "gone" {
			t.Errorf("health is %+v, want what the check said", got)
		}
	})
}

func TestHealthAsksOnceASecond(t *testing.T) {
	asked := 0
	f := newFixture(t, func(c *Config) {
		c.Checks = []engine.HealthCheck{{Name: "store", Check: func(context.Context) engine.Health { asked++; return engine.Health{Status: engine.HealthPass} }}}
	})
	for range 100 {
		probe(t, f, "/health")
	}
	f.clock = f.clock.Add(healthTTL)
	probe(t, f, "/health")
	if asked != 2 {
		t.Errorf("the part was asked %d times, want 2", asked)
	}
}

func TestMetrics(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Metrics = func(w io.Writer) { _, _ = io.WriteString(w, "carom_up 1\n") } })
	if got := probe(t, f, "/metrics"); got.status != 200 || got.body != "carom_up 1\n" || !strings.HasPrefix(got.get("Content-Type"), "text/plain; version=0.0.4") {
		t.Errorf("/metrics = %d %q %q", got.status, got.get("Content-Type"), got.body)
	}
	if got := probe(t, newFixture(t, nil), "/metrics"); got.status != 404 {
		t.Errorf("/metrics that is not served = %d, want 404", got.status)
	}
}

// TestStoreAway asks every route while the store fails: a 503 that says when to come back, and nothing of the cause.
func TestStoreAway(t *testing.T) {
	f := newFixture(t, nil)
	f.ask(t, "POST", "/shorten", `{"url":"https://example.com","code":"abc"}`) // and the key is in memory
	f.store.fail(errAway)
	body := map[string]string{"/shorten": `{"url":"https://example.com"}`, "/keys": `{"name":"n","scopes":["admin"]}`, "/urls/{id}": `{"url":"https://example.com"}`}
	for _, rt := range f.routes() {
		if rt.open {
			continue
		}
		b := body[rt.path]
		if rt.method == "GET" || rt.method == "DELETE" {
			b = ""
		}
		got := f.ask(t, rt.method, strings.Replace(rt.path, "{id}", "1", 1), b)
		if got.status != 503 || got.get("Retry-After") != "1" || strings.Contains(got.body, "refused") {
			t.Errorf("%s %s = %d, Retry-After %q, %s; want 503, 1", rt.method, rt.path, got.status, got.get("Retry-After"), got.body)
		}
	}
	if got := f.ask(t, "POST", "/shorten", `{"url":"https://example.com","code":"x"}`, ndjson); got.status != 503 {
		t.Errorf("bulk = %d, want 503", got.status)
	}
	f.clock = f.clock.Add(keyTTL)
	if got := f.ask(t, "GET", "/urls", ""); got.status != 503 {
		t.Errorf("a key that must be looked up = %d, want 503, not 401", got.status)
	}
}
