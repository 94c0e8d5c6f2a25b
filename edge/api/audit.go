package api

import (
	"time"

	"github.com/carom-dev/carom/engine"
)

// auditJSON is a change of a link as the API gives it.
type auditJSON struct {
	ID        engine.AuditID     `json:"id"`
	Link      engine.LinkID      `json:"link_id"`
	Action    engine.AuditAction `json:"action"`
	Key       *engine.KeyID      `json:"actor_key_id"` // null: the command line
	RequestID *string            `json:"request_id"`
	Before    *engine.LinkState  `json:"before"`
	After     *engine.LinkState  `json:"after"`
	At        time.Time          `json:"at"`
}

func (a *API) linkAudit(r *request) error {
	id, err := r.pathID("link")
	if err != nil {
		return err
	}
	q := r.query("limit", "cursor")
	size, after := q.number("limit", pageDefault, 1, pageMax), q.cursor(cursorAudit)
	if err := q.err(); err != nil {
		return err
	}
	ctx, cancel := r.store()
	defer cancel()
	// One more than the page tells whether there is another.
	events, err := a.cfg.Links.LinkAudit(ctx, engine.LinkID(id), engine.AuditID(after), size+1)
	if err != nil {
		return away(err)
	}
	more := len(events) > size
	events = events[:min(len(events), size)]
	out := page[auditJSON]{Data: make([]auditJSON, len(events))}
	for i, e := range events {
		out.Data[i] = auditJSON{
			ID: e.ID, Link: e.Link, Action: e.Action, Key: orNil(e.Key), RequestID: orNil(e.RequestID), Before: e.Before, After: e.After, At: e.At.UTC(),
		}
	}
	if more {
		out.NextCursor = new(numberCursor(cursorAudit, int64(events[len(events)-1].ID)))
	}
	return answerPage(r, out)
}
