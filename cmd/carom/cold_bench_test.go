package main

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/carom-dev/carom/actors"
	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/journal"
	"github.com/carom-dev/carom/persistence/postgres"
	"github.com/carom-dev/carom/persistence/testservices"
)

const (
	coldLinks = 100_000
	coldPool  = 10 // connections for either way: the store's default
)

// BenchmarkColdLinks looks codes up that were never seen before, from a real Postgres: through the shards and their batched loads, and in turn
// with that by a query for each visitor, which is all that a plain server would do, over a pool of the same size. Excluded: HTTP, and
// storing the links. For each way the medians of its turns: microseconds a code, and processor time a code, Postgres' included; "x" and
// "cpu-x" are how many times the batched way is better.
func BenchmarkColdLinks(b *testing.B) {
	c := newColdBench(b)
	for _, visitors := range []int{2000, 500, 128, 16, 1} {
		b.Run(fmt.Sprintf("%d at once", visitors), func(b *testing.B) {
			const turn = 5000
			var batched, plain coldTurns
			var a *actors.Actors
			var loads actors.LoaderStats
			first := coldLinks
			for b.Loop() {
				if first == coldLinks { // all were seen: others, who know none
					a, first = c.startActors(b), 0
				}
				codes := c.codes[first : first+turn]
				first += turn
				batched.add(c.measure(b, visitors, codes, func(code []byte) error { return resolve(a, code) }))
				loads = a.Stats().Loader
				plain.add(c.measure(b, visitors, codes, func(code []byte) error { return queryTarget(b.Context(), c.pool, string(code)) }))
			}
			b.ReportMetric(batched.wall(), "batched-us")
			b.ReportMetric(plain.wall(), "plain-us")
			b.ReportMetric(plain.wall()/batched.wall(), "x")
			b.ReportMetric(batched.cpu(), "batched-cpu-us")
			b.ReportMetric(batched.server(), "batched-pg-us")
			b.ReportMetric(plain.cpu(), "plain-cpu-us")
			b.ReportMetric(plain.server(), "plain-pg-us")
			b.ReportMetric(plain.cpu()/batched.cpu(), "cpu-x")
			b.ReportMetric(float64(loads.Keys)/float64(loads.Queries), "codes/query")
		})
	}
}

// resolve is what the edge does with a code.
func resolve(a *actors.Actors, code []byte) error {
	now := time.Now().UnixMicro()
	res, ok := a.Lookup(engine.DefaultDomain, code, now, engine.VisitCounted)
	if !ok {
		res = a.Load(res, engine.DefaultDomain, code, now, engine.VisitCounted)
	}
	if res.Outcome != engine.OutcomeRedirect {
		return fmt.Errorf("%s is %v", code, res.Outcome)
	}
	return nil
}

// queryTarget is what a server without tables and batches would do with a code.
func queryTarget(ctx context.Context, pool *testservices.Direct, code string) error {
	var id, version int64
	var target string
	var active, forward bool
	var status int32
	var since, until *time.Time
	var visits *int64
	return pool.QueryRow(ctx, `SELECT id, target, active, redirect_status, valid_since, valid_until, max_visits, forward_query, version
		FROM links WHERE domain_id = $1 AND code = $2`, []any{int32(engine.DefaultDomain), code},
		&id, &target, &active, &status, &since, &until, &visits, &forward, &version)
}

// coldBench is a database with links, and both ways to them.
type coldBench struct {
	server *testservices.Postgres
	store  *postgres.Store
	pool   *testservices.Direct
	codes  [][]byte
}

