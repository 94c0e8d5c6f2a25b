package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/carom-dev/carom/engine"
)

const (
	partitionsAhead  = 3 // days: an instance may be cut off from maintenance over a week-end
	partitionPrefix  = "clicks_"
	partitionDefault = "clicks_default"
	partitionLayout  = "20060102"
	// maintenanceLock serialises the instances' maintenance; "carom" in ASCII.
	maintenanceLock = 0x6361726f6d
	// ddlLockTimeout bounds how long a change of partitions waits for a long read, as writers queue up behind it.
	ddlLockTimeout = "1s"
)

const day = 24 * time.Hour

// MaintainPartitions makes the partitions of yesterday to three days ahead, drops those that are wholly older than the retention,
// forgets expired idempotency keys and leases, and folds the rollups that wait. To be called every hour or so; instances may do so at the same time. Clicks
// of a day without a partition wait in the default one and are moved when their partition is made. What is old is so by the database's clock,
// too: an instance whose clock is ahead must not drop what the others keep.
func (s *Store) MaintainPartitions(ctx context.Context, now time.Time) error {
	there, clock, err := s.partitions(ctx)
	if err != nil {
		return err
	}
	sure := now.UTC() // at least so late it is
	if clock.Before(sure) {
		sure = clock
	}
	today := now.UTC().Truncate(day)
	var oldest time.Time // the first day that is kept
	if s.cfg.ClickRetention != 0 {
		oldest = sure.Add(-s.cfg.ClickRetention).Truncate(day)
	}
	var errs []error
	for d := today.Add(-day); !d.After(today.Add(partitionsAhead * day)); d = d.Add(day) {
		if !there[d] && !d.Before(oldest) {
			errs = append(errs, s.makePartition(ctx, d))
		}
	}
	for d := range there {
		if d.Before(oldest) {
			errs = append(errs, s.dropPartition(ctx, d))
		}
	}
	errs = append(errs, s.maintain(ctx, "forget what has expired", func(ctx context.Context, tx pgx.Tx) error {
		if !oldest.IsZero() {
			if _, err := tx.Exec(ctx, "DELETE FROM "+partitionDefault+" WHERE at < $1", oldest); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, "DELETE FROM idempotency WHERE created_at <= $1", sure.Add(-engine.IdempotencyTTL))
		return err
	}))
	return errors.Join(append(errs, s.expireLeases(ctx), s.foldAll(ctx))...)
}

// partitions reads which days have one, and the database's clock.
func (s *Store) partitions(ctx context.Context) (days map[time.Time]bool, clock time.Time, err error) {
	days = map[time.Time]bool{}
	err = s.read(ctx, "read the partitions", func(ctx context.Context, conn *pgx.Conn) error {
		if err := conn.QueryRow(ctx, "SELECT now()").Scan(&clock); err != nil {
			return err
		}
		return scan(ctx, conn, func(rows pgx.Rows) error {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			if d, err := time.Parse(partitionLayout, strings.TrimPrefix(name, partitionPrefix)); err == nil {
				days[d] = true
			}
			return nil
		}, "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'clicks'::regclass")
	})
	return days, clock.UTC(), err
}

// makePartition attaches a table that was made apart, since CREATE TABLE ... PARTITION OF would lock the whole of clicks
// against readers and writers, and would fail when the default partition has clicks of that day.
func (s *Store) makePartition(ctx context.Context, d time.Time) error {
	name := partitionPrefix + d.Format(partitionLayout)
	from, to := d.Format(time.RFC3339), d.Add(day).Format(time.RFC3339)
	err := s.maintain(ctx, "make partition "+name, func(ctx context.Context, tx pgx.Tx) error {
		var there bool
		if err := tx.QueryRow(ctx, "SELECT to_regclass($1::text) IS NOT NULL", name).Scan(&there); err != nil || there {
			return err
		}
		for _, text := range []string{
			"CREATE TABLE " + name + " (LIKE clicks INCLUDING ALL, CONSTRAINT " + name + "_day CHECK (at >= '" + from + "' AND at < '" + to + "'))",
			"WITH strays AS (DELETE FROM " + partitionDefault + " WHERE at >= '" + from + "' AND at < '" + to + "' RETURNING *) INSERT INTO " + name + " SELECT * FROM strays",
			"ALTER TABLE clicks ATTACH PARTITION " + name + " FOR VALUES FROM ('" + from + "') TO ('" + to + "')",
			"ALTER TABLE " + name + " DROP CONSTRAINT " + name + "_day", // it spared ATTACH a scan under lock
		} {
			if _, err := tx.Exec(ctx, text); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		s.log.Debug("click partition made", "partition", name)
	}
	return err
}

func (s *Store) dropPartition(ctx context.Context, d time.Time) error {
	name := partitionPrefix + d.Format(partitionLayout)
	err := s.maintain(ctx, "drop partition "+name, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "DROP TABLE IF EXISTS "+name)
		return err
	})
	if err == nil {
		s.log.Info("click partition dropped", "partition", name)
	}
	return err
}

// maintain runs fn in a transaction that no other instance's maintenance meets.
func (s *Store) maintain(ctx context.Context, step string, fn func(context.Context, pgx.Tx) error) error {
	return s.editWithin(ctx, s.cfg.WriteTimeout, step, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(maintenanceLock)); err != nil {
			return fmt.Errorf("take the maintenance lock: %w", err)
		}
		if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '"+ddlLockTimeout+"'"); err != nil {
			return fmt.Errorf("bound the wait for locks: %w", err)
		}
		return fn(ctx, tx)
	})
}
