package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/carom-dev/carom/engine"
)

// pageMax bounds pages whose callers give no bound of their own.
const pageMax = 10_000

// event is a change of a link that is about to enter the change log.
type event struct {
	link   engine.Link
	before *engine.Link // nil for a link that was made
	action engine.AuditAction
}

// appendEvents writes audit events and returns the changes they stand for, in the same order.
func (s *Store) appendEvents(ctx context.Context, tx *sql.Tx, by engine.Author, events []event) ([]engine.Change, error) {
	first, err := nextID(ctx, tx, "audit_events")
	if err != nil {
		return nil, fmt.Errorf("read the end of the change log: %w", err)
	}
	changes := make([]engine.Change, len(events))
	states := make([][2]any, len(events)) // before and after
	for i := range events {
		e := &events[i]
		changes[i] = engine.Change{
			ID: engine.AuditID(first + int64(i)), Link: e.link.ID, Key: e.link.Key(), Version: e.link.Version, Origin: by.Origin, At: by.At.UnixMicro(),
		}
		for j, l := range []*engine.Link{e.before, &e.link} {
			if l == nil {
				continue
			}
			state, err := json.Marshal(l.State())
			if err != nil {
				return nil, fmt.Errorf("encode a link's state: %w", err)
			}
			states[i][j] = string(state)
		}
	}
	at := by.At.UnixMicro()
	err = s.hot.audit.exec(ctx, tx, len(events), func(args []any, i int) []any {
		c := &changes[i]
		return append(args, int64(c.ID), int64(c.Link), int64(c.Key.Domain), c.Key.Code, int64(c.Version), string(events[i].action),
			int64(by.Key), by.RequestID, string(by.Origin), states[i][0], states[i][1], at)
	})
	if err != nil {
		return nil, fmt.Errorf("append to the change log: %w", err)
	}
	return changes, nil
}

// LinkAudit reads a link's history.
func (s *Store) LinkAudit(ctx context.Context, id engine.LinkID, after engine.AuditID, limit int) ([]engine.AuditEvent, error) {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	var events []engine.AuditEvent
	err = query(ctx, s.reader, func(rows *sql.Rows) error {
		e := engine.AuditEvent{Link: id}
		var before, state []byte
		var at int64
		if err := rows.Scan(&e.ID, &e.Action, &e.Key, &e.RequestID, &before, &state, &at); err != nil {
			return err
		}
		e.At = time.UnixMicro(at).UTC()
		for _, s := range []struct {
			text []byte
			into **engine.LinkState
		}{{before, &e.Before}, {state, &e.After}} {
			if s.text == nil {
				continue
			}
			if err := json.Unmarshal(s.text, s.into); err != nil {
				return fmt.Errorf("decode the state in event %d: %w", e.ID, err)
			}
		}
		events = append(events, e)
		return nil
	}, "SELECT id, action, actor_key_id, request_id, before, after, at FROM audit_events WHERE link_id = ? AND id > ? ORDER BY id LIMIT ?",
		int64(id), int64(after), pageSize(limit))
	if err == nil && len(events) == 0 {
		err = mustExist(ctx, s.reader, id)
	}
	if err != nil {
		return nil, s.wrap("read a link's history", err)
	}
	return events, nil
}

// mustExist is CodeNotFound unless there is the link.
func mustExist(ctx context.Context, db querier, id engine.LinkID) error {
	var found bool
	if err := db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM links WHERE id = ?)", int64(id)).Scan(&found); err != nil {
		return err
	}
	if !found {
		return engine.Errorf(engine.CodeNotFound, "there is no link %d", id)
	}
	return nil
}

// pageSize keeps a caller's limit within 1 and pageMax.
func pageSize(limit int) int { return min(max(limit, 1), pageMax) }

// ChangesSince reads the change log. With one writer, ids become visible in their order.
func (s *Store) ChangesSince(ctx context.Context, after engine.AuditID, limit int) ([]engine.Change, error) {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	var changes []engine.Change
	err = query(ctx, s.reader, func(rows *sql.Rows) error {
		var c engine.Change
		if err := rows.Scan(&c.ID, &c.Link, &c.Key.Domain, &c.Key.Code, &c.Version, &c.Origin, &c.At); err != nil {
			return err
		}
		changes = append(changes, c)
		return nil
	}, "SELECT id, link_id, domain_id, code, version, origin, at FROM audit_events WHERE id > ? ORDER BY id LIMIT ?", int64(after), pageSize(limit))
	if err != nil {
		return nil, s.wrap("read the change log", err)
	}
	return changes, nil
}

// LastChange is the change log's end; 0 while it is empty.
func (s *Store) LastChange(ctx context.Context) (engine.AuditID, error) {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	var last engine.AuditID
	if err := s.reader.QueryRowContext(ctx, "SELECT coalesce(max(id), 0) FROM audit_events").Scan(&last); err != nil {
		return 0, s.wrap("read the end of the change log", err)
	}
	return last, nil
}
