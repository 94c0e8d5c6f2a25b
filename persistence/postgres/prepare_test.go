package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/postgres"
	"github.com/carom-dev/carom/persistence/testservices"
)

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	const url = "postgres://user@127.0.0.1:1/db"
	for name, c := range map[string]struct {
		cfg  postgres.Config
		want string // part of the message; "" for accepted
	}{
		"zero but for the URL": {postgres.Config{URL: url}, ""},
		"no URL":               {postgres.Config{}, "URL is empty"},
		"not a URL":            {postgres.Config{URL: "postgres://%"}, "URL is not accepted"},
		"password stays out":   {postgres.Config{URL: "postgres://u:hunter2@h:port/db"}, "URL is not accepted"},
		"pool too small":       {postgres.Config{URL: url, PoolMax: -1}, "PoolMax is -1"},
		"pool too large":       {postgres.Config{URL: url, PoolMax: 1001}, "PoolMax is 1001"},
		"query timeout":        {postgres.Config{URL: url, QueryTimeout: time.Millisecond}, "QueryTimeout is 1ms"},
		"write timeout":        {postgres.Config{URL: url, WriteTimeout: -time.Second}, "WriteTimeout is -1s"},
		"retention":            {postgres.Config{URL: url, ClickRetention: time.Hour}, "ClickRetention is 1h0m0s"},
		"simple protocol":      {postgres.Config{URL: url, ExecMode: "simple_protocol"}, "ExecMode is \"simple_protocol\""},
		"simple protocol in the URL": {
			postgres.Config{URL: url + "?default_query_exec_mode=simple_protocol"}, "cache_statement, cache_describe and exec are accepted",
		},
		"exec in the URL": {postgres.Config{URL: url + "?default_query_exec_mode=exec"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := postgres.Open(t.Context(), c.cfg)
			if s != nil {
				defer s.Close()
			}
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("Open = %v, want %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("Open = %v, which tells the password", err)
			}
		})
	}
}

func TestOpenDoesNotWaitForTheDatabase(t *testing.T) {
	t.Parallel()
	pg, err := testservices.StartPostgres(testservices.PostgresConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Close(); err != nil {
			t.Error(err)
		}
	})
	pg.Stop()
	s := open(t, postgres.Config{URL: pg.URL("postgres")})
	if err := s.Prepare(t.Context()); err == nil {
		t.Error("Prepare without a database = nil")
	}
	if _, err := s.LoadLinks(t.Context(), []engine.Key{{Domain: 1, Code: "abc"}}); err == nil {
		t.Error("LoadLinks without a database = nil; a code would count as missing")
	}
	if err := pg.Start(); err != nil {
		t.Fatal(err)
	}
	if err := s.Prepare(t.Context()); err != nil {
		t.Errorf("Prepare with the database back = %v", err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("Ping = %v", err)
	}
}

