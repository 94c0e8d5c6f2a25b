package sqlite

import (
	"context"
	"database/sql"

	"github.com/carom-dev/carom/engine"
)

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
	text, args := clickQuery(&q)
	var clicks []engine.StoredClick
	err = query(ctx, s.reader, func(rows *sql.Rows) error {
		var c engine.StoredClick
		var visitor, address int64
		if err := rows.Scan(&c.ID, &c.Code, &c.Link, &c.At, &visitor, &address, &c.Status, &c.Flags, &c.UserAgent, &c.Referrer, &c.Language); err != nil {
			return err
		}
		c.Visitor, c.Address = uint64(visitor), unpackAddress(address)
		clicks = append(clicks, c)
		return nil
	}, text, args...)
	if err != nil {
		return nil, s.wrap("read clicks", err)
	}
	return clicks, nil
}

func clickQuery(q *engine.ClickQuery) (string, []any) {
	text := `SELECT c.id, coalesce(l.code, ''), c.link_id, c.at, c.visitor, c.address, c.status, c.flags, c.user_agent, c.referrer, c.language
		FROM clicks c LEFT JOIN links l ON l.id = c.link_id WHERE c.id > ?`
	args := []any{int64(q.After)}
	if q.Link != 0 {
		text, args = text+" AND c.link_id = ?", append(args, int64(q.Link))
	}
	if !q.From.IsZero() {
		text, args = text+" AND c.at >= ?", append(args, q.From.UnixMicro())
	}
	if !q.To.IsZero() {
		text, args = text+" AND c.at < ?", append(args, q.To.UnixMicro())
	}
	return text + " ORDER BY c.id LIMIT ?", append(args, pageSize(q.Limit))
}
