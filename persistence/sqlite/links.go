package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/carom-dev/carom/engine"
)

// LoadLinks reads links by key, without their clicks, which no table publishes.
func (s *Store) LoadLinks(ctx context.Context, keys []engine.Key) ([]engine.Link, error) {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if len(keys) == 1 {
		l, err := scanLink(s.hot.loadOne.QueryRowContext(ctx, int64(keys[0].Domain), keys[0].Code))
		if errors.Is(err, sql.ErrNoRows) {
			return nil, nil
		}
		if err != nil {
			return nil, s.wrap("load a link", err)
		}
		return []engine.Link{l}, nil
	}
	links := make([]engine.Link, 0, len(keys))
	err = eachDomain(keys, func(domain engine.DomainID, codes []string) error {
		return queryCodes(ctx, s.hot.loadMany, domain, codes, func(l engine.Link) { links = append(links, l) })
	})
	if err != nil {
		return nil, s.wrap("load links", err)
	}
	return links, nil
}

// eachDomain hands out the codes of each domain; with the one domain that most deployments have, that is one call.
func eachDomain(keys []engine.Key, fn func(engine.DomainID, []string) error) error {
	var domains []engine.DomainID
	codes := map[engine.DomainID][]string{}
	for _, k := range keys {
		if _, ok := codes[k.Domain]; !ok {
			domains = append(domains, k.Domain)
			codes[k.Domain] = make([]string, 0, len(keys))
		}
		codes[k.Domain] = append(codes[k.Domain], k.Code)
	}
	for _, d := range domains {
		if err := fn(d, codes[d]); err != nil {
			return err
		}
	}
	return nil
}

// queryCodes runs selectByCodes. One parameter takes any number of codes, so that one statement serves all sizes.
func queryCodes(ctx context.Context, stmt *sql.Stmt, domain engine.DomainID, codes []string, fn func(engine.Link)) error {
	list, err := json.Marshal(codes)
	if err != nil {
		return fmt.Errorf("encode the codes: %w", err)
	}
	rows, err := stmt.QueryContext(ctx, int64(domain), string(list))
	if err != nil {
		return err
	}
	return scanRows(rows, func(rows *sql.Rows) error {
		l, err := scanLink(rows)
		if err == nil {
			fn(l)
		}
		return err
	})
}

// Link reads one link.
func (s *Store) Link(ctx context.Context, id engine.LinkID) (engine.Link, error) {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return engine.Link{}, err
	}
	defer leave()
	var l engine.Link
	err = s.snapshot(ctx, func(tx *sql.Tx) (err error) {
		l, err = linkByID(ctx, tx, id)
		return err
	})
	if err != nil {
		return engine.Link{}, s.wrap("read a link", err)
	}
	return l, nil
}

func linkByID(ctx context.Context, tx *sql.Tx, id engine.LinkID) (engine.Link, error) {
	l, err := scanLink(tx.QueryRowContext(ctx, selectLinks+"WHERE l.id = ?", int64(id)))
	if errors.Is(err, sql.ErrNoRows) {
		return engine.Link{}, engine.Errorf(engine.CodeNotFound, "there is no link %d", id)
	}
	if err != nil {
		return engine.Link{}, err
	}
	one := []engine.Link{l}
	err = addWaiting(ctx, tx, one)
	return one[0], err
}

// CreateLink stores a new link.
func (s *Store) CreateLink(ctx context.Context, l engine.Link, by engine.Author, idem *engine.Idempotency) (engine.Link, engine.Change, error) {
	if err := l.Check(); err != nil {
		return engine.Link{}, engine.Change{}, err
	}
	by.At = s.moment(by.At)
	var stored engine.Link
	var change engine.Change
	err := s.write(ctx, "create a link", func(ctx context.Context, tx *sql.Tx) error {
		if idem != nil {
			id, err := repeated(ctx, tx, by, idem)
			if err != nil {
				return err
			}
			if id != 0 {
				stored, err = linkByID(ctx, tx, id)
				return err
			}
		}
		id, err := nextID(ctx, tx, "links")
		if err != nil {
			return err
		}
		stored = l.Created(engine.LinkID(id), by.At)
		if err := s.insertLinks(ctx, tx, []engine.Link{stored}); err != nil {
			return err
		}
		changes, err := s.appendEvents(ctx, tx, by, []event{{link: stored, action: engine.ActionCreated}})
		if err != nil {
			return err
		}
		change = changes[0]
		if idem != nil {
			return remember(ctx, tx, by, idem, stored.ID)
		}
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
		at = s.now()
	}
	return at.UTC().Truncate(time.Microsecond)
}

// nextID is the id of a table's next row. It stays so until the end of the transaction, as there is one writer.
func nextID(ctx context.Context, tx *sql.Tx, table string) (int64, error) {
	var last int64
	err := tx.QueryRowContext(ctx, "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = ?), 0)", table).Scan(&last)
	return last + 1, err
}

func (s *Store) insertLinks(ctx context.Context, tx *sql.Tx, links []engine.Link) error {
	err := s.hot.links.exec(ctx, tx, len(links), func(args []any, i int) []any { return appendLink(args, &links[i]) })
	return linkRefusal(err, links)
}

// linkRefusal turns what SQLite says of a link into what a client may read.
func linkRefusal(err error, links []engine.Link) error {
	switch {
	case isTaken(err) && len(links) == 1:
		return &engine.Error{Code: engine.CodeConflict, Message: fmt.Sprintf("the code %q is taken", links[0].Code)}
	case isTaken(err):
		return &engine.Error{Code: engine.CodeConflict, Message: "a code is taken"}
	case isOrphan(err):
		return &engine.Error{Code: engine.CodeInvalid, Message: "the link is not accepted", Fields: []engine.FieldError{
			{Field: "domain", Detail: "is not known"},
		}}
	}
	return err
}

// UpdateLink changes a link by edit.
func (s *Store) UpdateLink(
	ctx context.Context, id engine.LinkID, action engine.AuditAction, by engine.Author, edit func(*engine.Link) error,
) (engine.Link, engine.Change, error) {
	by.At = s.moment(by.At)
	var stored engine.Link
	var change engine.Change
	var editErr error
	err := s.write(ctx, "update a link", func(ctx context.Context, tx *sql.Tx) error {
		before, err := linkByID(ctx, tx, id)
		if err != nil {
			return err
		}
		var changed bool
		if stored, changed, editErr = before.Edited(edit, by.At); editErr != nil || !changed {
			return editErr
		}
		if err := updateLink(ctx, tx, &stored); err != nil {
			return err
		}
		changes, err := s.appendEvents(ctx, tx, by, []event{{link: stored, before: &before, action: action}})
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

func updateLink(ctx context.Context, tx *sql.Tx, l *engine.Link) error {
	_, err := tx.ExecContext(ctx, `UPDATE links SET target = ?, title = ?, title_folded = ?, active = ?, redirect_status = ?,
		valid_since = ?, valid_until = ?, max_visits = ?, forward_query = ?, version = ?, updated_at = ? WHERE id = ?`,
		l.Target, l.Title, folded(l.Title), l.Active, int64(l.RedirectStatus),
		micros(l.ValidSince), micros(l.ValidUntil), orNull(l.MaxVisits), l.ForwardQuery, int64(l.Version), l.UpdatedAt.UnixMicro(), int64(l.ID))
	return err
}
