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
// that has many of them writes deltas instead, one behind the other, and folds some of those from before.
const (
	// deltasFrom rollups on, a batch writes them as deltas: below, adding them at once costs less than a row for each bucket.
	deltasFrom = 256
	// foldEntries are what is folded of a bucket in one step, with the rest of a row. The more of them, the more fall together.
	foldEntries = 8192
	// deltasMax is about how many rows wait: those of some fifty batches of 5,000. Readers have to add up a bucket's part of them.
	deltasMax = 8192
)

// What a row of deltas has.
const (
	deltaRollups = 1 // as deltas.Pack packs them
	deltaRuns    = 2 // as packRuns does
)

// deltaRow is a row of deltas to be stored.
type deltaRow struct {
	bucket, kind int
	payload      []byte
}

// writeByLink stores what lies by link: a batch's rollups at once, if they are few, and else as deltas; its runs always so, as those that wait must
// be behind those that do not. It takes a step of folding, and more while too much waits, but not many times as much as it has written.
func (s *Store) writeByLink(ctx context.Context, tx *sql.Tx, runs []clickRun, hours []engine.HourRollup, referrers []engine.Rollup) (damaged []int64, err error) {
	entries := len(hours) + len(referrers)
	var rows []deltaRow
	for bucket, payload := range packRuns(runs) {
		if len(payload) > 0 {
			rows = append(rows, deltaRow{bucket, deltaRuns, payload})
		}
	}
	if entries < deltasFrom {
		if err := s.addRollups(ctx, tx, hours, referrers); err != nil {
			return nil, err
		}
	} else {
		packed := deltas.Pack(hours, referrers, deltas.ByBlock)
		for i, payload := range packed.Payloads {
			rows = append(rows, deltaRow{int(packed.Buckets[i]), deltaRollups, payload})
		}
	}
	err = s.hot.deltas.exec(ctx, tx, len(rows), func(args []any, i int) []any {
		return append(args, int64(rows[i].bucket), int64(rows[i].kind), appendSum(rows[i].payload, 0))
	})
	if err != nil {
		return nil, fmt.Errorf("insert deltas: %w", err)
	}
	steps := 2 * (1 + (entries+len(runs))/foldEntries)
	for step := range steps {
		oldest, newest, err := waitingDeltas(ctx, tx)
		if err != nil || oldest == 0 || step > 0 && newest-oldest < deltasMax {
			return damaged, err
		}
		more, err := s.fold(ctx, tx, oldest)
		if damaged = append(damaged, more...); err != nil {
			return damaged, err
		}
	}
	return damaged, nil
}

// waitingDeltas are the ids of the first and the last row of deltas; 0 when there is none.
func waitingDeltas(ctx context.Context, tx *sql.Tx) (oldest, newest int64, err error) {
	err = tx.QueryRowContext(ctx, "SELECT coalesce((SELECT min(id) FROM deltas), 0), coalesce((SELECT max(id) FROM deltas), 0)").Scan(&oldest, &newest)
	if err != nil {
		return 0, 0, fmt.Errorf("look for deltas: %w", err)
	}
	return oldest, newest, nil
}

// foldAll folds what waits when it is called, step by step, each a transaction of its own.
func (s *Store) foldAll(ctx context.Context) error {
	for until, done := int64(0), false; !done; {
		var damaged []int64
		err := s.write(ctx, "fold deltas", func(ctx context.Context, tx *sql.Tx) error {
			oldest, newest, err := waitingDeltas(ctx, tx)
			if err != nil {
				return err
			}
			if until == 0 {
				until = newest
			}
			if done = oldest == 0 || oldest > until; done {
				return nil
			}
			damaged, err = s.fold(ctx, tx, oldest)
			return err
		})
		if err != nil {
			return err
		}
		s.tellDamaged(damaged)
	}
	return nil
}

