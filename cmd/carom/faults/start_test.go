package faults_test

import (
	"net/url"
	"testing"
	"time"

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
