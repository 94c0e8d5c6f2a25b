// Package sqlite is the embedded store: one SQLite file that holds links, their history, keys, clicks and checkpoints.
package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the database/sql driver "sqlite"

	"github.com/carom-dev/carom/engine"
)

// Config says where the store is and how it is read. The zero value of every field but Path works.
type Config struct {
	Path       string           // of the database file; its directory is made. Required
	Logger     *slog.Logger     // nil: no log
	ReadersMax int              // connections for lists, figures and clicks, 1 to 64; 0 means 4. Look-ups have some of their own
	Now        func() time.Time // dates a change whose author has no time; nil means time.Now
	// ClickRetention is how long clicks are kept, 24 h or more; 0 means for ever. Totals and rollups stay.
	ClickRetention time.Duration
}

const (
	readersMaxBound = 64
	// busyTimeout is how long a connection waits for another one's lock.
	busyTimeout = 5 * time.Second
	// pointReaders are as many as look-ups are asked at once.
	pointReaders = 4
)

// Validate names the first field that is not accepted.
func (c *Config) Validate() error {
	switch {
	case c.Path == "":
		return errors.New("setting Path is empty; give the path of the database file")
	case c.ReadersMax < 0 || c.ReadersMax > readersMaxBound:
		return fmt.Errorf("setting ReadersMax is %d; 0 to %d are accepted", c.ReadersMax, readersMaxBound)
	case c.ClickRetention != 0 && c.ClickRetention < retentionMin:
		return fmt.Errorf("setting ClickRetention is %v; 0 or at least 24h are accepted", c.ClickRetention)
	}
	return nil
}

// Store is engine.Store on one SQLite file. Safe for concurrent use; all writes go one after the other through one
// connection, reads go beside them on a snapshot. It gives up sharing: one process at a time, held by a lock beside the file.
type Store struct {
	path   string
	log    *slog.Logger
	now    func() time.Time
	lock   *fileLock
	writer *sql.DB // one connection
	reader *sql.DB // query_only
	points *sql.DB // the same, for what reads a few rows by their keys: redirects don't wait behind searches
	hot    statements

	retention time.Duration // 0: clicks are kept for ever

	wal      sync.Mutex
	walMax   int64     // bytes
	walTried time.Time // guarded by wal

	doubted sync.Map // engine.LinkID: links of which a sealed day was found older than its hours

	closing context.Context // done from the start of Close on
	cancel  context.CancelFunc
	mu      sync.RWMutex // guards closed against calls that begin
	closed  bool
	calls   sync.WaitGroup // under way
}

var _ engine.Store = (*Store)(nil)

// ErrClosed is what a call gets that meets the end of the store.
var ErrClosed = errors.New("store is closed")

// Open opens the store, makes it when it is not there, and brings its schema up to date. ErrLocked (wrapped) when another
// process has it open.
func Open(ctx context.Context, cfg Config) (_ *Store, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("check the settings of the store: %w", err)
	}
	path, err := filepath.Abs(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("find the path of the store %q: %w", cfg.Path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the store: %w", err)
	}
	s := &Store{path: path, log: cfg.Logger, now: cfg.Now, retention: cfg.ClickRetention, walMax: walMax}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.closing, s.cancel = context.WithCancel(context.Background())
	if s.lock, err = acquireLock(path + ".lock"); err != nil {
		s.cancel()
		return nil, fmt.Errorf("lock store %q: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := s.openPools(cmp.Or(cfg.ReadersMax, 4)); err != nil {
		return nil, fmt.Errorf("open store %q: %w", path, err)
	}
	if err := s.migrate(ctx); err != nil {
		return nil, fmt.Errorf("migrate store %q: %w", path, err)
	}
	if err := s.hot.prepare(ctx, s); err != nil {
		return nil, fmt.Errorf("prepare statements of store %q: %w", path, err)
	}
	return s, nil
}

// openPools makes the pools; the file itself is touched by the first use.
func (s *Store) openPools(readers int) (err error) {
	// The file holds visitors' networks and the salts: for its owner only. SQLite gives -wal and -shm the same mode.
	f, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("make the file: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("make the file: %w", err)
	}
	common := url.Values{"_pragma": {fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()), "foreign_keys(1)", "temp_store(memory)"}}
	// FULL, not NORMAL: the journal gives a segment up as soon as its clicks are committed here, so a commit must survive a
	// loss of power. That is one fsync a batch. 4,000 pages between checkpoints instead of 1,000 give 6 % more clicks a second
	// (BenchmarkStore/WriteClicks) for a WAL of 16 MiB. secure_delete: a salt that is deleted must not stay in a free page.
	write := url.Values{"_txlock": {"immediate"}, "_pragma": append([]string{
		"journal_mode(WAL)", "synchronous(FULL)", "secure_delete(1)", "journal_size_limit(67108864)", "wal_autocheckpoint(4000)", "cache_size(-32768)",
	}, common["_pragma"]...)}
	read := url.Values{"_txlock": {"deferred"}, "_pragma": append([]string{"query_only(1)", "cache_size(-8192)"}, common["_pragma"]...)}
	if s.writer, err = sql.Open("sqlite", s.dsn(write)); err != nil {
		return fmt.Errorf("open the writer: %w", err)
	}
	s.writer.SetMaxOpenConns(1)
	s.writer.SetMaxIdleConns(1)
	for _, pool := range []struct {
		db      **sql.DB
		readers int
	}{{&s.reader, readers}, {&s.points, pointReaders}} {
		if *pool.db, err = sql.Open("sqlite", s.dsn(read)); err != nil {
			return fmt.Errorf("open the readers: %w", err)
		}
		(*pool.db).SetMaxOpenConns(pool.readers)
		(*pool.db).SetMaxIdleConns(pool.readers)
	}
	return nil
}

func pragmaBusy(wait time.Duration) string {
	return fmt.Sprintf("PRAGMA busy_timeout = %d", wait.Milliseconds())
}

func (s *Store) dsn(query url.Values) string {
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(s.path), RawQuery: query.Encode()}
	return u.String()
}

// Ping asks the database for an answer.
func (s *Store) Ping(ctx context.Context) error {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	var one int
	if err := s.points.QueryRowContext(ctx, "SELECT count(*) FROM domains WHERE id = 1").Scan(&one); err != nil {
		return s.wrap("ping", err)
	}
	return nil
}

// Close ends the store: calls under way are interrupted and waited for. Twice is fine.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.calls.Wait()
	var errs []error
	for _, db := range []*sql.DB{s.reader, s.points, s.writer} { // the writer last: it folds the WAL into the file
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if err := errors.Join(append(errs, s.lock.release())...); err != nil {
		return fmt.Errorf("close store %q: %w", s.path, err)
	}
	return nil
}

// Usage is what the store takes on disk, in bytes.
type Usage struct {
	File int64
	WAL  int64 // written, and not folded into the file yet
}

// Usage reads the sizes of the store's files.
func (s *Store) Usage() (Usage, error) {
	var u Usage
	for _, f := range []struct {
		path string
		size *int64
	}{{s.path, &u.File}, {s.path + "-wal", &u.WAL}} {
		info, err := os.Stat(f.path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Usage{}, fmt.Errorf("read the size of the store: %w", err)
		}
		*f.size = info.Size()
	}
	return u, nil
}
