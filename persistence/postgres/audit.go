package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/carom-dev/carom/engine"
)

// pageMax bounds pages whose callers give no bound of their own.
const pageMax = 10_000

// pageSize keeps a caller's limit within 1 and pageMax.
func pageSize(limit int) int64 { return int64(min(max(limit, 1), pageMax)) }

// event is a change of a link that is about to enter the change log.
type event struct {
	link   engine.Link
	before *engine.Link // nil for a link that was made
	action engine.AuditAction
}

// appendEvents writes audit events and returns the changes they stand for, in the same order. It must be a transaction's last
// statement: the row of the counter stays locked until the commit, which is what makes ids visible in their order. Edits of all
// instances therefore commit one after the other; they are rare, and the section is one insert and the commit.
func appendEvents(ctx context.Context, tx pgx.Tx, by engine.Author, events []event) ([]engine.Change, error) {
	if len(events) == 0 {
		return nil, nil
	}
	changes := make([]engine.Change, len(events))
	n := len(events)
	links, versions, domains := make([]int64, n), make([]int64, n), make([]int32, n)
	codes, actions := make([]string, n), make([]string, n)
	befores, afters := make([]*string, n), make([]string, n)
	for i := range events {
		e := &events[i]
		c := engine.Change{Link: e.link.ID, Key: e.link.Key(), Version: e.link.Version, Origin: by.Origin, At: by.At.UnixMicro()}
		after, err := encodeState(&e.link)
		if err != nil {
			return nil, err
		}
		afters[i] = after
		if e.before != nil {
			before, err := encodeState(e.before)
			if err != nil {
				return nil, err
			}
			befores[i] = &before
		}
		links[i], versions[i], domains[i], codes[i], actions[i] = int64(c.Link), int64(c.Version), int32(c.Key.Domain), c.Key.Code, string(e.action)
		changes[i] = c
	}
	var last int64
	err := tx.QueryRow(ctx, `WITH taken AS (UPDATE counters SET value = value + $1 WHERE name = 'audit_events' RETURNING value),
		written AS (
			INSERT INTO audit_events (id, link_id, domain_id, code, version, action, actor_key_id, request_id, origin, before, after, at)
			SELECT taken.value - $1 + u.n, u.link, u.domain, u.code, u.version, u.action, $2, $3, $4, u.before::jsonb, u.after::jsonb, $5
			FROM taken, unnest($6::bigint[], $7::integer[], $8::text[], $9::bigint[], $10::text[], $11::text[], $12::text[])
				WITH ORDINALITY AS u (link, domain, code, version, action, before, after, n)
		)
		SELECT value FROM taken`,
		int64(n), int64(by.Key), engine.StoredText([]byte(by.RequestID)), string(by.Origin), by.At,
		links, domains, codes, versions, actions, befores, afters).Scan(&last)
	if err != nil {
		return nil, fmt.Errorf("append to the change log: %w", err)
	}
	for i := range changes {
		changes[i].ID = engine.AuditID(last - int64(n) + int64(i) + 1)
	}
	return changes, nil
}

func encodeState(l *engine.Link) (string, error) {
	state, err := json.Marshal(l.State())
	if err != nil {
		return "", fmt.Errorf("encode a link's state: %w", err)
	}
	return string(state), nil
}

// LinkAudit reads a link's history.
func (s *Store) LinkAudit(ctx context.Context, id engine.LinkID, after engine.AuditID, limit int) ([]engine.AuditEvent, error) {
	var events []engine.AuditEvent
	err := s.readMuch(ctx, "read a link's history", func(ctx context.Context, conn *pgx.Conn) error {
		events = events[:0]
		err := scan(ctx, conn, func(rows pgx.Rows) error {
			e := engine.AuditEvent{Link: id}
			var event, key int64
			var action, state string
			var before *string
			var at time.Time
			if err := rows.Scan(&event, &action, &key, &e.RequestID, &before, &state, &at); err != nil {
				return err
			}
			e.ID, e.Action, e.Key, e.At = engine.AuditID(event), engine.AuditAction(action), engine.KeyID(key), at.UTC()
			if err := json.Unmarshal([]byte(state), &e.After); err != nil {
				return fmt.Errorf("decode the state after event %d: %w", e.ID, err)
			}
			if before != nil {
				if err := json.Unmarshal([]byte(*before), &e.Before); err != nil {
					return fmt.Errorf("decode the state before event %d: %w", e.ID, err)
				}
			}
			events = append(events, e)
			return nil
		}, "SELECT id, action, actor_key_id, request_id, before::text, after::text, at FROM audit_events WHERE link_id = $1 AND id > $2 ORDER BY id LIMIT $3",
			int64(id), int64(after), pageSize(limit))
		if err == nil && len(events) == 0 {
			err = mustExist(ctx, conn, id)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return events, nil
}

// mustExist is CodeNotFound unless there is the link.
func mustExist(ctx context.Context, db querier, id engine.LinkID) error {
	var found bool
	if err := db.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM links WHERE id = $1)", int64(id)).Scan(&found); err != nil {
		return err
	}
	if !found {
		return noLink(id)
	}
	return nil
}

// ChangesSince reads the change log. A snapshot sees a prefix of it, as ids are handed out in the order of commits.
func (s *Store) ChangesSince(ctx context.Context, after engine.AuditID, limit int) ([]engine.Change, error) {
	var changes []engine.Change
	err := s.read(ctx, "read the change log", func(ctx context.Context, conn *pgx.Conn) error {
		changes = changes[:0]
		return scan(ctx, conn, func(rows pgx.Rows) error {
			var c engine.Change
			var id, link, domain, version int64
			var origin string
			var at time.Time
			if err := rows.Scan(&id, &link, &domain, &c.Key.Code, &version, &origin, &at); err != nil {
				return err
			}
			c.ID, c.Link, c.Key.Domain, c.Version, c.Origin = engine.AuditID(id), engine.LinkID(link), engine.DomainID(domain), uint64(version), engine.NodeID(origin)
			c.At = at.UnixMicro()
			changes = append(changes, c)
			return nil
		}, "SELECT id, link_id, domain_id, code, version, origin, at FROM audit_events WHERE id > $1 ORDER BY id LIMIT $2",
			int64(after), pageSize(limit))
	})
	if err != nil {
		return nil, err
	}
	return changes, nil
}

// LastChange is the change log's end; 0 while it is empty.
func (s *Store) LastChange(ctx context.Context) (engine.AuditID, error) {
	var last int64
	err := s.read(ctx, "read the end of the change log", func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT value FROM counters WHERE name = 'audit_events'").Scan(&last)
	})
	return engine.AuditID(last), err
}
