package faults_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	// goroutinesMax is several times what an instance has under this load, and far below one a request.
	goroutinesMax = 300
	// connectionsMax is the pools of look-ups and of the writer, and what is being closed or replaced.
	connectionsMax = 10 + 2 + 4
)

// bounds looks at an instance all the time, for what must not grow.
type bounds struct {
	quit chan struct{}
	said chan error
	t    *testing.T
}

// watchBounds begins to look at an instance's goroutines and at its connections to addr.
func watchBounds(t *testing.T, i *instance, addr string) *bounds {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	w := &bounds{quit: make(chan struct{}), said: make(chan error, 1), t: t}
	ctx := t.Context()
	go func() { w.said <- watch(ctx, t, i, port, w.quit) }()
	return w
}

// stop ends it and checks what was seen.
func (w *bounds) stop() {
	w.t.Helper()
	close(w.quit)
	if err := <-w.said; err != nil {
		w.t.Error(err)
	}
}

func watch(ctx context.Context, t *testing.T, i *instance, port string, quit <-chan struct{}) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	goroutines, conns := 0.0, 0
	for {
		n, err := i.api.Metric(ctx, "go_goroutines")
		if err != nil {
			return err
		}
		c, err := connections(port)
		if err != nil {
			return err
		}
		goroutines, conns = max(goroutines, n), max(conns, c)
		select {
		case <-tick.C:
			continue
		case <-quit:
		}
		t.Logf("at most %v goroutines and %d connections", goroutines, conns)
		if goroutines > goroutinesMax || conns > connectionsMax || conns == 0 {
			return fmt.Errorf("%v goroutines and %d connections, want at most %d and %d", goroutines, conns, goroutinesMax, connectionsMax)
		}
		return nil
	}
}

// connections counts the established connections of this machine to a port (Linux).
func connections(port string) (int, error) {
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("read port: %w", err)
	}
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return 0, fmt.Errorf("count connections: %w", err)
	}
	const established = "01"
	n, remote := 0, fmt.Sprintf(":%04X", number)
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line) // number, local, remote, state
		if len(fields) > 3 && strings.HasSuffix(fields[2], remote) && fields[3] == established {
			n++
		}
	}
	return n, nil
}
