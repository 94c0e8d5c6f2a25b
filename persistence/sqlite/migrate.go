package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

func migrations(db *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return nil, fmt.Errorf("find the migrations: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files,
		goose.WithLogger(goose.NopLogger()), goose.WithDisableGlobalRegistry(true), goose.WithTableName("schema_versions"),
		goose.WithGoMigrations(
			goose.NewGoMigration(clicksToRunsVersion, &goose.GoFunc{RunTx: clicksToRuns}, nil),
			goose.NewGoMigration(clicksToRunsAgainVersion, &goose.GoFunc{RunTx: clicksToRuns}, nil),
			goose.NewGoMigration(spansVersion, &goose.GoFunc{RunTx: spansOfRuns}, nil),
		))
	if err != nil {
		return nil, fmt.Errorf("read the migrations: %w", err)
	}
	return provider, nil
}

// migrate applies the migrations that the file does not have. The lock makes sure that nobody else does.
func (s *Store) migrate(ctx context.Context) error {
	provider, err := migrations(s.writer)
	if err != nil {
		return err
	}
	sources := provider.ListSources()
	known := sources[len(sources)-1].Version
	version, err := provider.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	if version > known {
		return fmt.Errorf("the schema has version %d and this program knows up to %d; start the newer program again", version, known)
	}
	if 0 < version && version < known {
		s.log.Warn("migrating the store; a large one takes a while, and the program from before can't open it any more", "path", s.path, "version", version)
	}
	// A table that is dropped need not be overwritten with zeros, all of which would have to go through the WAL: no secret is in one.
	if _, err := s.writer.ExecContext(ctx, "PRAGMA secure_delete = OFF"); err != nil {
		return fmt.Errorf("prepare to migrate: %w", err)
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return fmt.Errorf("apply the migrations: %w", err)
	}
	if _, err := s.writer.ExecContext(ctx, "PRAGMA secure_delete = ON"); err != nil {
		return fmt.Errorf("go on behind the migrations: %w", err)
	}
	for _, r := range results {
		s.log.Info("store migrated", "path", s.path, "version", r.Source.Version, "duration", r.Duration)
	}
	return nil
}
