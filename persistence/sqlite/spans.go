package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"math"

	"github.com/carom-dev/carom/engine"
)

// A span is some runs that follow each other, with the earliest and the latest time of a click in them. Clicks of a day are found by the spans that
// can have any: they are stored about in the order of their times, and an index of those would cost a quarter of what storing them does.
const (
	spansVersion = 6
	spanRuns     = 1024 // that a span has at the least before the next one begins

	makeSpans = `CREATE TABLE click_spans (
    last_id  INTEGER PRIMARY KEY, -- of its clicks
    after_id INTEGER NOT NULL,    -- its clicks have ids above this
    runs     INTEGER NOT NULL,
    first_at INTEGER NOT NULL,
    last_at  INTEGER NOT NULL
) STRICT`

	insertSpan = "INSERT INTO click_spans (last_id, after_id, runs, first_at, last_at) VALUES (?, ?, ?, ?, ?)"
)

// spansOfRuns is the migration that gives the runs of a file from before their spans.
func spansOfRuns(ctx context.Context, tx *sql.Tx) error {
	if _, err := tx.ExecContext(ctx, makeSpans); err != nil {
		return fmt.Errorf("make the table of spans: %w", err)
	}
	for last := int64(0); ; {
		var end, after, runs, firstAt, lastAt int64
		err := tx.QueryRowContext(ctx, `SELECT coalesce(max(last_id), 0), coalesce(min(last_id - clicks), 0), count(*), coalesce(min(first_at), 0), coalesce(max(last_at), 0)
			FROM (SELECT last_id, clicks, first_at, last_at FROM click_runs WHERE last_id > ? ORDER BY last_id LIMIT ?)`, last, spanRuns).Scan(&end, &after, &runs, &firstAt, &lastAt)
		if err != nil {
			return fmt.Errorf("read the runs behind %d: %w", last, err)
		}
		if runs == 0 {
			return nil
		}
		if _, err := tx.ExecContext(ctx, insertSpan, end, after, runs, firstAt, lastAt); err != nil {
			return fmt.Errorf("store the span that ends with %d: %w", end, err)
		}
		last = end
	}
}

// addSpan notes runs that were stored behind all others: in the last span, if that has room, or in one of their own.
func addSpan(ctx context.Context, tx *sql.Tx, after int64, runs []clickRun) error {
	end, n := runs[len(runs)-1].last, int64(len(runs))
	firstAt, lastAt := int64(math.MaxInt64), int64(0)
	for i := range runs {
		firstAt, lastAt = min(firstAt, runs[i].firstAt), max(lastAt, runs[i].lastAt)
	}
	result, err := tx.ExecContext(ctx, `UPDATE click_spans SET last_id = ?1, runs = runs + ?2, first_at = min(first_at, ?3), last_at = max(last_at, ?4)
		WHERE last_id = (SELECT max(last_id) FROM click_spans) AND runs < ?5`, end, n, firstAt, lastAt, spanRuns)
	if err != nil {
		return fmt.Errorf("extend the last span: %w", err)
	}
	extended, err := result.RowsAffected()
	if err != nil {
		return fmt.Errorf("extend the last span: %w", err)
	}
	if extended > 0 {
		return nil
	}
	if _, err := tx.ExecContext(ctx, insertSpan, end, after, n, firstAt, lastAt); err != nil {
		return fmt.Errorf("begin a span: %w", err)
	}
	return nil
}

// idRange is the ids above after, up to last.
type idRange struct{ after, last int64 }

// ranges finds where clicks of the query can be, in the order of their ids.
func ranges(ctx context.Context, db querier, q *engine.ClickQuery) ([]idRange, error) {
	if q.From.IsZero() && q.To.IsZero() {
		return []idRange{{int64(q.After), math.MaxInt64}}, nil
	}
	text, args := "SELECT after_id, last_id FROM click_spans WHERE last_id > ?", []any{int64(q.After)}
	if !q.From.IsZero() {
		text, args = text+" AND last_at >= ?", append(args, q.From.UnixMicro())
	}
	if !q.To.IsZero() {
		text, args = text+" AND first_at < ?", append(args, q.To.UnixMicro())
	}
	var found []idRange
	err := query(ctx, db, func(rows *sql.Rows) error {
		var r idRange
		if err := rows.Scan(&r.after, &r.last); err != nil {
			return err
		}
		r.after = max(r.after, int64(q.After))
		if n := len(found); n > 0 && found[n-1].last == r.after {
			found[n-1].last = r.last
		} else {
			found = append(found, r)
		}
		return nil
	}, text+" ORDER BY last_id", args...)
	if err != nil {
		return nil, fmt.Errorf("look for the clicks of these times: %w", err)
	}
	return found, nil
}
