package sqlite

import (
	"database/sql"
	"strings"
	"time"

	"github.com/carom-dev/carom/engine"
)

// linkColumns are read by scanLink, followed by the number of clicks.
const linkColumns = "l.id, l.domain_id, l.code, l.target, l.title, l.active, l.redirect_status, l.valid_since, l.valid_until, l.max_visits, " +
	"l.forward_query, l.version, l.created_at, l.updated_at"

// selectLinks reads links with their clicks, less those that wait to be added (addWaiting).
const selectLinks = "SELECT " + linkColumns + ", coalesce(t.clicks, 0) FROM links l LEFT JOIN link_totals t ON t.link_id = l.id "

// selectByCodes reads the links of a domain by a JSON array of codes. CROSS JOIN keeps SQLite from trying the links first.
const selectByCodes = "SELECT " + linkColumns + ", 0 FROM json_each(?2) j CROSS JOIN links l ON l.domain_id = ?1 AND l.code = j.value"

func scanLink(row interface{ Scan(...any) error }) (engine.Link, error) {
	var l engine.Link
	var since, until, visits sql.Null[int64]
	var created, updated int64
	err := row.Scan(&l.ID, &l.Domain, &l.Code, &l.Target, &l.Title, &l.Active, &l.RedirectStatus, &since, &until, &visits,
		&l.ForwardQuery, &l.Version, &created, &updated, &l.Clicks)
	l.ValidSince, l.ValidUntil, l.MaxVisits = timeOf(since), timeOf(until), visits.V
	l.CreatedAt, l.UpdatedAt = time.UnixMicro(created).UTC(), time.UnixMicro(updated).UTC()
	return l, err
}

// appendLink appends the columns of an insert.
func appendLink(args []any, l *engine.Link) []any {
	return append(args, int64(l.ID), int64(l.Domain), l.Code, l.Target, l.Title, folded(l.Title), l.Active, int64(l.RedirectStatus),
		micros(l.ValidSince), micros(l.ValidUntil), orNull(l.MaxVisits), l.ForwardQuery, int64(l.Version),
		l.CreatedAt.UnixMicro(), l.UpdatedAt.UnixMicro())
}

// folded is a title in lower case where that differs from what LIKE makes of it by itself, else NULL.
func folded(title string) any {
	for i := range len(title) {
		if title[i] >= 0x80 {
			return strings.ToLower(title)
		}
	}
	return nil
}

// micros is a time as it is stored; unset is NULL.
func micros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

func timeOf(us sql.Null[int64]) time.Time {
	if !us.Valid {
		return time.Time{}
	}
	return time.UnixMicro(us.V).UTC()
}

func orNull(n int64) any {
	if n == 0 {
		return nil
	}
	return n
}
