package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParseWrk(t *testing.T) {
	got, err := parseWrk([]byte(`Running 8s test @ http://127.0.0.1:1/x
  2 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.17ms    1.02ms  20.68ms   85.90%
  431829 requests in 8.01s, 71.25MB read
  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 29
Requests/sec:  53911.26
`))
	if want := (load{Answered: 431800, Other: 29, Broken: 10}); err != nil || got != want {
		t.Errorf("parseWrk = %+v, %v, want %+v", got, err, want)
	}
	if got, err := parseWrk([]byte("unable to connect")); err == nil {
		t.Errorf("parseWrk of nothing = %+v, want an error", got)
	}
}

func TestOwnLoadCountsEveryAnswer(t *testing.T) {
	asked := make(chan int, 1<<20)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- 1
		if len(asked)%10 == 0 {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Location", "http://example.com/")
		w.WriteHeader(http.StatusFound)
	}))
	defer server.Close()
	for _, pipeline := range []int{1, 4} {
		before := len(asked)
		l, err := ownLoad(config{Connections: 3, Pipeline: pipeline})(t.Context(), server.Listener.Addr().String(), "/x", 100*time.Millisecond)
		if err != nil || l.Broken != 0 || l.Answered == 0 || l.Other == 0 {
			t.Fatalf("pipeline %d: %+v, %v, want redirects and other answers, none broken", pipeline, l, err)
		}
		if sent := int64(len(asked) - before); l.Answered+l.Other != sent {
			t.Errorf("pipeline %d: counted %d answers of %d requests", pipeline, l.Answered+l.Other, sent)
		}
	}
}

func TestOwnLoadTellsOfBrokenRequests(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer server.Close()
	l, err := ownLoad(config{Connections: 3, Pipeline: 1})(t.Context(), server.Listener.Addr().String(), "/x", time.Second)
	if err != nil || l.Broken != 3 || l.Answered != 0 {
		t.Errorf("load on a server that answers nothing: %+v, %v, want 3 broken", l, err)
	}
}

func TestResult(t *testing.T) {
	r := newResult(config{Connections: 64, Pipeline: 1}, "own")
	for _, x := range []struct {
		server         string
		during, stored time.Duration
	}{
		{nameBare, 10 * time.Millisecond, 10 * time.Millisecond},
		{nameCarom, 10 * time.Millisecond, 20 * time.Millisecond},
		{nameBare, 20 * time.Millisecond, 20 * time.Millisecond},
		{nameCarom, 40 * time.Millisecond, 50 * time.Millisecond},
	} {
		r.add(x.server, load{Answered: 1000, Took: time.Second}, x.during, x.stored)
	}
	r.Redirects, r.Clicks, r.Slack = 2000, 2000, 0
	r.finish()
	if r.Bare.CPU != 15 || r.Carom.CPU != 25 || r.Bare.Rate != 1000 {
		t.Errorf("medians %+v and %+v, want 15 and 25 us", r.Bare, r.Carom)
	}
	if want := 25.0 / 15; r.Ratio != want || r.RatioLow != 1 || r.RatioHigh != 2 || r.RatioStored != 35.0/15 {
		t.Errorf("ratios %v, %v to %v, stored %v, want %v, 1 to 2, %v", r.Ratio, r.RatioLow, r.RatioHigh, r.RatioStored, want, 35.0/15)
	}
	var out bytes.Buffer
	if err := r.print(&out); err != nil || !strings.Contains(out.String(), "carom / bare: 1.667 (rounds: 1.000 to 2.000)") {
		t.Errorf("%v, printed:\n%s", err, out.String())
	}
	if !r.Clean() {
		t.Error("a comparison without a fault is not clean")
	}
	for name, spoil := range map[string]func(*result){
		"a lost click":         func(r *result) { r.Clicks-- },
		"a click twice":        func(r *result) { r.Clicks++ },
		"an answer of another": func(r *result) { r.Rounds[0].Other++ },
		"a broken request":     func(r *result) { r.Rounds[1].Broken++ },
		"a round of nothing":   func(r *result) { r.Rounds[1].Requests = 0 },
	} {
		bad := *r
		bad.Rounds = append([]round{}, r.Rounds...)
		if spoil(&bad); bad.Clean() {
			t.Errorf("%s passes as clean", name)
		}
	}
}

func TestSettingsThatMakeNoSense(t *testing.T) {
	good := config{Rounds: 1, Seconds: 1, Connections: 1, Pipeline: 1, Client: "own"}
	if err := good.validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*config){
		"-rounds": func(c *config) { c.Rounds = 0 }, "-seconds": func(c *config) { c.Seconds = 0 }, "-connections": func(c *config) { c.Connections = -1 },
		"-warmup": func(c *config) { c.Warmup = -1 }, "-client": func(c *config) { c.Client = "ab" }, "-pipeline": func(c *config) { c.Client, c.Pipeline = "wrk", 2 },
	} {
		bad := good
		change(&bad)
		if err := bad.validate(); err == nil || !strings.HasPrefix(err.Error(), name+":") {
			t.Errorf("a wrong %s: %v, want a refusal that names it", name, err)
		}
	}
}
