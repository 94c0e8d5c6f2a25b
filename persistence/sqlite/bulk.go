package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// bulkSizes are the numbers of rows a prepared INSERT takes at once. One row a statement halves the clicks a second; 256
// instead of 64 gain nothing and make Open slower (BenchmarkStore/WriteClicks, BenchmarkOpen). SQLite's bound is 32,766
// parameters.
var bulkSizes = [...]int{64, 8, 1}

// bulk is a multi-row INSERT, prepared in each size. Used inside transactions of the writer only.
type bulk struct {
	columns int
	stmts   [len(bulkSizes)]*sql.Stmt
}

// prepareBulk prepares "INSERT INTO into VALUES (?, ...), ... tail".
func prepareBulk(ctx context.Context, db *sql.DB, into string, columns int, tail string) (*bulk, error) {
	b := &bulk{columns: columns}
	row := "(?" + strings.Repeat(",?", columns-1) + ")"
	for i, size := range bulkSizes {
		text := "INSERT INTO " + into + " VALUES " + row + strings.Repeat(","+row, size-1) + " " + tail
		stmt, err := db.PrepareContext(ctx, text) //nolint:sqlclosecheck // lives as long as db, which closes it
		if err != nil {
			return nil, fmt.Errorf("prepare the insert into %s: %w", into, err)
		}
		b.stmts[i] = stmt
	}
	return b, nil
}

// exec inserts rows 0 to n-1; row appends the arguments of one.
func (b *bulk) exec(ctx context.Context, tx *sql.Tx, n int, row func(args []any, i int) []any) error {
	args := make([]any, 0, min(n, bulkSizes[0])*b.columns)
	done := 0
	for i, size := range bulkSizes {
		if n-done < size {
			continue
		}
		stmt := tx.StmtContext(ctx, b.stmts[i]) //nolint:sqlclosecheck // the transaction closes it
		for n-done >= size {
			args = args[:0]
			for range size {
				args = row(args, done)
				done++
			}
			if _, err := stmt.ExecContext(ctx, args...); err != nil {
				return err
			}
		}
	}
	return nil
}

// statements are those that run often, prepared once. Read-only after Open.
type statements struct {
	loadOne, loadMany, codes                                     *sql.Stmt // on the readers of points; codes is on the writer
	runs, deltas, linkRuns, hours, rollups, totals, links, audit *bulk
}

func (h *statements) prepare(ctx context.Context, s *Store) error {
	for _, p := range []struct {
		db   *sql.DB
		stmt **sql.Stmt
		text string
	}{
		{s.points, &h.loadOne, "SELECT " + linkColumns + ", 0 FROM links l WHERE domain_id = ? AND code = ?"},
		{s.points, &h.loadMany, selectByCodes},
		{s.writer, &h.codes, selectByCodes},
	} {
		stmt, err := p.db.PrepareContext(ctx, p.text) //nolint:sqlclosecheck // lives as long as its pool, which closes it
		if err != nil {
			return fmt.Errorf("prepare %q: %w", p.text, err)
		}
		*p.stmt = stmt
	}
	for _, p := range []struct {
		bulk    **bulk
		into    string
		columns int
		tail    string
	}{
		{&h.runs, "click_runs (last_id, link_id, clicks, first_at, last_at, data)", 6, ""},
		{&h.deltas, "deltas (bucket, kind, payload)", 3, ""},
		{&h.linkRuns, "link_runs (link_id, last_id)", 2, "ON CONFLICT DO NOTHING"},
		{
			&h.hours, "click_hours (link_id, hour, clicks, visits, direct)", 5,
			"ON CONFLICT DO UPDATE SET clicks = clicks + excluded.clicks, visits = visits + excluded.visits, direct = direct + excluded.direct",
		},
		{&h.rollups, "click_rollups (link_id, hour, dimension, value, clicks)", 5, "ON CONFLICT DO UPDATE SET clicks = clicks + excluded.clicks"},
		{
			&h.totals, "link_totals (link_id, clicks, visits)", 3,
			"ON CONFLICT DO UPDATE SET clicks = clicks + excluded.clicks, visits = visits + excluded.visits",
		},
		{&h.links, "links (id, domain_id, code, target, title, title_folded, active, redirect_status, valid_since, valid_until, max_visits, " +
			"forward_query, version, created_at, updated_at)", 15, ""},
		{&h.audit, "audit_events (id, link_id, domain_id, code, version, action, actor_key_id, request_id, origin, before, after, at)", 12, ""},
	} {
		b, err := prepareBulk(ctx, s.writer, p.into, p.columns, p.tail)
		if err != nil {
			return err
		}
		*p.bulk = b
	}
	return nil
}
