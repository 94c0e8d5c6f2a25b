package postgres

import (
	"context"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/carom-dev/carom/engine"
)

// Clicks reads a page of clicks. Ids are handed out in the order of commits (see WriteClicks), so a snapshot sees all clicks up to
// some id and none after it.
func (s *Store) Clicks(ctx context.Context, q engine.ClickQuery) ([]engine.StoredClick, error) {
	f := &filter{}
	f.add("id > " + f.arg(int64(q.After)))
	if q.Link != 0 {
		f.add("link_id = " + f.arg(int64(q.Link)))
	}
	if !q.From.IsZero() {
		f.add("at >= " + f.arg(q.From))
	}
	if !q.To.IsZero() {
		f.add("at < " + f.arg(q.To))
	}
	// The page is cut out before the codes are joined, so that only its own links are looked up.
	text := `SELECT c.id, c.link_id, coalesce(l.code, ''), c.at, c.visitor, c.status, c.flags, c.address, c.user_agent, c.referrer, c.language
		FROM (SELECT * FROM clicks ` + f.where() + ` ORDER BY id LIMIT ` + f.arg(pageSize(q.Limit)) + `) c LEFT JOIN links l ON l.id = c.link_id ORDER BY c.id`
	var clicks []engine.StoredClick
	err := s.readMuch(ctx, "read clicks", func(ctx context.Context, conn *pgx.Conn) error {
		clicks = clicks[:0]
		if q.Link != 0 {
			if err := mustExist(ctx, conn, q.Link); err != nil {
				return err
			}
		}
		return scan(ctx, conn, func(rows pgx.Rows) error {
			c, err := scanClick(rows)
			clicks = append(clicks, c)
			return err
		}, text, f.args...)
	})
	if err != nil {
		return nil, err
	}
	return clicks, nil
}

func scanClick(row pgx.Row) (engine.StoredClick, error) {
	var c engine.StoredClick
	var id, link, visitor int64
	var status, flags int16
	var at time.Time
	var network *netip.Prefix
	var agent, referrer, language *string
	if err := row.Scan(&id, &link, &c.Code, &at, &visitor, &status, &flags, &network, &agent, &referrer, &language); err != nil {
		return c, err
	}
	c.ID, c.Link, c.At, c.Visitor = engine.ClickID(id), engine.LinkID(link), at.UnixMicro(), uint64(visitor)
	c.Status, c.Flags = uint16(status), engine.ClickFlags(flags)
	c.UserAgent, c.Referrer, c.Language = textOf(agent), textOf(referrer), textOf(language)
	if network != nil {
		c.Address = engine.TruncateAddr(network.Addr())
	}
	return c, nil
}
