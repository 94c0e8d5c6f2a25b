package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/carom-dev/carom/engine"
)

// linksMax is the largest page of links.
const linksMax = 1000

// order is how a LinkSort reads in SQL.
type order struct {
	column, by string
	after      string // what follows the cursor
}

func orderOf(sort engine.LinkSort) (order, bool) {
	switch sort {
	case "", engine.SortNewest:
		return order{"created_at", "l.created_at DESC, l.id DESC", "(l.created_at, l.id) < (?, ?)"}, true
	case engine.SortOldest:
		return order{"created_at", "l.created_at, l.id", "(l.created_at, l.id) > (?, ?)"}, true
	case engine.SortUpdated:
		return order{"updated_at", "l.updated_at DESC, l.id DESC", "(l.updated_at, l.id) < (?, ?)"}, true
	case engine.SortCode:
		return order{"code", "l.code, l.id", "(l.code, l.id) > (?, ?)"}, true
	}
	return order{}, false
}

// ListLinks reads a page of links by keyset: the cost of a page does not grow with its number.
func (s *Store) ListLinks(ctx context.Context, q engine.LinkQuery) (engine.LinkPage, error) {
	by, ok := orderOf(q.Sort)
	if !ok {
		return engine.LinkPage{}, refusedQuery("sort", fmt.Sprintf("is %q; accepted are %s, %s, %s, %s", q.Sort,
			engine.SortNewest, engine.SortOldest, engine.SortCode, engine.SortUpdated))
	}
	if q.After != nil {
		if at, ok := orderOf(q.After.Sort); !ok || at != by {
			return engine.LinkPage{}, refusedQuery("cursor", "is of a list in another order")
		}
	}
	if len(q.Search) > engine.TargetMaxLen { // SQLite has a bound on patterns too, and what is longer than a target is in none
		return engine.LinkPage{}, refusedQuery("search", fmt.Sprintf("has %d bytes; at most %d are accepted", len(q.Search), engine.TargetMaxLen))
	}
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return engine.LinkPage{}, err
	}
	defer leave()
	where, args := linkFilter(&q)
	var page engine.LinkPage
	if q.Total {
		if err := s.reader.QueryRowContext(ctx, "SELECT count(*) FROM links l "+where, args...).Scan(&page.Total); err != nil {
			return engine.LinkPage{}, s.wrap("count links", err)
		}
	}
	if c := q.After; c != nil {
		where += " AND " + by.after
		if by.column == "code" {
			args = append(args, c.Code, int64(c.ID))
		} else {
			args = append(args, c.Time.UnixMicro(), int64(c.ID))
		}
	}
	limit := min(max(q.Limit, 1), linksMax)
	page.Links = make([]engine.Link, 0, limit+1)
	err = s.snapshot(ctx, func(tx *sql.Tx) error {
		err := query(ctx, tx, func(rows *sql.Rows) error {
			l, err := scanLink(rows)
			page.Links = append(page.Links, l)
			return err
		}, selectLinks+where+" ORDER BY "+by.by+" LIMIT ?", append(args, int64(limit+1))...)
		if err != nil {
			return err
		}
		return addWaiting(ctx, tx, page.Links)
	})
	if err != nil {
		return engine.LinkPage{}, s.wrap("list links", err)
	}
	if len(page.Links) > limit {
		page.Links, page.More = page.Links[:limit], true
	}
	return page, nil
}

func refusedQuery(field, detail string) error {
	return &engine.Error{Code: engine.CodeInvalid, Message: "the query is not accepted", Fields: []engine.FieldError{{Field: field, Detail: detail}}}
}

func linkFilter(q *engine.LinkQuery) (string, []any) {
	where, args := "WHERE l.domain_id = ?", []any{int64(q.Domain)}
	if q.Code != "" {
		where, args = where+" AND l.code = ?", append(args, q.Code)
	}
	if q.Active != nil {
		where, args = where+" AND l.active = ?", append(args, *q.Active)
	}
	if q.Search != "" {
		where += ` AND (l.target LIKE ? ESCAPE '\' OR l.title LIKE ? ESCAPE '\' OR l.title_folded LIKE ? ESCAPE '\')`
		pattern := "%" + likeEscaper.Replace(engine.StoredText([]byte(q.Search))) + "%"
		args = append(args, pattern, pattern, strings.ToLower(pattern))
	}
	return where, args
}

var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)
