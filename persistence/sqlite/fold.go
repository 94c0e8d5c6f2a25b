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

// Hours, rollups by referrer, totals and the runs of a link lie by link, so that each link of a batch is another page to read and to write. A batch
// that has many of them writes deltas instead, one behind the other, and folds some buckets of those from before.
const (
	// deltasFrom rollups on, a batch writes them as deltas: below, adding them at once costs less than a row for each bucket.
	deltasFrom = 256
	// foldEntries are about what a bucket has when it is folded. The more wait, the more of them fall together, and the more a reader of
	// figures has to add up.
	foldEntries = 8192
	// damagedBucket is where rows go that can't be read.
	damagedBucket = -1
)

// What a row of deltas has.
const (
	deltaRollups = 1 // as deltas.Pack packs them
	deltaRuns    = 2 // as packRuns does
)

// writeByLink stores what lies by link: a batch's rollups at once, if they are few, and else as deltas; its runs always so, as those that wait must
// be behind those that do not. It folds as many buckets as keep up with batches of its size.
func (s *Store) writeByLink(ctx context.Context, tx *sql.Tx, runs []clickRun, hours []engine.HourRollup, referrers []engine.Rollup) error {
	entries := len(hours) + len(referrers)
	var rows []deltaRow
	for bucket, payload := range packRuns(runs) {
		if len(payload) > 0 {
			rows = append(rows, deltaRow{bucket, deltaRuns, payload})
		}
	}
	if entries < deltasFrom {
		if err := s.addRollups(ctx, tx, hours, referrers); err != nil {
			return err
		}
	} else {
		packed := deltas.Pack(hours, referrers, deltas.ByBlock)
		for i, payload := range packed.Payloads {
			rows = append(rows, deltaRow{int(packed.Buckets[i]), deltaRollups, payload})
		}
	}
	err := s.hot.deltas.exec(ctx, tx, len(rows), func(args []any, i int) []any {
		return append(args, int64(rows[i].bucket), int64(rows[i].kind), rows[i].payload)
	})
	if err != nil {
		return fmt.Errorf("insert deltas: %w", err)
	}
	for range 1 + entries/foldEntries {
		if more, err := s.fold(ctx, tx); err != nil || !more {
			return err
		}
	}
	return nil
}

// deltaRow is a row of deltas to be stored.
type deltaRow struct {
	bucket, kind int
	payload      []byte
}

// foldAll folds what waits in all buckets, each in a transaction of its own.
func (s *Store) foldAll(ctx context.Context) error {
	for more := true; more; {
		err := s.write(ctx, "fold deltas", func(ctx context.Context, tx *sql.Tx) (err error) {
			more, err = s.fold(ctx, tx)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// fold takes the deltas of the bucket that has waited longest to where they belong. It reports whether there were any.
func (s *Store) fold(ctx context.Context, tx *sql.Tx) (found bool, err error) {
	var bucket int
	// "+" keeps SQLite from sorting by way of the index.
	err = tx.QueryRowContext(ctx, "SELECT bucket FROM deltas WHERE +bucket != ? ORDER BY id LIMIT 1", damagedBucket).Scan(&bucket)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for deltas: %w", err)
	}
	sums, runs, err := s.takeBucket(ctx, tx, bucket)
	if err != nil {
		return false, err
	}
	hours, referrers := sums.Sorted()
	if err := s.addRollups(ctx, tx, hours, referrers); err != nil {
		return false, err
	}
	err = s.hot.linkRuns.exec(ctx, tx, len(runs), func(args []any, i int) []any { return append(args, int64(runs[i].link), runs[i].last) })
	if err != nil {
		return false, fmt.Errorf("insert the runs of links: %w", err)
	}
	return true, nil
}

// takeBucket takes the deltas of a bucket away, adds them up, and sets those aside that can't be read.
func (s *Store) takeBucket(ctx context.Context, tx *sql.Tx, bucket int) (*deltas.Sums, []linkRun, error) {
	sums := deltas.NewSums(0)
	var runs []linkRun
	var damaged []int64
	err := query(ctx, tx, func(rows *sql.Rows) error {
		var id int64
		var kind int
		var payload sql.RawBytes // valid until the next row
		if err := rows.Scan(&id, &kind, &payload); err != nil {
			return err
		}
		switch {
		case kind == deltaRollups && deltas.Check(payload) == nil:
			return sums.Add(payload)
		case kind == deltaRuns && eachLinkRun(payload, func(linkRun) {}) == nil:
			return eachLinkRun(payload, func(r linkRun) { runs = append(runs, r) })
		}
		damaged = append(damaged, id)
		return nil
	}, "SELECT id, kind, payload FROM deltas WHERE bucket = ?", bucket)
	if err != nil {
		return nil, nil, fmt.Errorf("read the deltas of bucket %d: %w", bucket, err)
	}
	for _, id := range damaged {
		if _, err := tx.ExecContext(ctx, "UPDATE deltas SET bucket = ? WHERE id = ?", damagedBucket, id); err != nil {
			return nil, nil, fmt.Errorf("set row %d of the deltas aside: %w", id, err)
		}
		s.log.Error("a row of deltas is damaged and was set aside: figures of some links lack what was in it, or lists of their clicks do", "row", id, "bucket", bucket)
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM deltas WHERE bucket = ?", bucket); err != nil {
		return nil, nil, fmt.Errorf("take the deltas of bucket %d away: %w", bucket, err)
	}
	sortRuns(runs)
	return sums, runs, nil
}

// waitingOf reads what is not added to a link's figures yet. db has to be the snapshot that those are read from.
func waitingOf(ctx context.Context, db querier, link engine.LinkID) (*deltas.Sums, error) {
	sums := deltas.NewSums(link)
	if err := eachDelta(ctx, db, deltaRollups, []int{deltas.ByBlock(link)}, sums.Add); err != nil {
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
		if b := deltas.ByBlock(links[i].ID); !slices.Contains(buckets, b) {
			buckets = append(buckets, b)
		}
	}
	err := eachDelta(ctx, db, deltaRollups, buckets, func(row []byte) error { return deltas.AddClicks(counts, row) })
	if err != nil {
		return err
	}
	for i := range links {
		links[i].Clicks += counts[links[i].ID]
	}
	return nil
}

// readDeltas takes a kind and a JSON array of buckets.
const readDeltas = "SELECT id, payload FROM deltas WHERE kind = ? AND bucket IN (SELECT value FROM json_each(?))"

// eachDelta hands out the rows of a kind in some buckets, each valid until the next one.
func eachDelta(ctx context.Context, db querier, kind int, buckets []int, fn func(row []byte) error) error {
	args, err := appendJSON([]any{kind}, buckets)
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
			message := fmt.Sprintf("row %d of the deltas is damaged", id) // no outage, so that nobody waits for its end
			return &engine.Error{Code: engine.CodeInternal, Message: message, Err: err}
		}
		return nil
	}, readDeltas, args...)
	if err != nil {
		return fmt.Errorf("read the deltas that wait: %w", err)
	}
	return nil
}
