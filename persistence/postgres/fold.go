package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/carom-dev/carom/persistence/deltas"
)

const (
	// deltasFrom rollups on, a batch is written as deltas: below, adding them at once costs less than a row for each bucket.
	deltasFrom = 256
	// foldEntries of a bucket are worth a fold. The more wait, the more of them fall together (at 4096 of a busy redirector, four), and
	// the more a reader of figures has to add up (a millisecond).
	foldEntries = 4096
	// foldTimeout bounds a fold: the batch before it is stored, and the next one waits.
	foldTimeout = 5 * time.Second
	// foldLock begins the advisory locks of folds, one a bucket.
	foldLock = 0x6361726f
)

// backlog is how many entries of each bucket this process has written as deltas and not folded. It only says when a fold is worth
// its while: a fold takes what all instances wrote. Safe for concurrent use.
type backlog struct {
	enough int // entries that are worth a fold; written once

	mu      sync.Mutex
	entries [deltas.Buckets]int // guarded by mu
}

// add notes a batch that is stored, and returns the buckets to fold after it: as many as keep up with batches of its size.
func (b *backlog) add(d *deltas.Rows) []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	total := 0
	for bucket, n := range d.Entries {
		b.entries[bucket] += n
		total += n
	}
	return b.takeLocked(1 + total/b.enough)
}

// takeLocked takes the fullest buckets out, up to most, that hold enough.
func (b *backlog) takeLocked(most int) (buckets []int) {
	for bucket, n := range b.entries {
		if n >= b.enough {
			buckets = append(buckets, bucket)
		}
	}
	slices.SortFunc(buckets, func(x, y int) int { return cmp.Compare(b.entries[y], b.entries[x]) })
	buckets = buckets[:min(len(buckets), most)]
	for _, bucket := range buckets {
		b.entries[bucket] = 0
	}
	return buckets
}

// fold adds a bucket's deltas to the rollups and takes them away, in one transaction: exactly once, whoever does it. Rollups are locked in
// the same order as by batches. It does nothing while another instance is at it.
func (s *Store) fold(ctx context.Context, conn *pgx.Conn, bucket int) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := s.foldIn(ctx, tx, bucket); err != nil {
		_ = tx.Rollback(context.WithoutCancel(ctx)) // the first error counts; a failed rollback breaks the connection
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

func (s *Store) foldIn(ctx context.Context, tx pgx.Tx, bucket int) error {
	sums := deltas.NewSums(0)
	alone := false
	batch := &pgx.Batch{}
	if s.local != "" {
		batch.Queue(s.local)
	}
	batch.Queue("SELECT pg_try_advisory_xact_lock($1, $2)", int32(foldLock), int32(bucket)).
		QueryRow(func(row pgx.Row) error { return row.Scan(&alone) })
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("take the lock of bucket %d: %w", bucket, err)
	}
	if !alone {
		return nil
	}
	err := scan(ctx, tx, payloadsInto(sums), "DELETE FROM rollup_deltas WHERE bucket = $1 RETURNING payload", int32(bucket))
	if err != nil {
		return fmt.Errorf("take the deltas of bucket %d: %w", bucket, err)
	}
	hours, rollups := sums.Sorted()
	if len(hours) == 0 {
		return nil
	}
	batch = &pgx.Batch{}
	queueHours(batch, hours)
	queueRollups(batch, rollups)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("add the deltas of bucket %d: %w", bucket, err)
	}
	return nil
}

// payloadsInto adds the rows of a query for payloads up.
func payloadsInto(sums *deltas.Sums) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		var payload []byte
		if err := rows.Scan((*pgtype.DriverBytes)(&payload)); err != nil { // valid until the next row
			return err
		}
		_, err := sums.Add(payload)
		return err
	}
}

// foldAll folds what waits in all buckets, for readers of the database other than Carom: hourly.
func (s *Store) foldAll(ctx context.Context) error {
	for bucket := range deltas.Buckets {
		err := s.editWithin(ctx, s.cfg.WriteTimeout, "fold rollups", func(ctx context.Context, tx pgx.Tx) error { return s.foldIn(ctx, tx, bucket) })
		if err != nil {
			return err
		}
	}
	return nil
}