// fold takes the first deltas of the bucket that has the oldest one to where they belong, and returns the ids of those that can't be read, which
// it sets aside.
func (s *Store) fold(ctx context.Context, tx *sql.Tx, oldest int64) (damaged []int64, err error) {
	f := folding{sums: deltas.NewSums(0)}
	if err := tx.QueryRowContext(ctx, "SELECT bucket FROM deltas WHERE id = ?", oldest).Scan(&f.bucket); err != nil {
		return nil, fmt.Errorf("read the bucket of row %d of the deltas: %w", oldest, err)
	}
	err = query(ctx, tx, f.scan, readBucket, f.bucket)
	if err != nil && !errors.Is(err, errEnough) {
		return nil, fmt.Errorf("read the deltas of bucket %d: %w", f.bucket, err)
	}
	for _, id := range f.damaged {
		if _, err := tx.ExecContext(ctx, "INSERT INTO damaged_deltas SELECT * FROM deltas WHERE id = ?", id); err != nil {
			return nil, fmt.Errorf("set row %d of the deltas aside: %w", id, err)
		}
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM deltas WHERE bucket = ? AND id <= ?", f.bucket, f.last); err != nil {
		return nil, fmt.Errorf("take the deltas of bucket %d away: %w", f.bucket, err)
	}
	hours, referrers := f.sums.Sorted()
	if err := s.addRollups(ctx, tx, hours, referrers); err != nil {
		return nil, err
	}
	sortRuns(f.runs)
	err = s.hot.linkRuns.exec(ctx, tx, len(f.runs), func(args []any, i int) []any { return append(args, int64(f.runs[i].link), f.runs[i].last) })
	if err != nil {
		return nil, fmt.Errorf("insert the runs of links: %w", err)
	}
	return f.damaged, nil
}

const readBucket = "SELECT id, kind, payload FROM deltas WHERE bucket = ? ORDER BY id"

// errEnough ends a step of folding.
var errEnough = errors.New("enough is read")

// folding is what a step has taken of a bucket.
type folding struct {
	bucket  int
	last    int64 // id
	entries int
	sums    *deltas.Sums
	runs    []linkRun
	damaged []int64
}

// scan takes a row; errEnough when it shall be the last one.
func (f *folding) scan(rows *sql.Rows) error {
	var kind int
	var row sql.RawBytes // valid until the next row
	if err := rows.Scan(&f.last, &kind, &row); err != nil {
		return err
	}
	payload, ok := cutSum(row)
	switch {
	case ok && kind == deltaRollups && deltas.Check(payload) == nil:
		n, err := f.sums.Add(payload)
		if err != nil {
			return err
		}
		f.entries += n
	case ok && kind == deltaRuns && eachLinkRun(payload, func(linkRun) {}) == nil:
		err := eachLinkRun(payload, func(r linkRun) { f.runs = append(f.runs, r) })
		if err != nil {
			return err
		}
	default:
		f.damaged = append(f.damaged, f.last)
	}
	if f.entries+len(f.runs) >= foldEntries {
		return errEnough
	}
	return nil
}

// tellDamaged logs what was set aside, once that is stored.
func (s *Store) tellDamaged(ids []int64) {
	for _, id := range ids {
		s.log.Error("a row of deltas is damaged and was set aside: figures of some links lack what was in it, or lists of their clicks do", "row", id)
	}
}

// waitingOf reads what is not added to a link's figures yet. db has to be the snapshot that those are read from.
func waitingOf(ctx context.Context, db querier, link engine.LinkID) (*deltas.Sums, error) {
	sums := deltas.NewSums(link)
	err := eachDelta(ctx, db, deltaRollups, []int{deltas.ByBlock(link)}, func(row []byte) error {
		_, err := sums.Add(row)
		return err
	})
	if err != nil {
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
		err := deltas.ErrDamaged
		if payload, ok := cutSum(payload); ok {
			err = fn(payload)
		}
		if err != nil {
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
