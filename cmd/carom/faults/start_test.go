package faults_test

import (
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pressly/goose/v3/lock"

	"github.com/carom-dev/carom/loadtest/program"
	"github.com/carom-dev/carom/persistence/testservices"
)

// TestPostgresAwayAtStart starts without the database: links are unavailable, never unknown, and all is well once it is there.
func TestPostgresAwayAtStart(t *testing.T) {
	t.Parallel()
	for _, way := range []struct {
		name string
		away func(*testservices.Proxy) error
		back func(*testservices.Proxy) error
	}{
		{"refused", func(p *testservices.Proxy) error { p.Down(); return nil }, (*testservices.Proxy).Up},
		{"black hole", (*testservices.Proxy).Blackhole, func(p *testservices.Proxy) error { p.Heal(t.Context()); return nil }},
	} {
		t.Run(way.name, func(t *testing.T) {
			direct := services.Database(t, "", nil)
			proxy, through := proxied(t, addrOf(t, direct), direct)
			if err := way.away(proxy); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			i := start(t, t.TempDir(), onDatabase(through), onBus(services.RedisURL(t)), ownBus(t))
			t.Logf("it listens %v after its start", time.Since(began))
			if a := visited(t, i, "early"); a.status != 503 || a.header.Get("Retry-After") == "" {
				t.Errorf("a link without the database: %d %v, want 503 with Retry-After", a.status, a.header)
			}
			_, reason := waitHealth(t, i, "store", "fail")
			t.Logf("health says: %s", reason)
			if reason == "" {
				t.Error("health does not say why the store fails")
			}
			if err := way.back(proxy); err != nil {
				t.Fatal(err)
			}
			took := until(t, "links are known to be unknown", func() bool { return visited(t, i, "early").status == 404 })
			until(t, "links can be made", func() bool {
				a, err := i.do(t.Context(), "POST", "/shorten", "application/json", `{"code":"early","url":"https://example.com/"}`)
				return err == nil && a.status == 201
			})
			t.Logf("the database was used %v after it came", took)
			if a := visited(t, i, "early"); a.status != 302 {
				t.Errorf("a link that was made: %d, want 302", a.status)
			}
			until(t, "the click is stored", func() bool {
				clicks, err := i.api.Clicks(t.Context())
				return err == nil && len(clicks) == 1
			})
			waitHealth(t, i, "store", "pass")
			waitHealth(t, i, "writer", "pass")
			waitHealth(t, i, "feed", "pass")
			stop(t, i)
		})
	}
}

// TestDatabaseThatCanNotBePrepared starts on a database that answers and lacks tables: it says so where operators look, and serves when it has them.
func TestDatabaseThatCanNotBePrepared(t *testing.T) {
	t.Parallel()
	database := services.Database(t, "", nil)
	i := start(t, t.TempDir(), onDatabase(database), "CAROM_MIGRATE=false")
	if _, reason := waitHealth(t, i, "store", "fail"); !strings.Contains(reason, "carom migrate") {
		t.Errorf("health says %q, want what to do", reason)
	}
	migrate := exec.CommandContext(t.Context(), caromBinary, "migrate")
	migrate.Env = append(os.Environ(), onDatabase(database))
	if out, err := migrate.CombinedOutput(); err != nil {
		t.Fatalf("carom migrate: %v\n%s", err, out)
	}
	waitHealth(t, i, "store", "pass")
	shorten(t, i, map[string]any{"code": "late", "url": "https://example.com/"})
	stop(t, i)
}

// TestMigrationThatTakesLong has a start wait for another one's migration: it is not ready, as nothing listens for visitors yet, and ends when told.
func TestMigrationThatTakesLong(t *testing.T) {
	t.Parallel()
	database := services.Database(t, "", nil)
	testservices.Hold(t, database, "SELECT pg_advisory_lock($1)", lock.DefaultLockID)
	log := &program.Tail{}
	cmd := exec.CommandContext(t.Context(), caromBinary, "serve")
	cmd.Env = append(os.Environ(), "CAROM_LISTEN=127.0.0.1:0", "CAROM_ADMIN_LISTEN=127.0.0.1:0", "CAROM_DATA_DIR="+t.TempDir(), "CAROM_LOG_FORMAT=json", onDatabase(database))
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_ = cmd.Wait()
	}()
	admin := regexp.MustCompile(`"admin listening","addr":"([^"]+)"`)
	var at []string
	until(t, "the admin listener is there", func() bool {
		at = admin.FindStringSubmatch(log.String())
		return at != nil
	})
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+at[1]+"/health/ready", nil)
	if err != nil {
		t.Fatal(err)
	}
	asking := &http.Client{Timeout: patience}
	answer, err := asking.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	asking.CloseIdleConnections()
	if answer.StatusCode != 503 {
		t.Errorf("ready before it listens: %d, want 503", answer.StatusCode)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-gone: // with 1, as the journal could not be emptied into a database without tables
	case <-time.After(patience):
		t.Error("it goes on")
	}
	if said := log.String(); strings.Contains(said, "starting without it") || !strings.Contains(said, `"stopping"`) {
		t.Errorf("it did not end at once; its log:\n%s", said)
	}
}

// TestRedisAwayAtStart starts without Redis: everything works, and edits of others arrive by the change log.
func TestRedisAwayAtStart(t *testing.T) {
	t.Parallel()
	database := onDatabase(services.Database(t, "", nil))
	proxy, through := proxied(t, addrOf(t, services.RedisURL(t)), services.RedisURL(t))
	proxy.Down()
	a := start(t, t.TempDir(), database, onBus(through), ownBus(t))
	b := start(t, t.TempDir(), database, onBus(through), ownBus(t))
	e := newEditor(t, a, b)
	e.edits("without Redis from the start")
	waitHealth(t, a, "feed", "warn")
	if err := proxy.Up(); err != nil {
		t.Fatal(err)
	}
	took, _ := waitHealth(t, a, "feed", "pass")
	t.Logf("the feed is healthy %v after Redis came", took)
	waitTogether(t, a, b)
	e.edits("with Redis")
	stop(t, a)
	stop(t, b)
}

// addrOf is a URL's host and port.
func addrOf(t *testing.T, text string) string {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}
