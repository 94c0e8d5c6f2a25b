package redis

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/testservices"
)

var (
	services testservices.Shared
	prefixes atomic.Int64
)

func TestMain(m *testing.M) { os.Exit(services.Run(m)) }

// patience is how long a test waits for what must happen; only a broken test waits so long.
const patience = 20 * time.Second

// prefix is one test's own: tests share the server.
func prefix() string { return fmt.Sprintf("test-%d-%d", os.Getpid(), prefixes.Add(1)) }

func openBus(t *testing.T, cfg Config) *Bus {
	t.Helper()
	b, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	return b
}

// ear is a Listen under way and what it heard.
type ear struct {
	t     *testing.T
	heard chan engine.BusMessage
}

// listen starts a Listen that ends with the test, and waits for its end.
func listen(t *testing.T, b *Bus, node engine.NodeID) *ear {
	t.Helper()
	e := &ear{t, make(chan engine.BusMessage, 10000)}
	ctx := t.Context() // ends just before the cleanups
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.Listen(ctx, node, func(m engine.BusMessage) { e.heard <- m })
	}()
	t.Cleanup(func() { <-done })
	return e
}

// any is the next message.
func (e *ear) any() engine.BusMessage {
	e.t.Helper()
	select {
	case m := <-e.heard:
		return m
	case <-time.After(patience):
		e.t.Fatal("no message")
		return engine.BusMessage{}
	}
}

// next is the next message of a kind; others before it are passed over.
func (e *ear) next(kind engine.BusKind) engine.BusMessage {
	e.t.Helper()
	for {
		if m := e.any(); m.Kind == kind {
			return m
		}
	}
}

// publishUntil publishes heartbeats until e hears one with this sequence, as a server that is back is not believed at once.
func publishUntil(t *testing.T, b *Bus, sequence uint64, e *ear) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	var last error
	for {
		last = b.Publish(t.Context(), []engine.BusMessage{{Kind: engine.BusHeartbeat, From: "until", Sequence: sequence}})
		for {
			select {
			case m := <-e.heard:
				if m.Kind == engine.BusHeartbeat && m.Sequence == sequence {
					return
				}
				continue
			case <-tick.C:
			case <-deadline:
				t.Fatalf("heartbeat %d did not arrive; last Publish = %v", sequence, last)
			}
			break
		}
	}
}

func heartbeat(from engine.NodeID, sequence uint64) []engine.BusMessage {
	return []engine.BusMessage{{Kind: engine.BusHeartbeat, From: from, Sequence: sequence}}
}