func TestDatabaseThatNeverAnswersIsAnErrorInTime(t *testing.T) {
	t.Parallel()
	var listen net.ListenConfig
	l, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0") // accepts by its backlog, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := open(t, postgres.Config{URL: "postgres://postgres@" + l.Addr().String() + "/x?sslmode=disable", QueryTimeout: 50 * time.Millisecond})
	if err := s.Ping(t.Context()); err == nil {
		t.Error("Ping of a silent database = nil")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.LoadLinks(ctx, []engine.Key{{Domain: 1, Code: "abc"}}); err == nil {
		t.Error("LoadLinks from a silent database = nil")
	}
}

func TestInstancesThatMigrateAtOnce(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"cache_statement", "exec"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			url := services.Database(t, "", nil)
			unprepared := open(t, postgres.Config{URL: url, SkipMigrate: true, ExecMode: mode})
			if err := unprepared.Prepare(t.Context()); err == nil || !strings.Contains(err.Error(), "run carom migrate") {
				t.Errorf("Prepare of an empty database with SkipMigrate = %v, want what to do", err)
			}
			var log strings.Builder
			var starting sync.WaitGroup
			logger := slog.New(slog.NewTextHandler(&log, nil))
			for range 3 {
				s := open(t, postgres.Config{URL: url, ExecMode: mode, Logger: logger})
				starting.Go(func() {
					if err := s.Prepare(t.Context()); err != nil {
						t.Errorf("Prepare = %v", err)
					}
				})
			}
			starting.Wait()
			migrations, err := filepath.Glob("migrations/*.sql")
			if n := strings.Count(log.String(), "store migrated"); err != nil || len(migrations) == 0 || n != len(migrations) {
				t.Errorf("%d migrations were applied (%v), want each of %d once:\n%s", n, err, len(migrations), &log)
			}
			if err := unprepared.Prepare(t.Context()); err != nil {
				t.Errorf("Prepare of a migrated database with SkipMigrate = %v", err)
			}
			if _, _, err := unprepared.CreateLink(t.Context(), aLink("abc"), engine.Author{}, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestMigrationLetsOthersGoFirst migrates a schema of before while a backup reads a table: whoever uses the table meanwhile is not held up, and
// the migration is done when the backup is.
func TestMigrationLetsOthersGoFirst(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"cache_statement", "exec"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			url := database(t)
			old := connect(t, url)
			for _, text := range []string{
				"ALTER TABLE visit_leases DROP COLUMN renewed_at",
				"DROP TABLE click_days, click_day_rollups, click_month_rollups, click_seals",
				"DELETE FROM schema_versions WHERE version_id > 2",
			} {
				exec(t, old, text)
			}
			backup, err := connect(t, url).Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := backup.Exec(t.Context(), "LOCK TABLE visit_leases IN ACCESS SHARE MODE"); err != nil {
				t.Fatal(err)
			}
			waits := make(chan struct{})
			said := sync.OnceFunc(func() { close(waits) })
			logger := slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
				if bytes.Contains(p, []byte("waits for a table")) {
					said()
				}
				return len(p), nil
			}), nil))
			s := open(t, postgres.Config{URL: url, ExecMode: mode, Logger: logger})
			done := make(chan error, 1)
			go func() { done <- s.Migrate(t.Context()) }()
			select {
			case <-waits:
			case err := <-done:
				t.Fatalf("Migrate while a table is in use = %v, want that it waits and says so", err)
			case <-time.After(time.Minute):
				t.Fatal("the migration waits in front of everybody else and does not say so")
			}
			exec(t, old, "INSERT INTO visit_leases (node, link_id, outstanding) VALUES ('n', 1, 1)")
			if err := backup.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Fatalf("Migrate = %v", err)
			}
			exec(t, old, "SELECT renewed_at FROM visit_leases")
		})
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// TestMigrationsWaitNotInFrontOfOthers holds that a migration that changes a table of before bounds its wait for it.
func TestMigrationsWaitNotInFrontOfOthers(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("migrations/*.sql")
	if err != nil || len(files) < 4 {
		t.Fatalf("migrations: %v, %v", files, err)
	}
	made := regexp.MustCompile(`(?m)^CREATE TABLE (\w+)`)
	changed := regexp.MustCompile(`(?m)^(?:ALTER TABLE|DROP TABLE|CREATE (?:UNIQUE )?INDEX \w+ ON|UPDATE|DELETE FROM) (\w+)`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		own := map[string]bool{}
		for _, m := range made.FindAllSubmatch(text, -1) {
			own[string(m[1])] = true
		}
		for _, m := range changed.FindAllSubmatch(text, -1) {
			if !own[string(m[1])] && !bytes.Contains(text, []byte("SET LOCAL lock_timeout = '100ms';")) {
				t.Errorf("%s changes %s and has no SET LOCAL lock_timeout", file, m[1])
			}
		}
	}
}

