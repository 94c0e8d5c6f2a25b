package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/deltas"
)

// Hours, rollups by referrer and totals lie by link, so that each link of a batch is another page to read and to write. A batch that has many
// of them writes deltas instead, one behind the other, and folds some buckets of those from before.
const (
	// deltasFrom rollups on, a batch is written as deltas: below, adding them at once costs less than a row for each bucket.
	deltasFrom = 256
	// foldEntries are about what a bucket has when it is folded. The more wait, the more of them fall together, and the more a reader of
	// figures has to add up.
	foldEntries = 8192
	// damagedBucket is where rows go that can't be read.
	damagedBucket = -1
)

// writeRollups adds a batch's rollups, or writes them as deltas, and folds as many buckets as keep up with batches of its size.
func (s *Store) writeRollups(ctx context.Context, tx *sql.Tx, hours []engine.HourRollup, referrers []engine.Rollup) error {
	entries := len(hours) + len(referrers)
	if entries < s.deltasFrom {
		if err := s.addRollups(ctx, tx, hours, referrers); err != nil {
			return err
		}
	} else {
		packed := deltas.Pack(hours, referrers)
		err := s.hot.deltas.exec(ctx, tx, len(packed.Payloads), func(args []any, i int) []any {
			return append(args, int64(packed.Buckets[i]), packed.Payloads[i])
		})
		if err != nil {
			return fmt.Errorf("insert rollup deltas: %w", err)
		}
	}
	for range 1 + entries/foldEntries {
		if more, err := s.fold(ctx, tx); err != nil || !more {
			return err
		}
	}
	return nil
}

// foldAll folds what waits in all buckets, each in a transaction of its own.
func (s *Store) foldAll(ctx context.Context) error {
	for more := true; more; {
		err := s.write(ctx, "fold rollups", func(ctx context.Context, tx *sql.Tx) (err error) {
			more, err = s.fold(ctx, tx)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// fold adds the deltas of the bucket that has waited longest to the rollups, and takes them away. It reports whether there were any.
func (s *Store) fold(ctx context.Context, tx *sql.Tx) (found bool, err error) {
	var bucket int
	// "+" keeps SQLite from sorting by way of the index.
	err = tx.QueryRowContext(ctx, "SELECT bucket FROM rollup_deltas WHERE +bucket != ? ORDER BY id LIMIT 1", damagedBucket).Scan(&bucket)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for rollup deltas: %w", err)
	}
	sums := deltas.NewSums(0)
	var damaged []int64
	err = query(ctx, tx, func(rows *sql.Rows) error {
		var id int64
		var payload sql.RawBytes // valid until the next row
		if err := rows.Scan(&id, &payload); err != nil {
			return err
		}
		if deltas.Check(payload) != nil {
			damaged = append(damaged, id)
			return nil
		}
		return sums.Add(payload)
	}, "SELECT id, payload FROM rollup_deltas WHERE bucket = ?", bucket)
	if err != nil {
		return false, fmt.Errorf("read the deltas of bucket %d: %w", bucket, err)
	}
	for _, id := range damaged {
		if _, err := tx.ExecContext(ctx, "UPDATE rollup_deltas SET bucket = ? WHERE id = ?", damagedBucket, id); err != nil {
			return false, fmt.Errorf("set row %d of the deltas aside: %w", id, err)
		}
		s.log.Error("a row of rollup deltas is damaged and was set aside; some figures of its links lack what was in it, single clicks do not", "row", id, "links", fmt.Sprintf("id %% %d = %d", deltas.Buckets, bucket))
	}
	hours, referrers := sums.Sorted()
	if err := s.addRollups(ctx, tx, hours, referrers); err != nil {
		return false, err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM rollup_deltas WHERE bucket = ?", bucket); err != nil {
		return false, fmt.Errorf("take the deltas of bucket %d away: %w", bucket, err)
	}
	return true, nil
}

// waitingOf reads what is not added to a link's figures yet. db has to be the snapshot that those are read from.
func waitingOf(ctx context.Context, db querier, link engine.LinkID) (*deltas.Sums, error) {
	sums := deltas.NewSums(link)
	if err := eachDelta(ctx, db, []int{deltas.Bucket(link)}, sums.Add); err != nil {
		return nil, err
	}
	return sums, nil
}

// addWaiting adds the clicks that are not in the totals yet to links that were read from the same snapshot.
func addWaiting(ctx context.Context, db querier, links []engine.Link) error {
	if len(links) == 0 {
		return nil
	}
	counts := make(map[engine.LinkID]int64, len(links))
	var buckets []int
	for i := range links {
		counts[links[i].ID] = 0
		if b := deltas.Bucket(links[i].ID); !slices.Contains(buckets, b) {
			buckets = append(buckets, b)
		}
	}
	err := eachDelta(ctx, db, buckets, func(row []byte) error { return deltas.AddClicks(counts, row) })
	if err != nil {
		return err
	}
	for i := range links {
		links[i].Clicks += counts[links[i].ID]
	}
	return nil
}

// readDeltas takes a JSON array of buckets.
const readDeltas = "SELECT id, payload FROM rollup_deltas WHERE bucket IN (SELECT value FROM json_each(?))"

// eachDelta hands out the rows of some buckets, each valid until the next one.
func eachDelta(ctx context.Context, db querier, buckets []int, fn func(row []byte) error) error {
	args, err := appendJSON(nil, buckets)
	if err != nil {
		return err
	}
	err = query(ctx, db, func(rows *sql.Rows) error {
		var id int64
		var payload sql.RawBytes
		if err := rows.Scan(&id, &payload); err != nil {
			return err
		}
		if err := fn(payload); err != nil {
			message := fmt.Sprintf("row %d of the rollup deltas is damaged", id) // no outage, so that nobody waits for its end
			return &engine.Error{Code: engine.CodeInternal, Message: message, Err: err}
		}
		return nil
	}, readDeltas, args...)
	if err != nil {
		return fmt.Errorf("read the rollups that wait: %w", err)
	}
	return nil
}
