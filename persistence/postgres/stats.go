package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/carom-dev/carom/engine"
)

// Stats reads a link's figures from its rollups: three queries in one round trip, on one snapshot, so that the referrers agree with
// the series.
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
		var found bool
		batch.Queue("SELECT EXISTS (SELECT 1 FROM links WHERE id = $1)", int64(q.Link)).
			QueryRow(func(row pgx.Row) error { return row.Scan(&found) })
		batch.Queue(`SELECT date_trunc($4, hour, 'UTC') AS start, sum(clicks)::bigint, sum(visits)::bigint FROM click_hours
			WHERE link_id = $1 AND hour >= $2 AND hour < $3 GROUP BY start ORDER BY start`, int64(q.Link), from, to, unit).Query(func(rows pgx.Rows) error {
			return scanRows(rows, func(rows pgx.Rows) error {
				var p engine.StatsPoint
				var visits int64
				err := rows.Scan(&p.Start, &p.Clicks, &visits)
				p.Start = p.Start.UTC()
				stats.Clicks += p.Clicks
				stats.Visits += visits
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
		if err := conn.SendBatch(ctx, batch).Close(); err != nil {
			return err
		}
		if !found {
			return noLink(q.Link)
		}
		return nil
	})
	if err != nil {
		return engine.Stats{}, err
	}
	return stats, nil
}
