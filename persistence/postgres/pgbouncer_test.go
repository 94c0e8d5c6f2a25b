package postgres_test

import (
	"testing"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/postgres"
	"github.com/carom-dev/carom/persistence/storetest"
	"github.com/carom-dev/carom/persistence/testservices"
)

// pooler is a PgBouncer in transaction mode in front of the tests' server.
func pooler(t *testing.T) *testservices.PgBouncer {
	t.Helper()
	b, err := testservices.StartPgBouncer(services.Database(t, "", nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// pooled is the URL by way of the pooler.
func pooled(t *testing.T, b *testservices.PgBouncer, url string) string {
	t.Helper()
	through, err := b.URL(url)
	if err != nil {
		t.Fatal(err)
	}
	return through
}

// TestStoreBehindPgBouncer runs the conformance suite through a pooler that gives each transaction another session.
func TestStoreBehindPgBouncer(t *testing.T) {
	t.Parallel()
	b := pooler(t)
	storetest.Run(t, func(t *testing.T) engine.Store {
		return open(t, postgres.Config{URL: pooled(t, b, database(t)), ExecMode: "exec"})
	})
}

// TestMigrationsBehindPgBouncer holds that a database is prepared through the pooler by several instances at once.
func TestMigrationsBehindPgBouncer(t *testing.T) {
	t.Parallel()
	url := pooled(t, pooler(t), services.Database(t, "", nil))
	const instances = 3
	done := make(chan error, instances)
	for range instances {
		s := open(t, postgres.Config{URL: url, ExecMode: "exec"})
		go func() { done <- s.Prepare(t.Context()) }()
	}
	for range instances {
		if err := <-done; err != nil {
			t.Errorf("Prepare = %v", err)
		}
	}
}

// TestConnectionsKilledBehindPgBouncerStoreClicksOnce has the sessions of the pooler killed, at random, also between the statements of a batch.
func TestConnectionsKilledBehindPgBouncerStoreClicksOnce(t *testing.T) {
	t.Parallel()
	url := database(t)
	s := open(t, postgres.Config{URL: pooled(t, pooler(t), url), ExecMode: "cache_describe"})
	s.FoldEarly()
	killAtRandom(t, s, url)
}

// TestPgBouncerThatRestartsStoresClicksOnce has the pooler die in the middle of batches.
func TestPgBouncerThatRestartsStoresClicksOnce(t *testing.T) {
	t.Parallel()
	url, b := database(t), pooler(t)
	d := &drainer{store: open(t, postgres.Config{URL: pooled(t, b, url), ExecMode: "exec"}), node: node}
	for range 3 {
		died := make(chan error, 1)
		go func() {
			b.Kill()
			died <- b.Start()
		}()
		for waiting := true; waiting; {
			select {
			case err := <-died:
				if err != nil {
					t.Fatal(err)
				}
				waiting = false
			default:
				if err := d.step(t.Context(), 50); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if d.errors == 0 {
		t.Error("no batch failed, so nothing was proved")
	}
	wantStoredOnce(t, url, d.stored)
}
