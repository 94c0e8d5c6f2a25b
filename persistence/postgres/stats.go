package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/deltas"
)

// Stats reads a link's figures from its sealed days and months, from the hours around them, and from what waits to be added to those: two round
// trips on one snapshot, so that the referrers agree with the series, and neither a fold nor a seal meanwhile shows anything twice. A
// third one is needed while a sealed day is not to be believed.
func (s *Store) Stats(ctx context.Context, q engine.StatsQuery) (engine.Stats, error) {
	var stats engine.Stats
	err := s.readMuch(ctx, "read figures", func(ctx context.Context, conn *pgx.Conn) error {
		f, err := openFigures(ctx, conn, q.Link)
		if err != nil {
			return err
		}
		if !f.found {
			return f.end(ctx, conn, noLink(q.Link))
		}
		if stats, err = f.read(ctx, conn, &q); err != nil {
			return err
		}
		if f.proven != f.seal.until {
			s.doubted.Store(q.Link, true)
		}
		return nil
	})
	if err != nil {
		return engine.Stats{}, err
	}
	return stats, nil
}

// figures are a link's, on the snapshot of a transaction that is open.
type figures struct {
	link    engine.LinkID
	found   bool
	waiting *deltas.Sums // to be added to its hours
	seal    seal
	proven  int64 // the days before it are sealed and not older than their hours
}

// seal says which days of a link are sealed. The zero value: none.
type seal struct{ until int64 } // Unix seconds

