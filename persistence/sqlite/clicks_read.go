package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/carom-dev/carom/engine"
)

// errPageFull ends a query whose page is complete.
var errPageFull = errors.New("page is full")

// Clicks reads stored clicks. Clicks of a link that is not there have no code.
func (s *Store) Clicks(ctx context.Context, q engine.ClickQuery) ([]engine.StoredClick, error) {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	page := clickPage{query: &q}
	err = s.snapshot(ctx, func(tx *sql.Tx) error {
		queries, err := runQueries(ctx, tx, &q)
		if err != nil {
			return err
		}
		for _, r := range queries {
			if err := query(ctx, tx, page.scan, r.text(), r.args...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, errPageFull) {
		return nil, s.wrap("read clicks", err)
	}
	return page.clicks, nil
}

// clickPage are the clicks of a query that were found.
type clickPage struct {
	query  *engine.ClickQuery
	clicks []engine.StoredClick
}

// scan adds the query's clicks in a run; errPageFull when there are as many as are asked for.
func (p *clickPage) scan(rows *sql.Rows) error {
	var last engine.ClickID
	var link engine.LinkID
	var code string
	var n int
	var data []byte
	if err := rows.Scan(&last, &link, &code, &n, &data); err != nil {
		return err
	}
	run, err := decodeRun(data, link, n)
	if err != nil {
		// No outage, so that nobody waits for its end.
		message := fmt.Sprintf("the run of clicks that ends with %d is damaged", last)
		return &engine.Error{Code: engine.CodeInternal, Message: message, Err: fmt.Errorf("run of %d clicks of link %d: %w", n, link, err)}
	}
	q := p.query
	for i := range run {
		id := last - engine.ClickID(n-1-i)
		if id <= q.After || !q.From.IsZero() && run[i].At < q.From.UnixMicro() || !q.To.IsZero() && run[i].At >= q.To.UnixMicro() {
			continue
		}
		if p.clicks = append(p.clicks, engine.StoredClick{ID: id, Code: code, Click: run[i]}); len(p.clicks) == pageSize(q.Limit) {
			return errPageFull
		}
	}
	return nil
}

// runQuery asks for runs, in the order of their ids.
type runQuery struct {
	from, where, by string
	args            []any
}

func (r *runQuery) text() string {
	return "SELECT r.last_id, r.link_id, coalesce(l.code, ''), r.clicks, r.data FROM " + r.from + " LEFT JOIN links l ON l.id = r.link_id WHERE " + r.where + " ORDER BY " + r.by
}

// runQueries ask, one after the other, for all runs that can have clicks of a query. db has to be a snapshot.
func runQueries(ctx context.Context, db querier, q *engine.ClickQuery) ([]runQuery, error) {
	ranges, err := ranges(ctx, db, q)
	if err != nil {
		return nil, err
	}
	var queries []runQuery
	if q.Link == 0 {
		for _, r := range ranges {
			queries = append(queries, runsOfAll(q, r))
		}
		return queries, nil
	}
	if err := mustExist(ctx, db, q.Link); err != nil {
		return nil, err
	}
	waiting, err := waitingRuns(ctx, db, q.Link)
	if err != nil {
		return nil, err
	}
	for _, r := range ranges {
		queries = append(queries, runsOfLink(q, r))
	}
	// What waits is behind all that does not.
	for ids := range slices.Chunk(within(ranges, waiting), waitingChunk) {
		list, err := appendJSON(nil, ids)
		if err != nil {
			return nil, err
		}
		queries = append(queries, runsByID(q, list[0]))
	}
	return queries, nil
}

// waitingChunk runs that wait are asked for at once.
const waitingChunk = 256

// within are those of ids, in their order, that lie in one of the ranges.
func within(ranges []idRange, ids []int64) []int64 {
	return slices.DeleteFunc(ids, func(id int64) bool {
		return !slices.ContainsFunc(ranges, func(r idRange) bool { return id > r.after && id <= r.last })
	})
}

func runsOfAll(q *engine.ClickQuery, r idRange) runQuery {
	return runQuery{"click_runs r", "r.last_id > ? AND r.last_id <= ?", "r.last_id", []any{r.after, r.last}}.at(q)
}

func runsOfLink(q *engine.ClickQuery, r idRange) runQuery {
	return runQuery{
		"link_runs x CROSS JOIN click_runs r ON r.last_id = x.last_id AND r.link_id = x.link_id", "x.link_id = ? AND x.last_id > ? AND x.last_id <= ?", "x.last_id", []any{int64(q.Link), r.after, r.last},
	}.at(q)
}

// runsByID takes a JSON array.
func runsByID(q *engine.ClickQuery, ids any) runQuery {
	return runQuery{"click_runs r", "r.last_id IN (SELECT value FROM json_each(?)) AND r.link_id = ?", "r.last_id", []any{ids, int64(q.Link)}}.at(q)
}

// at leaves only the runs that can have clicks of the query's time.
func (r runQuery) at(q *engine.ClickQuery) runQuery {
	if !q.From.IsZero() {
		r.where, r.args = r.where+" AND r.last_at >= ?", append(r.args, q.From.UnixMicro())
	}
	if !q.To.IsZero() {
		r.where, r.args = r.where+" AND r.first_at < ?", append(r.args, q.To.UnixMicro())
	}
	return r
}
