package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

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
	if q.Link != 0 {
		if err := s.mustExist(ctx, q.Link); err != nil {
			return nil, s.wrap("read clicks", err)
		}
	}
	ranges, err := s.ranges(ctx, &q)
	if err != nil {
		return nil, s.wrap("read clicks", err)
	}
	var clicks []engine.StoredClick
	for _, r := range ranges {
		if clicks, err = s.clicksOf(ctx, &q, r, clicks); errors.Is(err, errPageFull) {
			break
		}
		if err != nil {
			return nil, s.wrap("read clicks", err)
		}
	}
	return clicks, nil
}

// clicksOf adds the query's clicks in a range of ids; errPageFull when there are as many as are asked for.
func (s *Store) clicksOf(ctx context.Context, q *engine.ClickQuery, r idRange, clicks []engine.StoredClick) ([]engine.StoredClick, error) {
	limit := pageSize(q.Limit)
	text, args := runQuery(q, r)
	err := query(ctx, s.reader, func(rows *sql.Rows) error {
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
		for i := range run {
			id := last - engine.ClickID(n-1-i)
			if id <= q.After || !q.From.IsZero() && run[i].At < q.From.UnixMicro() || !q.To.IsZero() && run[i].At >= q.To.UnixMicro() {
				continue
			}
			if clicks = append(clicks, engine.StoredClick{ID: id, Code: code, Click: run[i]}); len(clicks) == limit {
				return errPageFull
			}
		}
		return nil
	}, text, args...)
	return clicks, err
}

// runQuery asks for the runs of a range that can have clicks of the query, in the order of their ids.
func runQuery(q *engine.ClickQuery, r idRange) (string, []any) {
	text := `SELECT r.last_id, r.link_id, coalesce(l.code, ''), r.clicks, r.data
		FROM click_runs r LEFT JOIN links l ON l.id = r.link_id WHERE r.last_id > ? AND r.last_id <= ?`
	args := []any{r.after, r.last}
	if q.Link != 0 {
		text, args = text+" AND r.link_id = ?", append(args, int64(q.Link))
	}
	if !q.From.IsZero() {
		text, args = text+" AND r.last_at >= ?", append(args, q.From.UnixMicro())
	}
	if !q.To.IsZero() {
		text, args = text+" AND r.first_at < ?", append(args, q.To.UnixMicro())
	}
	return text + " ORDER BY r.last_id", args
}