// openFigures begins a transaction on one snapshot, and reads what waits to be added to a link's hours, and which of its days are sealed.
func openFigures(ctx context.Context, conn *pgx.Conn, link engine.LinkID) (*figures, error) {
	f := &figures{link: link, waiting: deltas.NewSums(link)}
	var until time.Time
	var sealed, since, total int64
	batch := &pgx.Batch{}
	batch.Queue("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
	batch.Queue("SELECT EXISTS (SELECT 1 FROM links WHERE id = $1)", int64(link)).
		QueryRow(func(row pgx.Row) error { return row.Scan(&f.found) })
	batch.Queue("SELECT payload FROM rollup_deltas WHERE bucket = $1", int32(deltas.ByLink(link))).
		Query(func(rows pgx.Rows) error { return scanRows(rows, payloadsInto(f.waiting)) })
	batch.Queue(`SELECT s.until, s.clicks, coalesce((SELECT sum(h.clicks)::bigint FROM click_hours h WHERE h.link_id = $1 AND h.hour >= s.until), 0),
			coalesce((SELECT t.clicks FROM link_totals t WHERE t.link_id = $1), 0)
		FROM click_seals s WHERE s.link_id = $1`, int64(link)).
		Query(func(rows pgx.Rows) error {
			return scanRows(rows, func(rows pgx.Rows) error {
				err := rows.Scan(&until, &sealed, &since, &total)
				f.seal.until = until.Unix()
				return err
			})
		})
	if err := conn.SendBatch(ctx, batch).Close(); err != nil {
		return nil, err
	}
	f.proven = f.seal.until
	if f.seal == (seal{}) || total == sealed+since+f.waiting.Clicks() {
		return f, nil
	}
	return f, f.prove(ctx, conn)
}

// prove finds the first sealed day whose hours have other clicks than it had when it was sealed. The days before it are as good as their
// hours: clicks only ever grow.
func (f *figures) prove(ctx context.Context, conn *pgx.Conn) error {
	var first pgtype.Timestamptz
	err := conn.QueryRow(ctx, `SELECT min(coalesce(h.day, d.day))
		FROM (SELECT date_trunc('day', hour, 'UTC') AS day, sum(clicks) AS clicks FROM click_hours WHERE link_id = $1 AND hour < $2 GROUP BY 1) h
		FULL JOIN (SELECT day, clicks FROM click_days WHERE link_id = $1 AND day < $2) d ON d.day = h.day
		WHERE h.clicks IS DISTINCT FROM d.clicks`, int64(f.link), time.Unix(f.seal.until, 0)).Scan(&first)
	if err != nil {
		return fmt.Errorf("prove the sealed days: %w", err)
	}
	if first.Valid {
		f.proven = first.Time.Unix()
	}
	return nil
}

// end ends the transaction and returns err, or why it did not end.
func (f *figures) end(ctx context.Context, conn *pgx.Conn, err error) error {
	if _, e := conn.Exec(ctx, "ROLLBACK"); e != nil {
		return fmt.Errorf("end the transaction: %w", e)
	}
	return err
}

const (
	readHours = "SELECT hour, clicks, visits FROM click_hours WHERE link_id = $1 AND "
	readDays  = "SELECT day, clicks, visits, hours FROM click_days WHERE link_id = $1 AND day >= $2 AND day < $3 ORDER BY day"

	// readReferrers has a branch for each period: the hours and the days on both sides, and the months.
	readReferrers = `SELECT value, sum(clicks)::bigint AS n FROM (
			SELECT value, clicks FROM click_month_rollups WHERE link_id = $1 AND dimension = $2 AND month >= $4 AND month < $5
			UNION ALL SELECT value, clicks FROM click_day_rollups WHERE link_id = $1 AND dimension = $2 AND day >= $6 AND day < $7
			UNION ALL SELECT value, clicks FROM click_day_rollups WHERE link_id = $1 AND dimension = $2 AND day >= $8 AND day < $9
			UNION ALL SELECT value, clicks FROM click_rollups WHERE link_id = $1 AND dimension = $2 AND hour >= $10 AND hour < $11
			UNION ALL SELECT value, clicks FROM click_rollups WHERE link_id = $1 AND dimension = $2 AND hour >= $12 AND hour < $13
			UNION ALL SELECT * FROM unnest($14::text[], $15::bigint[])
		) AS r (value, clicks) GROUP BY value ORDER BY n DESC, value COLLATE "C" LIMIT $3`
)

// read reads the rows of the query's range and ends the transaction.
func (f *figures) read(ctx context.Context, conn *pgx.Conn, q *engine.StatsQuery) (engine.Stats, error) {
	periods := q.Periods(f.proven)
	sum := engine.StatsSum{Daily: q.Daily}
	var referrers []engine.StatsValue
	for h := range f.waiting.Hours {
		if periods.All.Has(h.Hour) {
			sum.AddHour(engine.HourFigures{Hour: h.Hour, Clicks: h.Clicks, Visits: h.Visits})
		}
	}
	batch := &pgx.Batch{}
	batch.Queue(readDays, ends([]any{int64(q.Link)}, periods.Days)...).Query(func(rows pgx.Rows) error {
		return scanRows(rows, func(rows pgx.Rows) error {
			var d engine.DayFigures
			var day time.Time
			if err := rows.Scan(&day, &d.Clicks, &d.Visits, (*pgtype.DriverBytes)(&d.Hours)); err != nil { // valid until the next row
				return err
			}
			d.Day = day.Unix()
			return sum.AddDay(d)
		})
	})
	batch.Queue(readHours+"(hour >= $2 AND hour < $3 OR hour >= $4 AND hour < $5)", ends([]any{int64(q.Link)}, periods.Hours[:]...)...).
		Query(func(rows pgx.Rows) error { return scanHours(rows, sum.AddHour) })
	if q.Referrers > 0 {
		args := ends([]any{int64(q.Link), string(engine.DimensionReferrer), int64(q.Referrers)}, periods.Months, periods.Rest[0], periods.Rest[1], periods.Hours[0], periods.Hours[1])
		values, counts := f.waiting.Referrers(periods.All)
		batch.Queue(readReferrers, append(args, values, counts)...).Query(func(rows pgx.Rows) error {
			return scanRows(rows, func(rows pgx.Rows) error {
				var v engine.StatsValue
				err := rows.Scan(&v.Value, &v.Clicks)
				referrers = append(referrers, v)
				return err
			})
		})
	}
	batch.Queue("COMMIT")
	if err := conn.SendBatch(ctx, batch).Close(); err != nil {
		return engine.Stats{}, err
	}
	stats := sum.Stats()
	stats.Referrers = referrers
	return stats, nil
}

func scanHours(rows pgx.Rows, add func(engine.HourFigures)) error {
	return scanRows(rows, func(rows pgx.Rows) error {
		var hour time.Time
		var h engine.HourFigures
		if err := rows.Scan(&hour, &h.Clicks, &h.Visits); err != nil {
			return err
		}
		h.Hour = hour.Unix()
		add(h)
		return nil
	})
}

// ends appends the two ends of each period to a query's arguments.
func ends(args []any, periods ...engine.Period) []any {
	for _, s := range periods {
		args = append(args, time.Unix(s.From, 0), time.Unix(s.To, 0))
	}
	return args
}
