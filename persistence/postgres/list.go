package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/carom-dev/carom/engine"
)

// linksMax is the largest page of links.
const linksMax = 1000

// order is how a LinkSort reads in SQL.
type order struct {
	column, by string
	after      string // the comparison with what follows the cursor
}

func orderOf(sort engine.LinkSort) (order, bool) {
	switch sort {
	case "", engine.SortNewest:
		return order{"created_at", "l.created_at DESC, l.id DESC", "(l.created_at, l.id) < "}, true
	case engine.SortOldest:
		return order{"created_at", "l.created_at, l.id", "(l.created_at, l.id) > "}, true
	case engine.SortUpdated:
		return order{"updated_at", "l.updated_at DESC, l.id DESC", "(l.updated_at, l.id) < "}, true
	case engine.SortCode:
		return order{"code", "l.code, l.id", "(l.code, l.id) > "}, true
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
	if len(q.Search) > engine.TargetMaxLen {
		return engine.LinkPage{}, refusedQuery("search", fmt.Sprintf("has %d bytes; at most %d are accepted", len(q.Search), engine.TargetMaxLen))
	}
	all := filterOf(&q)
	page := all.clone()
	if c := q.After; c != nil {
		if by.column == "code" {
			page.add(by.after + "(" + page.arg(c.Code) + "::text, " + page.arg(int64(c.ID)) + ")")
		} else {
			page.add(by.after + "(" + page.arg(c.Time) + "::timestamptz, " + page.arg(int64(c.ID)) + ")")
		}
	}
	limit := min(max(q.Limit, 1), linksMax)
	// The page is cut out before the totals are joined: with the join inside, the planner may read all totals.
	text := "SELECT " + linkColumns + ", coalesce(t.clicks, 0) FROM (SELECT * FROM links l " + page.where() + " ORDER BY " + by.by +
		" LIMIT " + page.arg(int64(limit+1)) + ") l LEFT JOIN link_totals t ON t.link_id = l.id ORDER BY " + by.by
	var out engine.LinkPage
	err := s.readMuch(ctx, "list links", func(ctx context.Context, conn *pgx.Conn) error {
		out = engine.LinkPage{Links: make([]engine.Link, 0, limit+1)}
		if q.Total {
			if err := conn.QueryRow(ctx, "SELECT count(*) FROM links l "+all.where(), all.args...).Scan(&out.Total); err != nil {
				return fmt.Errorf("count: %w", err)
			}
		}
		return scan(ctx, conn, func(rows pgx.Rows) error {
			l, err := scanLink(rows)
			out.Links = append(out.Links, l)
			return err
		}, text, page.args...)
	})
	if err != nil {
		return engine.LinkPage{}, err
	}
	if len(out.Links) > limit {
		out.Links, out.More = out.Links[:limit], true
	}
	return out, nil
}

func refusedQuery(field, detail string) error {
	return &engine.Error{Code: engine.CodeInvalid, Message: "the query is not accepted", Fields: []engine.FieldError{{Field: field, Detail: detail}}}
}

// filter is a WHERE clause of one term or more, with its arguments.
type filter struct {
	terms []string
	args  []any
}

// arg takes an argument and returns its placeholder.
func (f *filter) arg(v any) string {
	f.args = append(f.args, v)
	return "$" + strconv.Itoa(len(f.args))
}

func (f *filter) add(term string) { f.terms = append(f.terms, term) }

func (f *filter) where() string {
	return "WHERE " + strings.Join(f.terms, " AND ")
}

func (f *filter) clone() *filter {
	return &filter{terms: append([]string(nil), f.terms...), args: append([]any(nil), f.args...)}
}

func filterOf(q *engine.LinkQuery) *filter {
	f := &filter{}
	f.add("l.domain_id = " + f.arg(int64(q.Domain)))
	if q.Code != "" {
		f.add("l.code = " + f.arg(engine.StoredText([]byte(q.Code))))
	}
	if q.Active != nil {
		f.add("l.active = " + f.arg(*q.Active))
	}
	if q.Search != "" {
		part := engine.StoredText([]byte(q.Search))
		// strpos and not LIKE, so that nothing in part is special. Targets are ASCII, which lower() folds in any locale.
		f.add("(strpos(lower(l.target), lower(" + f.arg(part) + "::text)) > 0 OR strpos(coalesce(l.title_folded, lower(l.title)), " +
			f.arg(strings.ToLower(part)) + "::text) > 0)")
	}
	return f
}
