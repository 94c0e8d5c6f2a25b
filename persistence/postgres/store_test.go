package postgres_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/postgres"
	"github.com/carom-dev/carom/persistence/storetest"
	"github.com/carom-dev/carom/persistence/testservices"
)

var services testservices.Shared

func TestMain(m *testing.M) { os.Exit(services.Run(m)) }

// database is an empty, migrated database of the test's own.
func database(tb testing.TB) string {
	tb.Helper()
	return services.Database(tb, "migrated", func(ctx context.Context, url string) error {
		s, err := postgres.Open(ctx, postgres.Config{URL: url})
		if err != nil {
			return err
		}
		return errors.Join(s.Migrate(ctx), s.Close())
	})
}

func open(tb testing.TB, cfg postgres.Config) *postgres.Store {
	tb.Helper()
	s, err := postgres.Open(tb.Context(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) engine.Store { return open(t, postgres.Config{URL: database(t)}) })
}

func BenchmarkStore(b *testing.B) {
	storetest.Bench(b, func(b *testing.B) engine.Store { return open(b, postgres.Config{URL: database(b)}) })
}
