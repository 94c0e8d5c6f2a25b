package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	driver "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"github.com/carom-dev/carom/engine"
)

// enter registers a call, and gives it a context that also ends with the store. leave must be called.
func (s *Store) enter(ctx context.Context) (_ context.Context, leave func(), err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, nil, ErrClosed
	}
	s.calls.Add(1)
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.closing, cancel)
	return ctx, func() {
		stop()
		cancel()
		s.calls.Done()
	}, nil
}

// write runs fn in a transaction on the one writing connection and commits it, unless fn returns an error.
func (s *Store) write(ctx context.Context, step string, fn func(context.Context, *sql.Tx) error) error {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return s.wrap(step, fmt.Errorf("begin: %w", err))
	}
	defer tx.Rollback() // after a commit there is nothing to roll back, and before it the error of fn counts
	if err := fn(ctx, tx); err != nil {
		return s.wrap(step, err)
	}
	// The context ends a moment behind the store; a call under way does not slip through between the two.
	if err := s.closing.Err(); err != nil {
		return s.wrap(step, err)
	}
	if err := tx.Commit(); err != nil {
		return s.wrap(step, fmt.Errorf("commit: %w", err))
	}
	return nil
}

// snapshot runs fn on one state of the file.
func (s *Store) snapshot(ctx context.Context, fn func(tx *sql.Tx) error) (err error) {
	tx, err := s.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() {
		if e := tx.Rollback(); err == nil && !errors.Is(e, sql.ErrTxDone) {
			err = e
		}
	}()
	return fn(tx)
}

// query reads all rows of a query by scan. db is a pool or a transaction.
func query(ctx context.Context, db querier, scan func(*sql.Rows) error, text string, args ...any) (err error) {
	rows, err := db.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	return scanRows(rows, scan)
}

func scanRows(rows *sql.Rows, scan func(*sql.Rows) error) (err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// querier is what pools and transactions share.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// wrap names the step that failed. Errors that callers act on stay as they are.
func (s *Store) wrap(step string, err error) error {
	if _, ok := errors.AsType[*engine.Error](err); ok {
		return err
	}
	if s.closing.Err() != nil {
		err = fmt.Errorf("%w: %w", ErrClosed, err)
	}
	return fmt.Errorf("%s: %w", step, err)
}

// failedWith reports whether err is one of SQLite's result codes; a primary code includes its extended ones.
func failedWith(err error, results ...int) bool {
	e, ok := errors.AsType[*driver.Error](err)
	if !ok {
		return false
	}
	for _, r := range results {
		if e.Code() == r || e.Code()&0xff == r {
			return true
		}
	}
	return false
}

// isTaken reports whether a unique key was there already.
func isTaken(err error) bool { return failedWith(err, codes.SQLITE_CONSTRAINT_UNIQUE) }

// isRefused reports whether the content itself was refused, so that another try can't help. A key that is there already is none of that.
func isRefused(err error) bool {
	return failedWith(err, codes.SQLITE_CONSTRAINT_CHECK, codes.SQLITE_CONSTRAINT_NOTNULL, codes.SQLITE_CONSTRAINT_DATATYPE, codes.SQLITE_TOOBIG, codes.SQLITE_MISMATCH)
}

// isOrphan reports whether a row names another one that does not exist.
func isOrphan(err error) bool { return failedWith(err, codes.SQLITE_CONSTRAINT_FOREIGNKEY) }
