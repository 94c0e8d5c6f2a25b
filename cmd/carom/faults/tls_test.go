package faults_test

import (
	"strings"
	"testing"

	"github.com/carom-dev/carom/persistence/testservices"
)

// TestTLS runs two instances that speak TLS with both services, and one that does not trust them.
func TestTLS(t *testing.T) {
	t.Parallel()
	certificate := func() testservices.Certificate {
		c, err := testservices.NewCertificate(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	served, foreign := certificate(), certificate()
	pg := startPostgres(t, testservices.PostgresConfig{Certificate: &served})
	redis, bus, err := testservices.StartRedisTLS(served)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := redis.Close(); err != nil {
			t.Error(err)
		}
	})
	trusting := func(c testservices.Certificate) []string {
		database := strings.Replace(pg.URL("postgres"), "sslmode=disable", "sslmode=verify-full&sslrootcert="+c.Cert, 1)
		return []string{onDatabase(database), onBus(bus), "SSL_CERT_FILE=" + c.Cert}
	}

	a, b := start(t, t.TempDir(), trusting(served)...), start(t, t.TempDir(), trusting(served)...)
	waitTogether(t, a, b)
	if err := pg.Exec(t.Context(), "postgres", "SELECT 1 / (SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl)"); err != nil {
		t.Errorf("no connection to Postgres is encrypted: %v", err)
	}
	l := shorten(t, a, map[string]any{"code": "sealed", "url": "https://example.com/"})
	if got := visited(t, b, "sealed"); got.status != 302 {
		t.Errorf("visit: %d, want 302", got.status)
	}
	until(t, "the click is stored", func() bool {
		now, err := a.api.Link(t.Context(), l.Path())
		return err == nil && now.Clicks == 1
	})

	wary := start(t, t.TempDir(), trusting(foreign)...)
	if _, reason := waitHealth(t, wary, "store", "fail"); !strings.Contains(reason, "certificate") {
		t.Errorf("health of the store says %q, want that its certificate is not trusted", reason)
	}
	if got := visited(t, wary, "sealed"); got.status != 503 {
		t.Errorf("visit without a store: %d, want 503", got.status)
	}
	kill(t, wary) // it can't know whether its clicks are stored, and would say so
	stop(t, a)
	stop(t, b)
}
