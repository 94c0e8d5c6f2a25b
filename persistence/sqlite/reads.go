package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

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

// Stats reads a link's figures from its rollups, all of them from one snapshot.
func (s *Store) Stats(ctx context.Context, q engine.StatsQuery) (engine.Stats, error) {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return engine.Stats{}, err
	}
	defer leave()
	stats, err := s.stats(ctx, &q)
	if err != nil {
		return engine.Stats{}, s.wrap("read stats", err)
	}
	return stats, nil
}

func (s *Store) stats(ctx context.Context, q *engine.StatsQuery) (stats engine.Stats, err error) {
	tx, err := s.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return stats, fmt.Errorf("begin: %w", err)
	}
	defer func() {
		if e := tx.Rollback(); err == nil && !errors.Is(e, sql.ErrTxDone) {
			err = e
		}
	}()
	from, to := int64(math.MinInt64), int64(math.MaxInt64)
	if !q.From.IsZero() {
		from = q.From.Unix()
	}
	if !q.To.IsZero() {
		to = q.To.Unix()
	}
	width := int64(time.Hour / time.Second)
	if q.Daily {
		width *= 24
	}
	var found bool
	if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM links WHERE id = ?)", int64(q.Link)).Scan(&found); err != nil {
		return stats, fmt.Errorf("look the link up: %w", err)
	}
	if !found {
		return stats, engine.Errorf(engine.CodeNotFound, "there is no link %d", q.Link)
	}
	err = query(ctx, tx, func(rows *sql.Rows) error {
		var start, clicks, visits int64
		if err := rows.Scan(&start, &clicks, &visits); err != nil {
			return err
		}
		stats.Clicks += clicks
		stats.Visits += visits
		stats.Series = append(stats.Series, engine.StatsPoint{Start: time.Unix(start, 0).UTC(), Clicks: clicks})
		return nil
	}, `SELECT hour / ?1 * ?1 AS start, sum(clicks) FILTER (WHERE dimension = 'clicks'), coalesce(sum(clicks) FILTER (WHERE dimension = 'visits'), 0)
		FROM click_rollups WHERE link_id = ?2 AND hour >= ?3 AND hour < ?4 AND dimension IN ('clicks', 'visits') GROUP BY start ORDER BY start`,
		width, int64(q.Link), from, to)
	if err != nil {
		return stats, fmt.Errorf("read the series: %w", err)
	}
	if q.Referrers <= 0 {
		return stats, nil
	}
	err = query(ctx, tx, func(rows *sql.Rows) error {
		var v engine.StatsValue
		err := rows.Scan(&v.Value, &v.Clicks)
		stats.Referrers = append(stats.Referrers, v)
		return err
	}, `SELECT value, sum(clicks) AS n FROM click_rollups WHERE link_id = ? AND hour >= ? AND hour < ? AND dimension = 'referrer'
		GROUP BY value ORDER BY n DESC, value LIMIT ?`, int64(q.Link), from, to, int64(q.Referrers))
	if err != nil {
		return stats, fmt.Errorf("read the referrers: %w", err)
	}
	return stats, nil
}
