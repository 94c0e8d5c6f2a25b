// Package postgres is the shared store: links, their history, keys, clicks and checkpoints in one Postgres database that any
// number of instances use at once.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/carom-dev/carom/engine"
)

// Config says where the database is and how it is used. The zero value of every field but URL works.
type Config struct {
	// URL is a libpq DSN or postgres:// URL, TLS included. Required. Its pool_ parameters are not read.
	URL string
	// PoolMax bounds the connections for reads and edits, 1 to 1000; 0 means 10. The click writer has 2 of its own.
	PoolMax int
	// ExecMode is how queries are run: "cache_statement", the default, prepares them on each connection; "cache_describe" and
	// "exec" work behind PgBouncer's transaction mode. In those two, nothing is set on a session, as sessions are shared.
	ExecMode string
	// QueryTimeout bounds each read and edit; 0 means 5 s. The caller's context may be shorter.
	QueryTimeout time.Duration
	// WriteTimeout bounds each batch of clicks and each import; 0 means 30 s.
	WriteTimeout time.Duration
	// SkipMigrate makes Prepare check the schema instead of changing it, for those who run carom migrate by themselves.
	SkipMigrate bool
	// ClickRetention is how long clicks are kept, 24 h or more; 0 means for ever. Totals and rollups stay.
	ClickRetention time.Duration
	// Logger takes what happens in the background; nil: no log.
	Logger *slog.Logger
	// Now dates a change whose author has no time; nil means time.Now.
	Now func() time.Time
}

const (
	poolMaxBound   = 1000
	poolMaxDefault = 10
	// writerPoolMax is one for the writer and one for a checkpoint read while a broken connection is still being closed.
	writerPoolMax       = 2
	queryTimeoutDefault = 5 * time.Second
	writeTimeoutDefault = 30 * time.Second
	timeoutMin          = 10 * time.Millisecond
	retentionMin        = 24 * time.Hour
)

// Validate names the first field that is not accepted.
func (c *Config) Validate() error {
	switch {
	case c.URL == "":
		return errors.New("URL is empty; give postgres://user:password@host/database")
	case c.PoolMax < 0 || c.PoolMax > poolMaxBound:
		return fmt.Errorf("PoolMax is %d; 0 to %d are accepted", c.PoolMax, poolMaxBound)
	case c.QueryTimeout != 0 && c.QueryTimeout < timeoutMin:
		return fmt.Errorf("QueryTimeout is %v; 0 or at least %v are accepted", c.QueryTimeout, timeoutMin)
	case c.WriteTimeout != 0 && c.WriteTimeout < timeoutMin:
		return fmt.Errorf("WriteTimeout is %v; 0 or at least %v are accepted", c.WriteTimeout, timeoutMin)
	case c.ClickRetention != 0 && c.ClickRetention < retentionMin:
		return fmt.Errorf("ClickRetention is %v; 0 or at least %v are accepted", c.ClickRetention, retentionMin)
	}
	if _, err := c.execMode(pgx.QueryExecModeCacheStatement); err != nil {
		return err
	}
	if _, err := pgxpool.ParseConfig(c.URL); err != nil {
		return fmt.Errorf("URL is not accepted: %w", err)
	}
	return nil
}

// execMode reads ExecMode. The simple protocol is not among the choices: it puts parameters into the text of the query.
func (c *Config) execMode(otherwise pgx.QueryExecMode) (pgx.QueryExecMode, error) {
	switch c.ExecMode {
	case "":
		if otherwise == pgx.QueryExecModeSimpleProtocol || otherwise == pgx.QueryExecModeDescribeExec {
			return 0, fmt.Errorf("URL has default_query_exec_mode %s; cache_statement, cache_describe and exec are accepted", otherwise)
		}
		return otherwise, nil
	case "cache_statement":
		return pgx.QueryExecModeCacheStatement, nil
	case "cache_describe":
		return pgx.QueryExecModeCacheDescribe, nil
	case "exec":
		return pgx.QueryExecModeExec, nil
	}
	return 0, fmt.Errorf("ExecMode is %q; cache_statement, cache_describe and exec are accepted", c.ExecMode)
}

// Store is engine.Store on Postgres. Safe for concurrent use by one process, and by any number of them on one database.
type Store struct {
	cfg     Config // with defaults in place
	log     *slog.Logger
	pool    *pgxpool.Pool // reads and edits
	writers *pgxpool.Pool // batches of clicks and their checkpoints
	scans   *scans        // long reads among those of pool
	backlog backlog       // of rollups that are deltas
	doubted sync.Map      // engine.LinkID: links of which a sealed day was found older than its hours
	// deltasFrom is how many rollups make a batch large; written once.
	deltasFrom int
	local      string // what a transaction of a shared session sets for itself; "" when the session has it set

	closing   context.Context // done from the start of Close on
	cancel    context.CancelFunc
	closeOnce sync.Once
}

var _ engine.Store = (*Store)(nil)

// ErrClosed is what a call gets that meets the end of the store.
var ErrClosed = errors.New("store is closed")

// Open makes the store. It does not wait for the database, which may be away: Prepare tells when it is ready for use.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("check the settings of the store: %w", err)
	}
	if cfg.PoolMax == 0 {
		cfg.PoolMax = poolMaxDefault
	}
	if cfg.QueryTimeout == 0 {
		cfg.QueryTimeout = queryTimeoutDefault
	}
	if cfg.WriteTimeout == 0 {
		cfg.WriteTimeout = writeTimeoutDefault
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Store{cfg: cfg, log: cfg.Logger, deltasFrom: deltasFrom, scans: newScans(max(cfg.PoolMax/2, 1)), backlog: backlog{enough: foldEntries}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if s.pool, err = s.openPool(ctx, cfg.PoolMax, cfg.QueryTimeout); err != nil {
		return nil, err
	}
	if s.writers, err = s.openPool(ctx, writerPoolMax, cfg.WriteTimeout); err != nil {
		s.pool.Close()
		return nil, err
	}
	s.closing, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// Prepare makes the database ready for use: the schema is brought up to date (or checked, see SkipMigrate), and today's
// partition is there. It needs the database; the caller repeats it until it returns nil. A schema that is newer than the
// program is accepted: each migration is safe while the version before it still serves.
func (s *Store) Prepare(ctx context.Context) error {
	prepare := s.Migrate
	if s.cfg.SkipMigrate {
		prepare = s.checkSchema
	}
	if err := prepare(ctx); err != nil {
		return err
	}
	return s.MaintainPartitions(ctx, s.cfg.Now())
}

// Answers reports whether the database can be talked to, prepared or not.
func (s *Store) Answers(ctx context.Context) error {
	return s.read(ctx, "ask", func(ctx context.Context, conn *pgx.Conn) error {
		var one int
		return conn.QueryRow(ctx, "SELECT 1").Scan(&one)
	})
}

// Ping asks the database for an answer, and that the schema is there.
func (s *Store) Ping(ctx context.Context) error {
	return s.read(ctx, "ping", func(ctx context.Context, conn *pgx.Conn) error {
		var n int64
		return conn.QueryRow(ctx, "SELECT count(*) FROM counters").Scan(&n)
	})
}

// Close ends the store: calls under way are interrupted and waited for. Twice is fine.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.cancel()
		s.pool.Close()
		s.writers.Close()
	})
	return nil
}