func newColdBench(b *testing.B) *coldBench {
	b.Helper()
	ctx := b.Context()
	c := &coldBench{}
	var err error
	if c.server, err = testservices.StartPostgres(testservices.PostgresConfig{}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.server.Close() })
	if c.store, err = postgres.Open(ctx, postgres.Config{URL: c.server.URL("postgres"), PoolMax: coldPool}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.store.Close() })
	if err := c.store.Prepare(ctx); err != nil {
		b.Fatal(err)
	}
	if c.pool, err = c.server.Direct(ctx, "postgres", coldPool); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.pool.Close)
	batch := make([]engine.Link, 0, 5000)
	for i := range coldLinks {
		code := fmt.Sprintf("cold%d", i*7919%coldLinks) // 7919 is prime to the number of links: not in the order of the rows
		c.codes = append(c.codes, []byte(code))
		batch = append(batch, engine.Link{
			Domain: engine.DefaultDomain, Code: fmt.Sprintf("cold%d", i), Target: fmt.Sprint("https://example.com/articles/", i), Active: true, RedirectStatus: 302,
		})
		if len(batch) < cap(batch) {
			continue
		}
		if _, err := c.store.ImportLinks(ctx, batch, engine.ConflictSkip, engine.Author{At: time.Now()}); err != nil {
			b.Fatal(err)
		}
		batch = batch[:0]
	}
	if err := c.pool.Exec(ctx, "VACUUM ANALYZE"); err != nil {
		b.Fatal(err)
	}
	return c
}

// startActors starts actors that know no link yet.
func (c *coldBench) startActors(b *testing.B) *actors.Actors {
	b.Helper()
	clicks, err := journal.Open(journal.Config{Dir: b.TempDir(), Lanes: 16, BytesMax: 64 << 20})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = clicks.Close() })
	a, err := actors.New(actors.Config{
		Links: c.store, Clicks: c.store, Journal: clicks, SetAside: func(engine.Click, error) error { return nil },
		LookupTimeout: time.Second, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	a.Start(b.Context())
	b.Cleanup(func() {
		if err := a.Stop(context.WithoutCancel(b.Context())); err != nil {
			b.Error(err)
		}
	})
	return a
}

// measure has visitors look codes up, each the next one that nobody has yet.
func (c *coldBench) measure(b *testing.B, visitors int, codes [][]byte, look func(code []byte) error) coldTurn {
	b.Helper()
	runtime.GC()
	var next atomic.Int64
	var everyone sync.WaitGroup
	ownBefore, serverBefore, began := c.processorTime(b), c.serverTime(b), time.Now()
	for range visitors {
		everyone.Go(func() {
			for i := next.Add(1); i <= int64(len(codes)); i = next.Add(1) {
				if err := look(codes[i-1]); err != nil {
					b.Error(err)
				}
			}
		})
	}
	everyone.Wait()
	n := time.Duration(len(codes))
	t := coldTurn{wall: time.Since(began) / n, server: (c.serverTime(b) - serverBefore) / n}
	t.cpu = t.server + (c.processorTime(b)-ownBefore)/n
	return t
}

func (c *coldBench) serverTime(b *testing.B) time.Duration {
	b.Helper()
	took, err := c.server.CPU()
	if err != nil {
		b.Fatal(err)
	}
	return took
}

func (c *coldBench) processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// coldTurn is what a code took in one turn.
type coldTurn struct{ wall, cpu, server time.Duration }

type coldTurns []coldTurn

func (t *coldTurns) add(turn coldTurn) { *t = append(*t, turn) }

func (t coldTurns) wall() float64 { return t.median(func(t coldTurn) time.Duration { return t.wall }) }
func (t coldTurns) cpu() float64  { return t.median(func(t coldTurn) time.Duration { return t.cpu }) }
func (t coldTurns) server() float64 {
	return t.median(func(t coldTurn) time.Duration { return t.server })
}

// median is in microseconds.
func (t coldTurns) median(of func(coldTurn) time.Duration) float64 {
	all := make([]time.Duration, len(t))
	for i := range t {
		all[i] = of(t[i])
	}
	slices.Sort(all)
	return float64(all[len(all)/2]) / float64(time.Microsecond)
}
