package main

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/carom-dev/carom/actors"
	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/journal"
	"github.com/carom-dev/carom/persistence/postgres"
	"github.com/carom-dev/carom/persistence/testservices"
)

// BenchmarkColdLinks looks codes up that were never seen before, 128 visitors at once, from a real Postgres: through the shards and
// their batched loads, and beside it with a query for each visitor. Excluded: HTTP, and storing the links.
func BenchmarkColdLinks(b *testing.B) {
	ctx := b.Context()
	server, err := testservices.StartPostgres(testservices.PostgresConfig{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = server.Close() })
	store, err := postgres.Open(ctx, postgres.Config{URL: server.URL("postgres")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	if err := store.Prepare(ctx); err != nil {
		b.Fatal(err)
	}
	const links = 100_000
	code := func(i int64) string { return fmt.Sprintf("cold%d", i%links) }
	for at := 0; at < links; at += 5000 {
		batch := make([]engine.Link, 5000)
		for i := range batch {
			batch[i] = engine.Link{Domain: engine.DefaultDomain, Code: code(int64(at + i)), Target: "https://example.com/", Active: true, RedirectStatus: 302}
		}
		if _, err := store.ImportLinks(ctx, batch, engine.ConflictSkip, engine.Author{At: time.Now()}); err != nil {
			b.Fatal(err)
		}
	}
	const visitors = 64 // for each processor

	b.Run("batched", func(b *testing.B) {
		clicks, err := journal.Open(journal.Config{Dir: b.TempDir(), Lanes: 16, BytesMax: 64 << 20})
		if err != nil {
			b.Fatal(err)
		}
		defer clicks.Close()
		a, err := actors.New(actors.Config{
			Links: store, Clicks: store, Journal: clicks, SetAside: func(engine.Click, error) error { return nil },
			LookupTimeout: time.Second, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			b.Fatal(err)
		}
		a.Start(ctx)
		var next atomic.Int64
		b.SetParallelism(visitors)
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				now, key := time.Now().UnixMicro(), []byte(code(next.Add(1)))
				res, ok := a.Lookup(engine.DefaultDomain, key, now, engine.VisitCounted)
				if !ok {
					res = a.Load(res, engine.DefaultDomain, key, now, engine.VisitCounted)
				}
				if res.Outcome != engine.OutcomeRedirect {
					b.Errorf("%s is %v", key, res.Outcome)
				}
			}
		})
		b.StopTimer()
		if b.N > links {
			b.Logf("%d look-ups of %d codes: the rest was not cold", b.N, links)
		}
		if err := a.Stop(ctx); err != nil {
			b.Error(err)
		}
	})
	b.Run("query-a-visitor", func(b *testing.B) {
		var next atomic.Int64
		b.SetParallelism(visitors)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				found, err := store.LoadLinks(ctx, []engine.Key{{Domain: engine.DefaultDomain, Code: code(next.Add(1))}})
				if err != nil || len(found) != 1 {
					b.Errorf("%d links, %v", len(found), err)
				}
			}
		})
	})
}