func TestPartitions(t *testing.T) {
	t.Parallel()
	url := database(t)
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	s := open(t, postgres.Config{URL: url, ClickRetention: 3 * 24 * time.Hour})
	maintain := func(now time.Time) {
		t.Helper()
		if err := s.MaintainPartitions(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	conn := connect(t, url)
	wantTables := func(when, want string) {
		t.Helper()
		var got string
		if err := conn.QueryRow(t.Context(), "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relname LIKE 'clicks\\_2%' AND relkind = 'r'").Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("partitions %s = %q, want %q", when, got, want)
		}
	}
	wantClicks := func(when string, parent, strays int) {
		t.Helper()
		var all, inDefault int
		if err := conn.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM clicks), (SELECT count(*) FROM clicks_default)").Scan(&all, &inDefault); err != nil {
			t.Fatal(err)
		}
		if all != parent || inDefault != strays {
			t.Errorf("%s there are %d clicks, %d of them in the default partition; want %d and %d", when, all, inDefault, parent, strays)
		}
	}
	// One click a day, all before there is any partition.
	clicks := clicksOf(0, 9)
	for i := range clicks {
		clicks[i].At = now.Add(time.Duration(i-6) * 24 * time.Hour).UnixMicro() // 4 to 12 March
	}
	if err := s.WriteClicks(t.Context(), &engine.ClickBatch{Node: node, Moves: []engine.LaneMove{{Lane: 0, To: 9}}, Clicks: clicks}); err != nil {
		t.Fatal(err)
	}
	wantClicks("without partitions", 9, 9)
	maintain(now)
	wantTables("at first", "clicks_20260309 clicks_20260310 clicks_20260311 clicks_20260312 clicks_20260313")
	wantClicks("after the first maintenance", 6, 2) // 7 and 8 March are kept and have no partition; 4 to 6 are forgotten
	maintain(now)
	wantTables("when nothing is to do", "clicks_20260309 clicks_20260310 clicks_20260311 clicks_20260312 clicks_20260313")
	maintain(now.Add(4 * 24 * time.Hour))
	wantTables("four days later", "clicks_20260311 clicks_20260312 clicks_20260313 clicks_20260314 clicks_20260315 clicks_20260316 clicks_20260317")
	wantClicks("four days later", 2, 0)
	got, err := s.Clicks(t.Context(), engine.ClickQuery{Limit: 10})
	if err != nil || len(got) != 2 || got[0].ID != 8 || got[1].ID != 9 {
		t.Errorf("Clicks = %+v, %v, want the two that are kept, under their old numbers", got, err)
	}
	var rollups int
	if err := conn.QueryRow(t.Context(), "SELECT sum(clicks) FROM link_totals").Scan(&rollups); err != nil || rollups != 9 {
		t.Errorf("totals = %d, %v, want 9: they outlive the clicks", rollups, err)
	}
	// Every index of the parent is there on a partition that was attached.
	var missing int
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_index p WHERE p.indrelid = 'clicks'::regclass AND
		(SELECT count(*) FROM pg_inherits i WHERE i.inhparent = p.indexrelid) <> (SELECT count(*) FROM pg_inherits i WHERE i.inhparent = 'clicks'::regclass)`).
		Scan(&missing); err != nil || missing != 0 {
		t.Errorf("%d indexes lack a partition, %v", missing, err)
	}
}

// TestClockAheadForgetsNoClicks has an instance of next year look after the partitions.
func TestClockAheadForgetsNoClicks(t *testing.T) {
	t.Parallel()
	url := database(t)
	s := open(t, postgres.Config{URL: url, ClickRetention: 30 * 24 * time.Hour})
	clicks := clicksOf(0, 2)
	now := time.Now()
	for i, at := range []time.Time{now, now.Add(-40 * 24 * time.Hour)} {
		clicks[i].At = at.UnixMicro()
	}
	if err := s.WriteClicks(t.Context(), &engine.ClickBatch{Node: node, Moves: []engine.LaneMove{{Lane: 0, To: 2}}, Clicks: clicks}); err != nil {
		t.Fatal(err)
	}
	for _, at := range []time.Time{now, now.Add(365 * 24 * time.Hour)} {
		if err := s.MaintainPartitions(t.Context(), at); err != nil {
			t.Fatal(err)
		}
	}
	if n := rowsIn(t, url, "clicks"); n != 1 {
		t.Errorf("%d clicks are kept, want the one that is young by the database's clock", n)
	}
}

// TestClickWhoseDayGetsItsPartitionIsNotRefused has a click be on its way to the default partition when that may no longer take it.
func TestClickWhoseDayGetsItsPartitionIsNotRefused(t *testing.T) {
	t.Parallel()
	url := database(t)
	s := open(t, postgres.Config{URL: url})
	clicks := clicksOf(0, 1)
	clicks[0].At = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC).UnixMicro()
	batch := &engine.ClickBatch{Node: node, Moves: []engine.LaneMove{{Lane: 0, To: 1}}, Clicks: clicks}
	making, err := connect(t, url).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"CREATE TABLE clicks_20260310 (LIKE clicks INCLUDING ALL)",
		"ALTER TABLE clicks ATTACH PARTITION clicks_20260310 FOR VALUES FROM ('2026-03-10T00:00:00Z') TO ('2026-03-11T00:00:00Z')",
	} {
		if _, err := making.Exec(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	go func() { done <- s.WriteClicks(t.Context(), batch) }()
	watcher := connect(t, url)
	for waits := false; !waits; {
		select {
		case err := <-done:
			t.Fatalf("WriteClicks = %v while the partition was made, want that it waits", err)
		default:
		}
		if err := watcher.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'COPY%')`).Scan(&waits); err != nil {
			t.Fatal(err)
		}
	}
	if err := making.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	err = <-done
	if _, refused := errors.AsType[*engine.RejectedError](err); refused || err == nil {
		t.Errorf("WriteClicks = %v, want an error that is not the click's", err)
	}
	if err := s.WriteClicks(t.Context(), batch); err != nil {
		t.Errorf("WriteClicks once the partition was there = %v", err)
	}
	wantStoredOnce(t, url, 1)
}

