package postgres

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/carom-dev/carom/engine"
)

// byCodes chooses links of a domain by their codes, which are joined by codeSeparator.
// Inside the SELECT of their own the planner can't count the codes: it makes one plan for any number of them and keeps it, where it would
// otherwise plan each query for a few codes afresh, which costs as much as running it.
const byCodes = " FROM links l WHERE l.domain_id = $1::integer " +
	"AND l.code = ANY((SELECT string_to_array($2::text, '" + codeSeparator + "'))::text[])"

// loadByCodes reads what tables publish; selectByCodes everything but the clicks.
const (
	loadByCodes   = "SELECT " + loadColumns + byCodes
	selectByCodes = "SELECT " + linkColumns + ", 0::bigint" + byCodes
)

// codeSeparator is in no code.
const codeSeparator = ","

// LoadLinks reads links by key: one query a domain, all of them in one round trip.
func (s *Store) LoadLinks(ctx context.Context, keys []engine.Key) ([]engine.Link, error) {
	asks := byDomain(keys)
	if len(asks) == 0 {
		return nil, nil
	}
	links := make([]engine.Link, 0, len(keys))
	err := s.read(ctx, "load links", func(ctx context.Context, conn *pgx.Conn) error {
		links = links[:0]
		take := func(domain int32) func(pgx.Rows) error {
			return func(rows pgx.Rows) error {
				l, err := scanLoaded(rows)
				l.Domain = engine.DomainID(domain)
				links = append(links, l)
				return err
			}
		}
		if len(asks) == 1 {
			return scan(ctx, conn, take(asks[0].domain), loadByCodes, asks[0].domain, asks[0].codes)
		}
		batch := &pgx.Batch{}
		for _, ask := range asks {
			batch.Queue(loadByCodes, ask.domain, ask.codes).Query(func(rows pgx.Rows) error { return scanRows(rows, take(ask.domain)) })
		}
		return conn.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		return nil, err
	}
	return links, nil
}

// domainCodes are the arguments of byCodes.
type domainCodes struct {
	domain int32
	codes  string
}

// byDomain joins the codes of each domain. Codes that no link can have are left out, as Postgres refuses a query that has bytes
// which are not text, and then the other keys would get no answer.
func byDomain(keys []engine.Key) []domainCodes {
	var domains []engine.DomainID
	joined := map[engine.DomainID][]byte{}
	for _, k := range keys {
		if !engine.ValidCode([]byte(k.Code)) {
			continue
		}
		codes, ok := joined[k.Domain]
		if ok {
			codes = append(codes, codeSeparator...)
		} else {
			domains = append(domains, k.Domain)
			codes = make([]byte, 0, len(keys)*codeLenGuess)
		}
		joined[k.Domain] = append(codes, k.Code...)
	}
	asks := make([]domainCodes, len(domains))
	for i, d := range domains {
		asks[i] = domainCodes{int32(d), string(joined[d])}
	}
	return asks
}

// codeLenGuess is a usual code and its separator.
const codeLenGuess = 12

// Link reads one link.
func (s *Store) Link(ctx context.Context, id engine.LinkID) (engine.Link, error) {
	var l engine.Link
	err := s.read(ctx, "read a link", func(ctx context.Context, conn *pgx.Conn) (err error) {
		l, err = linkByID(ctx, conn, id)
		return err
	})
	return l, err
}

func linkByID(ctx context.Context, db querier, id engine.LinkID) (engine.Link, error) {
	l, err := scanLink(db.QueryRow(ctx, selectLinks+"WHERE l.id = $1", int64(id)))
	if errors.Is(err, pgx.ErrNoRows) {
		return engine.Link{}, noLink(id)
	}
	return l, err
}

// CreateLink stores a new link.
func (s *Store) CreateLink(ctx context.Context, l engine.Link, by engine.Author, idem *engine.Idempotency) (engine.Link, engine.Change, error) {
	if err := l.Check(); err != nil {
		return engine.Link{}, engine.Change{}, err
	}
	by.At = s.moment(by.At)
	var stored engine.Link
	var change engine.Change
	err := s.edit(ctx, "create a link", func(ctx context.Context, tx pgx.Tx) error {
		change = engine.Change{}
		if idem != nil {
			first, err := claim(ctx, tx, by, idem)
			if err != nil {
				return err
			}
			if first != 0 {
				stored, err = linkByID(ctx, tx, first)
				return err
			}
		}
		stored = l.Created(0, by.At)
		made, err := rowsOf([]*engine.Link{&stored}).insert(ctx, tx)
		if err != nil {
			return domainRefusal(err)
		}
		if len(made) == 0 {
			return engine.Errorf(engine.CodeConflict, "the code %q is taken", stored.Code)
		}
		stored.ID = made[stored.Key()]
		if idem != nil {
			_, err := tx.Exec(ctx, "UPDATE idempotency SET link_id = $3 WHERE actor_key_id = $1 AND key = $2", int64(by.Key), idem.Key, int64(stored.ID))
			if err != nil {
				return fmt.Errorf("keep the idempotency key: %w", err)
			}
		}
		changes, err := appendEvents(ctx, tx, by, []event{{link: stored, action: engine.ActionCreated}})
		if err != nil {
			return err
		}
		change = changes[0]
		return nil
	})
	if err != nil {
		return engine.Link{}, engine.Change{}, err
	}
	return stored, change, nil
}

// moment is an author's time as it is stored.
func (s *Store) moment(at time.Time) time.Time {
	if at.IsZero() {
		at = s.cfg.Now()
	}
	return at.UTC().Truncate(time.Microsecond)
}

// claim takes the idempotency key for this transaction, or finds the link that an earlier call with it made. Two calls at the same time: the second
// waits here for the commit of the first.
func claim(ctx context.Context, tx pgx.Tx, by engine.Author, idem *engine.Idempotency) (engine.LinkID, error) {
	expired := by.At.Add(-engine.IdempotencyTTL)
	_, err := tx.Exec(ctx, "DELETE FROM idempotency WHERE actor_key_id = $1 AND key = $2 AND created_at <= $3", int64(by.Key), idem.Key, expired)
	if err != nil {
		return 0, fmt.Errorf("forget an old idempotency key: %w", err)
	}
	tag, err := tx.Exec(ctx, "INSERT INTO idempotency (actor_key_id, key, digest, link_id, created_at) VALUES ($1, $2, $3, 0, $4) ON CONFLICT DO NOTHING",
		int64(by.Key), idem.Key, idem.Digest[:], by.At)
	if err != nil {
		return 0, fmt.Errorf("take the idempotency key: %w", err)
	}
	if tag.RowsAffected() == 1 {
		return 0, nil
	}
	var digest []byte
	var id int64
	err = tx.QueryRow(ctx, "SELECT digest, link_id FROM idempotency WHERE actor_key_id = $1 AND key = $2", int64(by.Key), idem.Key).Scan(&digest, &id)
	if err != nil {
		return 0, fmt.Errorf("look the idempotency key up: %w", err)
	}
	if subtle.ConstantTimeCompare(digest, idem.Digest[:]) != 1 {
		return 0, &engine.Error{Code: engine.CodeInvalid, Message: "the request is not accepted", Fields: []engine.FieldError{
			{Field: "Idempotency-Key", Detail: "was used for another request; take a new one"},
		}}
	}
	return engine.LinkID(id), nil
}

// UpdateLink changes a link by edit, under the lock of its row.
func (s *Store) UpdateLink(
	ctx context.Context, id engine.LinkID, action engine.AuditAction, by engine.Author, edit func(*engine.Link) error,
) (engine.Link, engine.Change, error) {
	by.At = s.moment(by.At)
	var stored engine.Link
	var change engine.Change
	var editErr error
	err := s.edit(ctx, "update a link", func(ctx context.Context, tx pgx.Tx) error {
		change = engine.Change{}
		// The outer join's side is not locked: FOR UPDATE OF l.
		before, err := scanLink(tx.QueryRow(ctx, selectLinks+"WHERE l.id = $1 FOR UPDATE OF l", int64(id)))
		if errors.Is(err, pgx.ErrNoRows) {
			return noLink(id)
		}
		if err != nil {
			return err
		}
		var changed bool
		if stored, changed, editErr = before.Edited(edit, by.At); editErr != nil || !changed {
			return editErr
		}
		if err := rowsOf([]*engine.Link{&stored}).update(ctx, tx); err != nil {
			return err
		}
		changes, err := appendEvents(ctx, tx, by, []event{{link: stored, before: &before, action: action}})
		if err != nil {
			return err
		}
		change = changes[0]
		return nil
	})
	if editErr != nil {
		return engine.Link{}, engine.Change{}, editErr
	}
	if err != nil {
		return engine.Link{}, engine.Change{}, err
	}
	return stored, change, nil
}
