package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/postgres"
	"github.com/carom-dev/carom/persistence/testservices"
)

const node engine.NodeID = "00112233445566778899aabbccddeeff"

// clicksOf makes n clicks whose visitors are numbered from first, over ten links.
func clicksOf(first, n int) []engine.Click {
	at := time.Now().UnixMicro()
	clicks := make([]engine.Click, n)
	for i := range clicks {
		id := first + i
		clicks[i] = engine.Click{
			At: at, Link: engine.LinkID(1 + id%10), Visitor: uint64(id), Status: 302, Address: engine.TruncatedAddr{4, 192, 0, 2},
			UserAgent: []byte("agent"), Referrer: []byte("https://example.com/"),
		}
	}
	return clicks
}

// drainer is what the writer actor does, in short: after an error it asks for the checkpoint and goes on from there.
type drainer struct {
	store  *postgres.Store
	node   engine.NodeID
	stored int // as far as the drainer knows
	errors int
}

// batch makes the batch of clicks from the drainer's position; positions count clicks.
func (d *drainer) batch(n int) *engine.ClickBatch {
	return &engine.ClickBatch{
		Node: d.node, Moves: []engine.LaneMove{{Lane: 3, From: engine.Position(d.stored), To: engine.Position(d.stored + n)}}, Clicks: clicksOf(d.stored, n),
	}
}

// step writes one batch, and on an error asks until it knows where it stands.
func (d *drainer) step(ctx context.Context, n int) error {
	err := d.store.WriteClicks(ctx, d.batch(n))
	if err == nil {
		d.stored += n
		return nil
	}
	if errors.Is(err, engine.ErrFenced) {
		return fmt.Errorf("at %d: %w", d.stored, err)
	}
	d.errors++
	return d.ask(ctx)
}

func (d *drainer) ask(ctx context.Context) error {
	for {
		lanes, err := d.store.Checkpoints(ctx, d.node)
		if err == nil {
			d.stored = int(lanes[3])
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
	}
}

func connect(tb testing.TB, url string) *pgx.Conn {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), url)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close(context.Background()) }) // some tests end the server before
	return conn
}

// wantStoredOnce wants the clicks 0 to n-1 once each, everywhere they are counted.
func wantStoredOnce(t *testing.T, url string, n int) {
	t.Helper()
	var rows, distinct, highest, counter, hours, totals, rollups, checkpoints int
	err := connect(t, url).QueryRow(t.Context(), `SELECT (SELECT count(*) FROM clicks), (SELECT count(DISTINCT visitor) FROM clicks),
		(SELECT coalesce(max(id), 0) FROM clicks), (SELECT value FROM counters WHERE name = 'clicks'),
		(SELECT coalesce(sum(clicks), 0)::bigint FROM click_hours), (SELECT coalesce(sum(clicks), 0)::bigint FROM link_totals), (SELECT coalesce(sum(clicks), 0)::bigint FROM click_rollups),
		(SELECT coalesce(sum(position), 0)::bigint FROM journal_checkpoints)`).Scan(&rows, &distinct, &highest, &counter, &hours, &totals, &rollups, &checkpoints)
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]int{
		"rows": rows, "distinct clicks": distinct, "highest id": highest, "counter": counter, "hours": hours, "totals": totals, "rollups": rollups, "checkpoints": checkpoints,
	} {
		if got != n {
			t.Errorf("%s = %d, want %d", name, got, n)
		}
	}
}

func TestConnectionsKilledAtRandomStoreClicksOnce(t *testing.T) {
	t.Parallel()
	for name, early := range map[string]bool{"rollups in the batch": false, "rollups folded later": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := database(t)
			s := open(t, postgres.Config{URL: url})
			if early {
				s.FoldEarly()
			}
			killAtRandom(t, s, url)
		})
	}
}

// killAtRandom kills the server's sessions while a store writes; url leads to the server itself.
func killAtRandom(t *testing.T, s *postgres.Store, url string) {
	t.Helper()
	d := &drainer{store: s, node: node}
	killer := connect(t, services.Database(t, "", nil)) // another database, so that it does not kill itself
	target, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var killing sync.WaitGroup
	kills := 0
	killing.Go(func() {
		defer cancel()
		random := rand.New(rand.NewPCG(1, 2))
		for kills < 150 {
			var killed int
			if err := killer.QueryRow(context.Background(), "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1 AND state <> 'idle'",
				target.Database).Scan(&killed); err != nil {
				t.Error(err)
				return
			}
			kills += killed
			<-time.After(time.Duration(random.IntN(4000)) * time.Microsecond) // spreads the kills over all phases of a batch
		}
	})
	for ctx.Err() == nil {
		if err := d.step(t.Context(), 50+d.stored%200); err != nil {
			t.Fatal(err)
		}
	}
	killing.Wait()
	if err := d.step(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if d.errors == 0 {
		t.Error("no batch failed, so nothing was proved")
	}
	t.Logf("%d kills, %d batches failed, %d clicks stored", kills, d.errors, d.stored)
	if err := s.MaintainPartitions(t.Context(), time.Now()); err != nil { // folds what waits
		t.Fatal(err)
	}
	wantStoredOnce(t, url, d.stored)
}

// blocked holds the counter of the clicks until release, and waits until a batch waits for it.
func blocked(t *testing.T, url string, write func()) (release func(), done <-chan struct{}) {
	t.Helper()
	blocker := connect(t, url)
	tx, err := blocker.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "UPDATE counters SET value = value WHERE name = 'clicks'"); err != nil {
		t.Fatal(err)
	}
	finished := make(chan struct{})
	go func() { defer close(finished); write() }()
	watcher := connect(t, url)
	for waiting := 0; waiting == 0; {
		err := watcher.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
	}
	return func() { _ = tx.Rollback(context.Background()) }, finished // the server may be gone by then
}