func TestRefusedClicksAreTold(t *testing.T) {
	t.Parallel()
	url := database(t)
	s := open(t, postgres.Config{URL: url})
	for name, spoil := range map[string]func(*engine.Click){
		"no link":             func(c *engine.Click) { c.Link = 0 },
		"before 1970":         func(c *engine.Click) { c.At = -1 },
		"after the year 9999": func(c *engine.Click) { c.At = 1 << 62 },
		"not a status":        func(c *engine.Click) { c.Status = 40_000 },
	} {
		clicks := clicksOf(0, 3)
		spoil(&clicks[1])
		err := s.WriteClicks(t.Context(), &engine.ClickBatch{Node: node, Moves: []engine.LaneMove{{Lane: 0, To: 3}}, Clicks: clicks})
		if _, ok := errors.AsType[*engine.RejectedError](err); !ok {
			t.Errorf("%s: WriteClicks = %v, want a RejectedError", name, err)
		}
	}
	// What only the database knows: a constraint that somebody added.
	if _, err := connect(t, url).Exec(t.Context(), "ALTER TABLE clicks ADD CHECK (status <> 307)"); err != nil {
		t.Fatal(err)
	}
	clicks := clicksOf(0, 3)
	clicks[2].Status = 307
	err := s.WriteClicks(t.Context(), &engine.ClickBatch{Node: node, Moves: []engine.LaneMove{{Lane: 0, To: 3}}, Clicks: clicks})
	if _, ok := errors.AsType[*engine.RejectedError](err); !ok {
		t.Errorf("WriteClicks = %v, want a RejectedError", err)
	}
	wantStoredOnce(t, url, 0)
	clicks[2].Status = 302
	clicks[0].UserAgent, clicks[1].Referrer = []byte("a\x00b\xff"), []byte("https://\x00.example/\xc3")
	if err := s.WriteClicks(t.Context(), &engine.ClickBatch{Node: node, Moves: []engine.LaneMove{{Lane: 0, To: 3}}, Clicks: clicks}); err != nil {
		t.Fatal(err)
	}
	if string(clicks[0].UserAgent) != "a\x00b\xff" {
		t.Error("WriteClicks changed the caller's click")
	}
	wantStoredOnce(t, url, 3)
}
