package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/carom-dev/carom/cmd/carom/internal/client"
	"github.com/carom-dev/carom/cmd/carom/internal/setting"
	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/postgres"
	"github.com/carom-dev/carom/persistence/sqlite"
)

// Names within --data-dir.
const (
	storeFile   = "carom.db"
	journalDir  = "journal"
	refusedFile = "refused-clicks.ndjson"
)

// pooledStore is a store that tells of its connections.
type pooledStore interface {
	engine.Store
	PoolStats() []engine.PoolStats
}

// openStore opens the store that the settings name. It is the one place that knows which kinds of store there are. A shared
// store is open before its database has answered; what prepares it is returned as keeper, nil for the embedded store, which
// needs none.
func openStore(ctx context.Context, s *StoreSettings, log *slog.Logger) (store pooledStore, keeper *databaseKeeper, err error) {
	if err := s.validate(); err != nil {
		return nil, nil, err
	}
	if s.DatabaseURL != "" {
		shared, err := postgres.Open(ctx, s.postgres(log))
		if err != nil {
			return nil, nil, fmt.Errorf("open the database: %w", err)
		}
		return shared, &databaseKeeper{store: shared, log: log}, nil
	}
	embedded, err := sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(s.DataDir, storeFile), ClickRetention: time.Duration(s.ClickRetention), Logger: log, Now: clock()})
	if err != nil {
		return nil, nil, err
	}
	return embedded, nil, nil
}

// remoteSettings let a command work on a running Carom.
type remoteSettings struct {
	Server string         `placeholder:"URL" help:"Work on the running Carom at this URL; else on the data in --data-dir, which no server may hold then."`
	Key    setting.Secret `placeholder:"KEY" help:"The API key for --server."`
}

// dial makes the client for --server.
func (r *remoteSettings) dial() (*client.Client, error) {
	if r.Key == "" {
		return nil, usagef("--server needs a key; give --key or %s", setting.Variable("key"))
	}
	c, err := client.New(r.Server, string(r.Key))
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

// errNoStore says that a command needs data where there is none.
var errNoStore = errors.New("there is no store")

// openAtRest opens the store for a command, brings it up to date, and says so. With must, a store that is not there yet is not made.
func openAtRest(ctx context.Context, t *terminal, s *StoreSettings, must bool) (engine.Store, error) {
	path := filepath.Join(s.DataDir, storeFile)
	if _, err := os.Stat(path); must && s.DatabaseURL == "" && errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w in %s; give its --data-dir, or --server for a running Carom", errNoStore, s.DataDir)
	}
	store, keeper, err := openStore(ctx, s, slog.New(slog.NewTextHandler(t.err, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if errors.Is(err, sqlite.ErrLocked) {
		return nil, fmt.Errorf("a running Carom holds the data in %s; ask it with --server URL --key KEY, or stop it first (%w)", s.DataDir, err)
	}
	if err != nil || keeper == nil {
		return store, err
	}
	if err := keeper.store.Prepare(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the database: %w", err), store.Close())
	}
	return store, nil
}

// migrateCommand brings the store's schema up to date.
type migrateCommand struct {
	StoreSettings `group:"Storage"`
}

// Run opens the store, which is all that the embedded one needs.
func (c *migrateCommand) Run(ctx context.Context, t *terminal) error {
	c.Migrate = true
	store, err := openAtRest(ctx, t, &c.StoreSettings, false)
	if err != nil {
		return err
	}
	if c.DatabaseURL != "" {
		fmt.Fprintln(t.out, "The database's schema is up to date.")
	} else {
		fmt.Fprintf(t.out, "The embedded store in %s is up to date. It also migrates itself at each start.\n", c.DataDir)
	}
	return store.Close()
}
