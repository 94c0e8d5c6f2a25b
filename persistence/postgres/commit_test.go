package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/postgres"
)

// commitCutter is a proxy that, when armed, cuts the connection on which the next COMMIT was answered, instead of passing the
// answer on: the transaction is done and nobody knows.
type commitCutter struct {
	listener net.Listener
	server   string
	armed    atomic.Bool
	cuts     atomic.Int64
}

func startCommitCutter(t *testing.T, url string) (*commitCutter, string) {
	t.Helper()
	target, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	var listen net.ListenConfig
	l, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &commitCutter{listener: l, server: fmt.Sprintf("%s:%d", target.Host, target.Port)}
	go c.accept()
	t.Cleanup(func() { l.Close() })
	return c, fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", target.User, l.Addr(), target.Database)
}

func (c *commitCutter) accept() {
	for {
		client, err := c.listener.Accept()
		if err != nil {
			return
		}
		var dialer net.Dialer
		server, err := dialer.DialContext(context.Background(), "tcp", c.server)
		if err != nil {
			client.Close()
			continue
		}
		var cut atomic.Bool
		end := func() { client.Close(); server.Close() }
		go func() {
			defer end()
			buf := make([]byte, 64<<10)
			for {
				n, err := client.Read(buf)
				if bytes.Contains(bytes.ToUpper(buf[:n]), []byte("COMMIT\x00")) && c.armed.CompareAndSwap(true, false) {
					cut.Store(true)
				}
				if _, werr := server.Write(buf[:n]); err != nil || werr != nil {
					return
				}
			}
		}()
		go func() {
			defer end()
			buf := make([]byte, 64<<10)
			for {
				n, err := server.Read(buf)
				if cut.Load() && n > 0 {
					c.cuts.Add(1)
					return
				}
				if _, werr := client.Write(buf[:n]); err != nil || werr != nil {
					return
				}
			}
		}()
	}
}

func TestBatchWhoseCommitAnswerIsCutIsStoredOnce(t *testing.T) {
	t.Parallel()
	url := database(t)
	cutter, proxied := startCommitCutter(t, url)
	s := open(t, postgres.Config{URL: proxied})
	d := &drainer{store: s, node: node}
	for i := range 20 {
		cutter.armed.Store(i%2 == 0)
		if err := d.step(t.Context(), 30); err != nil {
			t.Fatal(err)
		}
		// Whether the answer came or not, the batch is there and is not written again.
		if want := 30 * (i + 1); d.stored != want {
			t.Fatalf("position after %d batches = %d, want %d", i+1, d.stored, want)
		}
	}
	if d.errors != 10 || cutter.cuts.Load() != 10 {
		t.Errorf("%d batches failed and %d answers were cut, want 10 of each", d.errors, cutter.cuts.Load())
	}
	wantStoredOnce(t, url, 600)
}

func TestEditWhoseCommitAnswerIsCutIsNotRepeated(t *testing.T) {
	t.Parallel()
	url := database(t)
	cutter, proxied := startCommitCutter(t, url)
	s := open(t, postgres.Config{URL: proxied})
	l, _, err := s.CreateLink(t.Context(), aLink("abc"), engine.Author{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	edits := 0
	cutter.armed.Store(true)
	_, _, err = s.UpdateLink(t.Context(), l.ID, engine.ActionUpdated, engine.Author{}, func(l *engine.Link) error {
		edits++
		l.Title += "x"
		return nil
	})
	if _, isEngine := errors.AsType[*engine.Error](err); err == nil || isEngine {
		t.Errorf("UpdateLink without an answer = %v, want a plain error", err)
	}
	got, err := s.Link(t.Context(), l.ID)
	if err != nil || got.Title != "x" || got.Version != 2 || edits != 1 {
		t.Errorf("link = %+v, %v after %d edits, want the edit once", got, err, edits)
	}
}