func TestServerThatRestartsInTheMiddleOfABatchStoresItOnce(t *testing.T) {
	t.Parallel()
	for name, outage := range map[string]func(*testservices.Postgres) error{
		"restarted in order": func(pg *testservices.Postgres) error { return pg.Restart() },
		"killed":             func(pg *testservices.Postgres) error { pg.Kill(); return pg.Start() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pg, err := testservices.StartPostgres(testservices.PostgresConfig{Durable: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := pg.Close(); err != nil {
					t.Error(err)
				}
			})
			url := pg.URL("postgres")
			s := open(t, postgres.Config{URL: url})
			if err := s.Prepare(t.Context()); err != nil {
				t.Fatal(err)
			}
			d := &drainer{store: s, node: node}
			if err := d.step(t.Context(), 100); err != nil {
				t.Fatal(err)
			}
			var failure error
			release, done := blocked(t, url, func() { failure = s.WriteClicks(t.Context(), d.batch(1000)) })
			if err := outage(pg); err != nil {
				t.Fatal(err)
			}
			<-done
			release()
			if failure == nil || errors.Is(failure, engine.ErrFenced) {
				t.Fatalf("WriteClicks over an outage = %v, want a plain error", failure)
			}
			if err := d.ask(t.Context()); err != nil || d.stored != 100 {
				t.Fatalf("Checkpoints = %d, %v, want the batch rolled back, at 100", d.stored, err)
			}
			if err := d.step(t.Context(), 1000); err != nil {
				t.Fatal(err)
			}
			wantStoredOnce(t, url, 1100)
		})
	}
}

