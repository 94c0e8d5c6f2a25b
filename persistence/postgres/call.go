package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/carom-dev/carom/engine"
)

const (
	readTries = 2 // one retry: a second failure is an outage, which the caller answers for
	editTries = 3 // a deadlock among imports may need more than one
	// closeTimeout bounds the farewell on a connection that is given up.
	closeTimeout = 200 * time.Millisecond
)

// enter gives a call a context that ends with its timeout and with the store. leave must be called.
func (s *Store) enter(ctx context.Context, timeout time.Duration) (_ context.Context, leave func()) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	stop := context.AfterFunc(s.closing, cancel)
	return ctx, func() { stop(); cancel() }
}

// read runs queries that change nothing, once more when the connection was lost.
func (s *Store) read(ctx context.Context, step string, fn func(context.Context, *pgx.Conn) error) error {
	return s.readFrom(ctx, s.pool, step, fn)
}

// readMuch is read for what may take long, as searches and figures do. It leaves half of the pool to look-ups and edits.
func (s *Store) readMuch(ctx context.Context, step string, fn func(context.Context, *pgx.Conn) error) error {
	if err := s.scans.enter(ctx); err != nil {
		return s.wrap(step, err)
	}
	defer s.scans.leave()
	return s.read(ctx, step, fn)
}

func (s *Store) readFrom(ctx context.Context, pool *pgxpool.Pool, step string, fn func(context.Context, *pgx.Conn) error) error {
	ctx, leave := s.enter(ctx, s.cfg.QueryTimeout)
	defer leave()
	var err error
	for try := range readTries {
		if try > 0 {
			ctx = context.WithValue(ctx, pingFirst{}, true)
		}
		if err = pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error { return fn(ctx, c.Conn()) }); err == nil {
			return nil
		}
		if !lostConnection(err) || ctx.Err() != nil {
			break
		}
	}
	return s.wrap(step, err)
}

// edit runs fn in a transaction. It is repeated only when it was certainly not applied: the connection was lost before the
// COMMIT was sent, or the server said that it rolled back. fn starts from nothing each time.
func (s *Store) edit(ctx context.Context, step string, fn func(context.Context, pgx.Tx) error) error {
	return s.editWithin(ctx, s.cfg.QueryTimeout, step, fn)
}

func (s *Store) editWithin(ctx context.Context, timeout time.Duration, step string, fn func(context.Context, pgx.Tx) error) error {
	ctx, leave := s.enter(ctx, timeout)
	defer leave()
	if timeout > s.cfg.QueryTimeout {
		fn = patiently(timeout, fn)
	}
	var err error
	for try := range editTries {
		if try > 0 {
			ctx = context.WithValue(ctx, pingFirst{}, true)
		}
		var undone bool
		if undone, err = s.editOnce(ctx, fn); err == nil {
			return nil
		}
		if !undone || ctx.Err() != nil || !lostConnection(err) && !rolledBack(err) {
			break
		}
	}
	return s.wrap(step, err)
}

// patiently lets the statements of a transaction take longer than those of the pool's sessions may.
func patiently(timeout time.Duration, fn func(context.Context, pgx.Tx) error) func(context.Context, pgx.Tx) error {
	return func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT set_config('statement_timeout', $1::text, true)", strconv.FormatInt(timeout.Milliseconds(), 10)); err != nil {
			return fmt.Errorf("bound the statements: %w", err)
		}
		return fn(ctx, tx)
	}
}

// editOnce reports with an error whether the transaction was certainly undone.
func (s *Store) editOnce(ctx context.Context, fn func(context.Context, pgx.Tx) error) (undone bool, err error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return true, fmt.Errorf("connect: %w", err)
	}
	defer conn.Release() // a connection that is still in a transaction is destroyed by this
	tx, err := conn.Begin(ctx)
	if err != nil {
		return true, fmt.Errorf("begin: %w", err)
	}
	if s.local != "" {
		if _, err := tx.Exec(ctx, s.local); err != nil {
			return true, fmt.Errorf("set up transaction: %w", err)
		}
	}
	if err := fn(ctx, tx); err != nil {
		// The error that counts is fn's; a failed rollback breaks the connection, which ends the transaction too.
		_ = tx.Rollback(context.WithoutCancel(ctx))
		return true, err
	}
	if err := tx.Commit(ctx); err != nil {
		return rolledBack(err), fmt.Errorf("commit: %w", err)
	}
	return true, nil
}

// wrap names the step that failed. Errors that callers act on stay as they are.
func (s *Store) wrap(step string, err error) error {
	if _, ok := errors.AsType[*engine.Error](err); ok {
		return err
	}
	if s.closing.Err() != nil {
		return fmt.Errorf("%s: %w: %w", step, ErrClosed, err)
	}
	if refusedContent(err) {
		return &engine.Error{Code: engine.CodeInvalid, Message: "the database does not accept a value", Err: fmt.Errorf("%s: %w", step, err)}
	}
	return fmt.Errorf("%s: %w", step, err)
}

// sqlState is the server's code for err, "" when the server did not say anything.
func sqlState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// lostConnection reports whether the connection ended, or was never there, for a reason that another connection may not have.
// The server says so by 57P01 to 57P03 (shutdown, crash, starting) and class 08, or ends without a word.
func lostConnection(err error) bool {
	switch code := sqlState(err); {
	case code == "57P01", code == "57P02", code == "57P03", strings.HasPrefix(code, "08"):
		return true
	case code != "":
		return false
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	if pgconn.SafeToRetry(err) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return true
	}
	_, isNet := errors.AsType[*net.OpError](err)
	return isNet
}

// rolledBack reports whether the server said that the transaction was undone, by itself (deadlock, serialization) or because a
// statement of it had failed.
func rolledBack(err error) bool {
	return strings.HasPrefix(sqlState(err), "40") && sqlState(err) != "40003" || errors.Is(err, pgx.ErrTxCommitRollback)
}

// refusedContent reports whether the server refused a value: class 22 is data exceptions, 23 constraints. It is not the value's fault when a
// row is on its way to the default partition while its day gets one: that has the code of a check, and names no constraint.
func refusedContent(err error) bool {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || refused.Code == checkViolation && refused.ConstraintName == "" {
		return false
	}
	return strings.HasPrefix(refused.Code, "22") || strings.HasPrefix(refused.Code, "23")
}

const (
	foreignKeyViolation = "23503"
	checkViolation      = "23514"
	lockNotAvailable    = "55P03"
	queryCanceled       = "57014" // by statement_timeout
)

// scan reads all rows of a query.
func scan(ctx context.Context, db querier, fn func(pgx.Rows) error, text string, args ...any) error {
	rows, err := db.Query(ctx, text, args...)
	if err != nil {
		return err
	}
	return scanRows(rows, fn)
}

func scanRows(rows pgx.Rows, fn func(pgx.Rows) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// querier is what connections and transactions share.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}
