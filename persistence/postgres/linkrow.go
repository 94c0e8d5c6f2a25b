package postgres

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/carom-dev/carom/engine"
)

// linkColumns are read by scanLink, followed by the number of clicks.
const linkColumns = "l.id, l.domain_id, l.code, l.target, l.title, l.active, l.redirect_status, l.valid_since, l.valid_until, l.max_visits, " +
	"l.forward_query, l.version, l.created_at, l.updated_at"

// selectLinks reads links with their clicks.
const selectLinks = "SELECT " + linkColumns + ", coalesce(t.clicks, 0) FROM links l LEFT JOIN link_totals t ON t.link_id = l.id "

func scanLink(row pgx.Row) (engine.Link, error) {
	var l engine.Link
	var domain int64
	var v linkValues
	err := row.Scan(&v.id, &domain, &l.Code, &l.Target, &l.Title, &l.Active, &v.status, &v.since, &v.until, &v.visits,
		&l.ForwardQuery, &v.version, &l.CreatedAt, &l.UpdatedAt, &l.Clicks)
	if err != nil {
		return engine.Link{}, err
	}
	l.Domain = engine.DomainID(domain)
	v.into(&l)
	return l, nil
}

// linkValues are values of a row whose types are not a link's own.
type linkValues struct {
	id, version  int64
	status       int32
	since, until *time.Time
	visits       *int64
}

func (v *linkValues) into(l *engine.Link) {
	l.ID, l.Version, l.RedirectStatus = engine.LinkID(v.id), uint64(v.version), int(v.status)
	if v.since != nil {
		l.ValidSince = *v.since
	}
	if v.until != nil {
		l.ValidUntil = *v.until
	}
	if v.visits != nil {
		l.MaxVisits = *v.visits
	}
	l.Normalize()
}

// linkRows are links as one array a column, so that one statement takes any number of them.
type linkRows struct {
	id, visits, version []int64
	domain, status      []int32
	code, target, title []string
	folded              []*string
	active, forward     []bool
	since, until        []*time.Time
	created, updated    []time.Time
}

func rowsOf(links []*engine.Link) *linkRows {
	r := &linkRows{}
	for _, l := range links {
		r.id, r.domain, r.code = append(r.id, int64(l.ID)), append(r.domain, int32(l.Domain)), append(r.code, l.Code)
		r.target, r.title, r.folded = append(r.target, l.Target), append(r.title, l.Title), append(r.folded, folded(l.Title))
		r.active, r.status = append(r.active, l.Active), append(r.status, int32(l.RedirectStatus))
		r.since, r.until = append(r.since, orNull(l.ValidSince)), append(r.until, orNull(l.ValidUntil))
		r.visits, r.forward = append(r.visits, l.MaxVisits), append(r.forward, l.ForwardQuery)
		r.version = append(r.version, int64(l.Version))
		r.created, r.updated = append(r.created, l.CreatedAt), append(r.updated, l.UpdatedAt)
	}
	return r
}

// insert leaves out the links whose code is taken, and returns the ids of the others. Rows are inserted in the order of
// the arrays: callers sort by key, so that two instances do not wait for each other.
func (r *linkRows) insert(ctx context.Context, tx pgx.Tx) (map[engine.Key]engine.LinkID, error) {
	made := make(map[engine.Key]engine.LinkID, len(r.code))
	err := scan(ctx, tx, func(rows pgx.Rows) error {
		var id, domain int64
		var code string
		if err := rows.Scan(&id, &domain, &code); err != nil {
			return err
		}
		made[engine.Key{Domain: engine.DomainID(domain), Code: code}] = engine.LinkID(id)
		return nil
	}, `INSERT INTO links (domain_id, code, target, title, title_folded, active, redirect_status, valid_since, valid_until, max_visits,
			forward_query, version, created_at, updated_at)
		SELECT domain, code, target, title, folded, active, status, since, until, nullif(visits, 0), forward, version, created, updated
		FROM unnest($1::integer[], $2::text[], $3::text[], $4::text[], $5::text[], $6::boolean[], $7::integer[], $8::timestamptz[],
			$9::timestamptz[], $10::bigint[], $11::boolean[], $12::bigint[], $13::timestamptz[], $14::timestamptz[])
			AS u (domain, code, target, title, folded, active, status, since, until, visits, forward, version, created, updated)
		ON CONFLICT (domain_id, code) DO NOTHING RETURNING id, domain_id, code`,
		r.domain, r.code, r.target, r.title, r.folded, r.active, r.status, r.since, r.until, r.visits, r.forward, r.version, r.created, r.updated)
	return made, err
}

// update stores links that the transaction has locked.
func (r *linkRows) update(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `UPDATE links SET target = u.target, title = u.title, title_folded = u.folded, active = u.active,
			redirect_status = u.status, valid_since = u.since, valid_until = u.until, max_visits = nullif(u.visits, 0),
			forward_query = u.forward, version = u.version, updated_at = u.updated
		FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::integer[], $7::timestamptz[],
			$8::timestamptz[], $9::bigint[], $10::boolean[], $11::bigint[], $12::timestamptz[])
			AS u (id, target, title, folded, active, status, since, until, visits, forward, version, updated)
		WHERE links.id = u.id`,
		r.id, r.target, r.title, r.folded, r.active, r.status, r.since, r.until, r.visits, r.forward, r.version, r.updated)
	return err
}

// folded is a title in lower case where that differs from what the database makes of it by bytes, else NULL.
func folded(title string) *string {
	for i := range len(title) {
		if title[i] >= 0x80 {
			return new(strings.ToLower(title))
		}
	}
	return nil
}

func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// domainRefusal turns what Postgres says of a domain that is not there into what a client may read.
func domainRefusal(err error) error {
	if sqlState(err) != foreignKeyViolation {
		return err
	}
	return &engine.Error{Code: engine.CodeInvalid, Message: "the link is not accepted", Fields: []engine.FieldError{{Field: "domain", Detail: "is not known"}}}
}

func noLink(id engine.LinkID) error {
	return engine.Errorf(engine.CodeNotFound, "there is no link %d", id)
}
