package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/carom-dev/carom/actors"
	"github.com/carom-dev/carom/edge"
	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/journal"
	"github.com/carom-dev/carom/persistence/sqlite"
)

// hits is a client on one connection to a server of the real parts: each hit reads the published table, records its click in a
// mapped journal, and writes the response to a socket. Clicks are stored when it is over, so that no storing is in the figures.
type hits struct {
	conn    net.Conn
	journal *journal.Journal
	request []byte
	answer  []byte // of one hit; all have the same length
	spans   *countedSpans
}

// countedSpans is a tracer that is on, and counts.
type countedSpans struct {
	engine.NoTracer
	started atomic.Int64
}

func (s *countedSpans) Start(ctx context.Context, name string) (context.Context, engine.Span) {
	s.started.Add(1)
	return s.NoTracer.Start(ctx, name)
}

const hitRequest = "GET /hit HTTP/1.1\r\nHost: sho.rt\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\n" +
	"Referer: https://news.example.com/an/article\r\nX-Request-ID: 0123456789abcdef\r\n\r\n"

// heldStore takes no clicks before it is let go.
type heldStore struct {
	engine.ClickStore
	let <-chan struct{}
}

func (s heldStore) WriteClicks(ctx context.Context, b *engine.ClickBatch) error {
	select {
	case <-s.let:
	case <-ctx.Done():
		return ctx.Err()
	}
	return s.ClickStore.WriteClicks(ctx, b)
}

// hitTarget is where the link of the hits leads.
const hitTarget = "https://example.com/where/it/leads"

// startParts puts the real parts together. stop ends them; it stores the clicks that were held back.
func startParts(tb testing.TB, tracer engine.Tracer) (server *edge.Server, clicks *journal.Journal, stop func()) {
	tb.Helper()
	must := func(err error) {
		if err != nil {
			tb.Fatal(err)
		}
	}
	ctx, dir := context.Background(), tb.TempDir()
	store, err := sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(dir, storeFile)})
	must(err)
	link := engine.Link{Domain: engine.DefaultDomain, Code: "hit", Target: hitTarget, Active: true, RedirectStatus: 302}
	_, _, err = store.CreateLink(ctx, link, engine.Author{At: time.Now()}, nil)
	must(err)
	clicks, err = journal.Open(journal.Config{Dir: filepath.Join(dir, journalDir)})
	must(err)
	let := make(chan struct{})
	acting, err := actors.New(actors.Config{
		Links: store, Clicks: heldStore{store, let}, Journal: clicks, SetAside: func(engine.Click, error) error { return nil },
		Logger: slog.New(slog.DiscardHandler),
	})
	must(err)
	acting.Start(ctx)
	server, err = edge.New(edge.Config{Resolver: acting, Clicks: clicks, Visitors: acting, Tracer: tracer})
	must(err)
	return server, clicks, func() {
		close(let)
		must(acting.Stop(ctx))
		must(clicks.Close())
		must(store.Close())
	}
}

func startHits(tb testing.TB) *hits {
	tb.Helper()
	must := func(err error) {
		if err != nil {
			tb.Fatal(err)
		}
	}
	ctx := context.Background()
	spans := &countedSpans{}
	server, clicks, stop := startParts(tb, spans)
	listeners, err := server.Listen(ctx, "127.0.0.1:0")
	must(err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, listeners...) }()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", listeners[0].Addr().String())
	must(err)
	tb.Cleanup(func() {
		must(conn.Close())
		must(server.Drain(ctx))
		must(<-served)
		stop()
	})
	h := &hits{conn: conn, journal: clicks, request: []byte(hitRequest), spans: spans}
	// The first one loads the link; its answer has the length of all others.
	_, err = conn.Write(h.request)
	must(err)
	buf := make([]byte, 4096)
	n := 0
	for !bytes.Contains(buf[:n], []byte("\r\n\r\n")) {
		more, err := conn.Read(buf[n:])
		must(err)
		n += more
	}
	h.answer = buf[:n]
	if !bytes.HasPrefix(h.answer, []byte("HTTP/1.1 302 ")) || !bytes.Contains(h.answer, []byte("Location: "+hitTarget+"\r\n")) {
		tb.Fatalf("a hit is answered with %q", h.answer)
	}
	return h
}

func (h *hits) hit(tb testing.TB) {
	if _, err := h.conn.Write(h.request); err != nil {
		tb.Fatal(err)
	}
	if _, err := io.ReadFull(h.conn, h.answer); err != nil {
		tb.Fatal(err)
	}
}
