package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

const (
	schemaTable = "schema_versions"
	// migrateTimeout leaves room for a migration that rewrites a table.
	migrateTimeout = 10 * time.Minute
	// busyTries of busyInterval is how long a table that is in use is waited for, as beside a backup.
	busyTries    = 30
	busyInterval = time.Second
	// lockTries of lockInterval seconds each is how long an instance waits for another one's migration.
	lockInterval, lockTries = 1, 300
)

// Migrate applies the migrations that the database does not have, under a lock that all instances take. Migrations are applied
// one transaction each. One that needs a table that others use waits a tenth of a second for it, as whoever uses the table next waits behind the
// migration, lets them go first, and tries again.
func (s *Store) Migrate(ctx context.Context) error {
	return s.withMigrations(ctx, func(ctx context.Context, p *goose.Provider) error {
		for try := 1; ; try++ {
			results, err := p.Up(ctx)
			if partial, ok := errors.AsType[*goose.PartialError](err); ok {
				results = partial.Applied
			}
			for _, r := range results {
				s.log.Info("store migrated", "version", r.Source.Version, "duration", r.Duration)
			}
			switch {
			case err == nil:
				return nil
			case sqlState(err) != lockNotAvailable:
				return fmt.Errorf("apply the migrations: %w", err)
			case try == busyTries:
				return fmt.Errorf("apply the migrations: a table is in use, as a long transaction or a pg_dump makes it; pg_locks tells whose: %w", err)
			case try == 1:
				s.log.Warn("migration waits for a table that is in use", "err", err)
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("wait for a table that is in use: %w", context.Cause(ctx))
			case <-time.After(busyInterval):
			}
		}
	})
}

// checkSchema refuses a database that lacks a migration.
func (s *Store) checkSchema(ctx context.Context) error {
	return s.withMigrations(ctx, func(ctx context.Context, p *goose.Provider) error {
		pending, err := p.HasPending(ctx)
		if err != nil {
			return fmt.Errorf("read the schema's version: %w", err)
		}
		if pending {
			return errors.New("the schema of the database is older than the program; run carom migrate")
		}
		return nil
	})
}

// withMigrations opens a connection of its own: no statement timeout may end a migration half-way.
func (s *Store) withMigrations(ctx context.Context, fn func(context.Context, *goose.Provider) error) (err error) {
	ctx, leave := s.enter(ctx, migrateTimeout)
	defer leave()
	cfg := s.pool.Config().ConnConfig
	if cfg.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement {
		cfg.RuntimeParams["statement_timeout"] = "0"
		cfg.RuntimeParams["idle_in_transaction_session_timeout"] = "0"
	}
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return fmt.Errorf("find the migrations: %w", err)
	}
	locker, err := s.migrationLock(cfg.DefaultQueryExecMode)
	if err != nil {
		return fmt.Errorf("make the migrations' lock: %w", err)
	}
	db := stdlib.OpenDB(*cfg)
	defer func() { err = errors.Join(err, db.Close()) }()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, locker,
		goose.WithLogger(goose.NopLogger()), goose.WithDisableGlobalRegistry(true), goose.WithTableName(schemaTable))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	return fn(ctx, provider)
}

// migrationLock is an advisory lock of the session. Behind PgBouncer's transaction mode there is no session of ours: there, it
// is a lease in a table.
func (s *Store) migrationLock(mode pgx.QueryExecMode) (goose.ProviderOption, error) {
	if mode == pgx.QueryExecModeCacheStatement {
		l, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(lockInterval, lockTries), lock.WithUnlockTimeout(lockInterval, 3))
		return goose.WithSessionLocker(l), err
	}
	l, err := lock.NewPostgresTableLocker(lock.WithTableName("schema_lock"), lock.WithTableLockTimeout(lockInterval*time.Second, lockTries))
	return goose.WithLocker(l), err
}
