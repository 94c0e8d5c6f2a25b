package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestHistogramBuckets(t *testing.T) {
	last := -1
	for us := int64(0); us < 1<<33; us = us*33/32 + 1 {
		b := bucketOf(us)
		if b < last || b >= histogramBuckets {
			t.Fatalf("bucketOf(%d) = %d behind %d of %d", us, b, last, histogramBuckets)
		}
		if end := bucketEnd(b); b < histogramBuckets-1 && (end < us || end-us > us/histogramSub) {
			t.Fatalf("bucketEnd(%d) = %d, too far from %d", b, end, us)
		}
		last = b
	}
}

func TestHistogramQuantiles(t *testing.T) {
	var h, other histogram
	if got := h.quantile(0.99); got != 0 {
		t.Errorf("quantile of nothing = %v, want 0", got)
	}
	for n := range 1000 {
		if n%2 == 0 {
			h.record(time.Duration(n+1) * time.Millisecond)
		} else {
			other.record(time.Duration(n+1) * time.Millisecond)
		}
	}
	h.add(&other)
	for q, want := range map[float64]time.Duration{0: time.Millisecond, 0.5: 500 * time.Millisecond, 0.99: 990 * time.Millisecond, 1: time.Second} {
		if got := h.quantile(q); got < want || got > want*66/64 {
			t.Errorf("quantile(%v) = %v, want %v", q, got, want)
		}
	}
}

// TestLoadIsOpen holds one server that answers nothing for as long as it takes to see that visitors come all the same: they are
// missed when there is no room for them, and their latency counts from when they were due.
func TestLoadIsOpen(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		w.Header().Set("Location", "https://example.com/a")
		w.WriteHeader(http.StatusFound)
	}))
	defer server.Close()
	o := newOracle([]link{{code: "a", target: "https://example.com/a"}})
	l := startLoad(t.Context(), o, loadConfig{addr: server.Listener.Addr().String, rate: 1000, connections: 2, outstanding: 8})
	p := l.current.Load()
	for p.missed.Load() < 50 {
		if err := wait(t.Context(), time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	close(release)
	for p.status(302) < 10 {
		if err := wait(t.Context(), time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	l.stop()
	if got := p.latency.quantile(1); got < 50*time.Millisecond {
		t.Errorf("longest latency %v, want what the first ones waited", got)
	}
	if got := o.tally(); got.answered != int(p.status(302)) || got.wrongs != 0 {
		t.Errorf("tally = %v, want %d answered", got, p.status(302))
	}
}

// TestLoadReplacesConnections holds that a connection with a life is replaced after it, and that no request is lost by that.
func TestLoadReplacesConnections(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "https://example.com/a")
		w.WriteHeader(http.StatusFound)
	}))
	defer server.Close()
	o := newOracle([]link{{code: "a", target: "https://example.com/a"}})
	dials := make(chan struct{}, 3)
	l := startLoad(t.Context(), o, loadConfig{rate: 1000, connections: 1, life: time.Millisecond, addr: func() string {
		select {
		case dials <- struct{}{}:
		default: // enough
		}
		return server.Listener.Addr().String()
	}})
	for range cap(dials) {
		select {
		case <-dials:
		case <-time.After(patience):
			t.Fatal("a connection is kept for ever, want it replaced")
		}
	}
	p := l.current.Load()
	l.stop()
	if got := p.failed.Load(); got != 0 {
		t.Errorf("%d requests failed, want none as connections are replaced between two", got)
	}
}

func TestLoadWithoutAServerFails(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	o := newOracle([]link{{code: "a"}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l := startLoad(ctx, o, loadConfig{addr: ln.Addr().String, rate: 1000})
	p := l.current.Load()
	for p.failed.Load() < 10 {
		if err := wait(ctx, time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	l.stop()
	if got := o.tally(); got.sent != 0 {
		t.Errorf("tally = %v, want nothing sent", got)
	}
}
