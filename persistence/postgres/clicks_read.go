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
	err := s.read(ctx, "read clicks", func(ctx context.Context, conn *pgx.Conn) error {
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

// Stats reads a link's figures from its rollups. The queries see one snapshot, so that the total is the series' sum.
func (s *Store) Stats(ctx context.Context, q engine.StatsQuery) (engine.Stats, error) {
	from, to := time.Unix(0, 0), time.UnixMicro(atMax)
	if !q.From.IsZero() {
		from = q.From
	}
	if !q.To.IsZero() {
		to = q.To
	}
	unit := "hour"
	if q.Daily {
		unit = "day"
	}
	var stats engine.Stats
	err := s.read(ctx, "read figures", func(ctx context.Context, conn *pgx.Conn) error {
		stats = engine.Stats{}
		batch := &pgx.Batch{}
		batch.Queue("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
		batch.Queue("SELECT EXISTS (SELECT 1 FROM links WHERE id = $1)", int64(q.Link)).QueryRow(func(row pgx.Row) error {
			var found bool
			if err := row.Scan(&found); err != nil {
				return err
			}
			if !found {
				return noLink(q.Link)
			}
			return nil
		})
		batch.Queue(`SELECT coalesce(sum(clicks) FILTER (WHERE dimension = $4), 0)::bigint, coalesce(sum(clicks) FILTER (WHERE dimension = $5), 0)::bigint
			FROM click_rollups WHERE link_id = $1 AND hour >= $2 AND hour < $3 AND dimension IN ($4, $5)`,
			int64(q.Link), from, to, string(engine.DimensionClicks), string(engine.DimensionVisits)).
			QueryRow(func(row pgx.Row) error { return row.Scan(&stats.Clicks, &stats.Visits) })
		batch.Queue(`SELECT date_trunc($4, hour, 'UTC') AS start, sum(clicks)::bigint FROM click_rollups
			WHERE link_id = $1 AND hour >= $2 AND hour < $3 AND dimension = $5 GROUP BY 1 ORDER BY 1`,
			int64(q.Link), from, to, unit, string(engine.DimensionClicks)).Query(func(rows pgx.Rows) error {
			return scanRows(rows, func(rows pgx.Rows) error {
				var p engine.StatsPoint
				err := rows.Scan(&p.Start, &p.Clicks)
				p.Start = p.Start.UTC()
				stats.Series = append(stats.Series, p)
				return err
			})
		})
		batch.Queue(`SELECT value, sum(clicks)::bigint AS n FROM click_rollups
			WHERE link_id = $1 AND hour >= $2 AND hour < $3 AND dimension = $5 GROUP BY value ORDER BY n DESC, value LIMIT $4`,
			int64(q.Link), from, to, int64(max(q.Referrers, 0)), string(engine.DimensionReferrer)).Query(func(rows pgx.Rows) error {
			return scanRows(rows, func(rows pgx.Rows) error {
				var v engine.StatsValue
				err := rows.Scan(&v.Value, &v.Clicks)
				stats.Referrers = append(stats.Referrers, v)
				return err
			})
		})
		batch.Queue("COMMIT")
		return conn.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		return engine.Stats{}, err
	}
	return stats, nil
}