// TestAWriterThatStandsStillIsNotWaitedFor loses a writer's host in the middle of a COPY, so that the server waits for the rest of it and holds
// what the others' batches need. They go on, and the lost batch is stored once when its writer is back.
func TestAWriterThatStandsStillIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	const large, small = 5000, 10
	url := database(t)
	target, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := testservices.StartProxy(fmt.Sprintf("%s:%d", target.Host, target.Port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	through, err := proxy.URL(url)
	if err != nil {
		t.Fatal(err)
	}
	lost := &drainer{store: open(t, postgres.Config{URL: through, WriteTimeout: 5 * time.Minute}), node: node}
	other := &drainer{store: open(t, postgres.Config{URL: url, WriteTimeout: time.Second}), node: "00112233445566778899aabbccddeef0"}
	batch := lost.batch(large)
	for i := range batch.Clicks {
		batch.Clicks[i].UserAgent = bytes.Repeat([]byte("a"), 2000)
	}
	if err := proxy.Narrow(500); err != nil { // the batch is on its way for 20 seconds, so it is met there
		t.Fatal(err)
	}
	var failure error
	done := make(chan struct{})
	go func() { defer close(done); failure = lost.store.WriteClicks(t.Context(), batch) }()
	watcher := connect(t, url)
	for reading := 0; reading == 0; {
		err := watcher.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND query LIKE 'COPY clicks (%' AND state = 'active' AND wait_event = 'ClientRead'`).Scan(&reading)
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := proxy.Blackhole(); err != nil {
		t.Fatal(err)
	}
	bystanders := startBystanders(t, url)
	for other.stored == 0 {
		if err := other.step(t.Context(), small); err != nil {
			t.Fatal(err)
		}
		if other.errors > 5 {
			t.Fatal("the other writer waits for the one that stands still")
		}
	}
	if other.errors == 0 {
		t.Error("the other writer did not have to wait, so the test shows nothing")
	}
	for name, goesOn := range bystanders {
		if err := goesOn(); err != nil {
			t.Errorf("%s was ended, too: %v", name, err)
		}
	}
	proxy.Heal(t.Context())
	<-done
	if failure == nil || errors.Is(failure, engine.ErrFenced) {
		t.Fatalf("WriteClicks whose session was ended = %v, want a plain error", failure)
	}
	if err := lost.ask(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := lost.step(t.Context(), large); err != nil {
		t.Fatal(err)
	}
	var rows int
	if err := watcher.QueryRow(t.Context(), "SELECT count(*) FROM clicks").Scan(&rows); err != nil || rows != lost.stored+other.stored || lost.stored != large {
		t.Errorf("%d rows (%v) of %d and %d clicks", rows, err, lost.stored, other.stored)
	}
}

// startBystanders opens sessions of the same role that have to do with a COPY of clicks and are in nobody's way, and returns what each does to
// go on.
func startBystanders(t *testing.T, url string) map[string]func() error {
	t.Helper()
	const nothing = "COPY clicks (id, link_id, at, visitor, status, flags, address) FROM STDIN"
	idle := connect(t, url)
	if _, err := idle.PgConn().CopyFrom(t.Context(), strings.NewReader(""), nothing); err != nil {
		t.Fatal(err)
	}
	elsewhere := connect(t, database(t))
	rest, writer := io.Pipe()
	copied := make(chan error, 1)
	go func() {
		_, err := elsewhere.PgConn().CopyFrom(t.Context(), rest, nothing)
		copied <- err
	}()
	return map[string]func() error{
		"a session that has copied": func() error { return idle.Ping(t.Context()) },
		"a writer to another database": func() error {
			writer.Close()
			return <-copied
		},
	}
}

// TestLookUpsDoNotWaitBehindSearches has more searches under way than there are connections.
func TestLookUpsDoNotWaitBehindSearches(t *testing.T) {
	t.Parallel()
	url := database(t)
	s := open(t, postgres.Config{URL: url, PoolMax: 2})
	holder := connect(t, url)
	tx, err := holder.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "LOCK TABLE link_totals"); err != nil { // which look-ups don't need
		t.Fatal(err)
	}
	var searches sync.WaitGroup
	for range 4 {
		searches.Go(func() {
			_, _ = s.ListLinks(t.Context(), engine.LinkQuery{Domain: engine.DefaultDomain, Sort: engine.SortNewest, Limit: 10})
		})
	}
	watcher := connect(t, url)
	for waiting := 0; waiting == 0; {
		err := watcher.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if _, err := s.LoadLinks(t.Context(), []engine.Key{{Domain: engine.DefaultDomain, Code: "abc"}}); err != nil {
			t.Errorf("LoadLinks beside searches = %v", err)
		}
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	searches.Wait()
}

func TestBlackHoleInTheMiddleOfABatch(t *testing.T) {
	t.Parallel()
	url := database(t)
	target, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := testservices.StartProxy(fmt.Sprintf("%s:%d", target.Host, target.Port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	proxied, err := proxy.URL(url)
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, postgres.Config{URL: proxied, WriteTimeout: 700 * time.Millisecond, QueryTimeout: 300 * time.Millisecond})
	d := &drainer{store: s, node: node}
	if err := d.step(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
	var failure error
	release, done := blocked(t, url, func() { failure = s.WriteClicks(t.Context(), d.batch(100)) })
	if err := proxy.Blackhole(); err != nil {
		t.Fatal(err)
	}
	<-done
	if !errors.Is(failure, context.DeadlineExceeded) {
		t.Errorf("WriteClicks into a black hole = %v, want its deadline", failure)
	}
	if err := s.Ping(t.Context()); err == nil {
		t.Error("Ping into a black hole = nil, want an error")
	}
	release()
	// Another instance goes on, although nobody told the server that the first one is gone.
	other := &drainer{store: open(t, postgres.Config{URL: url}), node: "ffeeddccbbaa99887766554433221100"}
	if err := other.store.WriteClicks(t.Context(), &engine.ClickBatch{
		Node: other.node, Moves: []engine.LaneMove{{Lane: 0, From: 0, To: 5}}, Clicks: clicksOf(1_000_000, 5),
	}); err != nil {
		t.Errorf("WriteClicks of another instance = %v", err)
	}
	proxy.Heal(t.Context())
	if err := d.ask(t.Context()); err != nil || d.stored != 10 {
		t.Fatalf("Checkpoints after the black hole = %d, %v, want 10", d.stored, err)
	}
	if err := d.step(t.Context(), 100); err != nil || d.stored != 110 {
		t.Fatalf("position = %d, %v, want 110", d.stored, err)
	}
	wantStoredOnce(t, url, 115)
}

func TestReadsSurviveTheDeathOfAllPooledConnections(t *testing.T) {
	t.Parallel()
	url := database(t)
	const readers = 8
	s := open(t, postgres.Config{URL: url, PoolMax: readers})
	if _, _, err := s.CreateLink(t.Context(), aLink("abc"), engine.Author{}, nil); err != nil {
		t.Fatal(err)
	}
	killer := connect(t, url)
	for range 5 {
		var reading sync.WaitGroup
		for range readers { // fills the pool, and then meets it dead
			reading.Go(func() {
				links, err := s.LoadLinks(t.Context(), []engine.Key{{Domain: engine.DefaultDomain, Code: "abc"}})
				if err != nil || len(links) != 1 {
					t.Errorf("LoadLinks = %v, %v, want the link", links, err)
				}
			})
		}
		reading.Wait()
		if _, err := killer.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'carom'"); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.CreateLink(t.Context(), aLink(fmt.Sprint("n", rand.Uint32())), engine.Author{}, nil); err != nil {
			t.Errorf("CreateLink on a dead connection = %v, want it done on another", err)
		}
	}
}

func aLink(code string) engine.Link {
	return engine.Link{Domain: engine.DefaultDomain, Code: code, Target: "https://example.com/" + code, Active: true, RedirectStatus: 302}
}
