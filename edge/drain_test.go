package edge

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

const getABC = "GET /abc HTTP/1.1\r\nHost: a\r\n\r\n"

func TestDrainHangsUpOnIdleAndSilentConnections(t *testing.T) {
	f := newFixture(t, nil)
	addr, served := f.serve(t)
	idle, silent := dial(t, addr), dial(t, addr)
	exchange(t, idle, getABC)
	start := time.Now()
	if err := f.Drain(t.Context()); err != nil {
		t.Errorf("Drain = %v", err)
	}
	// The HTTP server alone counts a silent connection as busy for 5 seconds.
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("Drain took %v with nothing to do", took)
	}
	closedByPeer(t, idle)
	closedByPeer(t, silent)
	if err := <-served; err != nil {
		t.Errorf("Serve = %v, want nil after a drain", err)
	}
	if f.Ready() {
		t.Error("Ready after a drain")
	}
	if _, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr); err == nil {
		t.Error("the port still takes connections")
	}
	if err := f.Drain(t.Context()); err != nil {
		t.Errorf("second Drain = %v", err)
	}
}

func TestDrainAnswersWhatIsUnderWay(t *testing.T) {
	f := newFixture(t, nil)
	entered, goOn := make(chan struct{}), make(chan struct{})
	f.resolver.loaded = func() { close(entered); <-goOn }
	addr, _ := f.serve(t)
	c := dial(t, addr)
	if _, err := io.WriteString(c, "GET /cold HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-entered
	drained := make(chan error, 1)
	go func() { drained <- f.Drain(context.Background()) }()
	waitFor(t, func() bool { return !f.Ready() })
	close(goOn)
	resp := readResponse(t, c)
	if resp.StatusCode() != 302 || !resp.ConnectionClose() {
		t.Errorf("the request under way = %d, close %v; want 302 and Connection: close", resp.StatusCode(), resp.ConnectionClose())
	}
	if err := <-drained; err != nil {
		t.Errorf("Drain = %v", err)
	}
}

func TestDrainDelaySaysConnectionClose(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.DrainDelay = time.Hour })
	addr, _ := f.serve(t)
	c := dial(t, addr)
	exchange(t, c, getABC)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	drained := make(chan error, 1)
	go func() { drained <- f.Drain(ctx) }()
	waitFor(t, func() bool { return !f.Ready() })
	if resp := exchange(t, c, getABC); resp.StatusCode() != 302 || !resp.ConnectionClose() {
		t.Errorf("a request in the delay = %d, close %v; want 302 and Connection: close", resp.StatusCode(), resp.ConnectionClose())
	}
	if resp := exchange(t, dial(t, addr), getABC); resp.StatusCode() != 302 {
		t.Errorf("a new connection in the delay = %d, want 302", resp.StatusCode())
	}
	cancel()
	<-drained
}

func TestDrainCutsOffAtItsTimeout(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.DrainTimeout = 50 * time.Millisecond })
	entered, goOn := make(chan struct{}), make(chan struct{})
	f.resolver.loaded = func() { close(entered); <-goOn }
	addr, _ := f.serve(t)
	c := dial(t, addr)
	if _, err := io.WriteString(c, "GET /cold HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-entered
	err := f.Drain(t.Context())
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 connections") {
		t.Errorf("Drain = %v, want the deadline and one connection cut off", err)
	}
	closedByPeer(t, c)
	close(goOn)
	waitFor(t, func() bool { return f.Stats().Connections == 0 })
}

func TestServeEndsWithItsContext(t *testing.T) {
	f := newFixture(t, nil)
	lns, err := f.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Serve(ctx, lns...); err != nil {
		t.Errorf("Serve = %v, want nil", err)
	}
	if err := f.Serve(t.Context(), lns...); err == nil {
		t.Error("Serve after the end = nil, want an error")
	}
	if err := f.Serve(t.Context()); err == nil {
		t.Error("Serve without a listener = nil, want an error")
	}
}

func TestServeTellsAFailedListener(t *testing.T) {
	f := newFixture(t, nil)
	broken := errors.New("broken")
	if err := f.Serve(t.Context(), &scriptedListener{errs: []error{broken}, closed: make(chan struct{})}); !errors.Is(err, broken) {
		t.Errorf("Serve = %v, want the listener's error", err)
	}
}

// waitFor polls for what another goroutine is about to do.
func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	timeout := time.After(10 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatal("waited in vain")
		}
	}
}
