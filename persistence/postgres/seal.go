package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/carom-dev/carom/engine"
)

const (
	// sealPage is how many links are looked at in one query for those that are worth sealing.
	sealPage = 50_000
	// sealLock begins the advisory locks of links that are sealed.
	sealLock = 0x7365616c
)

// SealDays implements engine.Sealer. It writes nothing that others read as the truth: whatever goes wrong here, or comes between its steps,
// costs readers time and no click.
func (s *Store) SealDays(ctx context.Context, until time.Time, least int64) error {
	err := s.foldAll(ctx) // what waits would come to days that are sealed
	if err != nil {
		return err
	}
	s.doubted.Range(func(link, _ any) bool {
		s.doubted.Delete(link)
		err = s.sealLink(ctx, link.(engine.LinkID), until.Unix())
		return err == nil
	})
	if err != nil {
		return err
	}
	for after := int64(0); after >= 0; {
		links, last, err := s.unsealed(ctx, after, until, least)
		if err != nil {
			return err
		}
		for _, link := range links {
			if err := s.sealLink(ctx, engine.LinkID(link), until.Unix()); err != nil {
				return err
			}
		}
		after = last
	}
	return nil
}

// unsealed reads which of the links behind one are worth sealing, and the last link that was looked at: -1 when there are no more.
func (s *Store) unsealed(ctx context.Context, after int64, until time.Time, least int64) (links []int64, last int64, err error) {
	err = s.read(ctx, "look for days to seal", func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT coalesce(max(t.link_id), -1),
				coalesce(array_agg(t.link_id) FILTER (WHERE t.clicks - coalesce(s.clicks, 0) >= $3 AND (s.until IS NULL OR s.until < $2)), '{}')
			FROM (SELECT link_id, clicks FROM link_totals WHERE link_id > $1 ORDER BY link_id LIMIT $4) t LEFT JOIN click_seals s USING (link_id)`,
			after, until, least, int64(sealPage)).Scan(&last, &links)
	})
	return links, last, err
}

// sealLink seals a link's days, a month a transaction. What was sealed and is not to be believed any more is sealed again.
func (s *Store) sealLink(ctx context.Context, link engine.LinkID, until int64) error {
	var f *figures
	err := s.readFrom(ctx, s.pool, "prove what is sealed", func(ctx context.Context, conn *pgx.Conn) (err error) {
		if f, err = openFigures(ctx, conn, link); err != nil {
			return err
		}
		return f.end(ctx, conn, nil)
	})
	if err != nil {
		return err
	}
	from, until := f.proven, max(until, f.seal.until)
	for from < until {
		next := int64(0)
		err := s.editWithin(ctx, s.cfg.WriteTimeout, "seal days", func(ctx context.Context, tx pgx.Tx) (err error) {
			next, err = sealStep(ctx, tx, &f.seal, link, from, until)
			return err
		})
		if err != nil || next == 0 {
			return err
		}
		f.seal.until, from = next, next
	}
	return nil
}

// sealStep seals the days from one on, at most a month of them, and returns up to where; 0 when another instance is at it. The days from
// there on that were sealed before are forgotten.
//
// Each statement sees what is committed by then. The hours are read first: a click that comes between is in the month's referrers perhaps, but not
// in the clicks of the day, so the link's total gives it away, and the day is not believed. The other way round it would be.
func sealStep(ctx context.Context, tx pgx.Tx, before *seal, link engine.LinkID, from, until int64) (next int64, err error) {
	id, start := int64(link), time.Unix(from, 0)
	alone := false
	if err := tx.QueryRow(ctx, "SELECT pg_try_advisory_xact_lock($1, hashint8($2))", int32(sealLock), id).Scan(&alone); err != nil || !alone {
		return 0, err
	}
	now := seal{}
	err = scan(ctx, tx, func(rows pgx.Rows) error {
		var t time.Time
		err := rows.Scan(&t)
		now.until = t.Unix()
		return err
	}, "SELECT until FROM click_seals WHERE link_id = $1", id)
	if err != nil || now != *before {
		return 0, err
	}
	first := until // without any click
	err = scan(ctx, tx, func(rows pgx.Rows) error {
		var t time.Time
		err := rows.Scan(&t)
		first = min(until, t.Unix())
		return err
	}, "SELECT hour FROM click_hours WHERE link_id = $1 AND hour >= $2 ORDER BY hour LIMIT 1", id, start)
	if err != nil {
		return 0, err
	}
	next = engine.SealStep(first, until)
	end := time.Unix(next, 0)
	var hours []engine.HourFigures
	rows, err := tx.Query(ctx, readHours+"hour >= $2 AND hour < $3 ORDER BY hour", id, start, end)
	if err != nil {
		return 0, err
	}
	if err := scanHours(rows, func(h engine.HourFigures) { hours = append(hours, h) }); err != nil {
		return 0, fmt.Errorf("read the hours: %w", err)
	}
	batch := &pgx.Batch{}
	if from < now.until {
		batch.Queue("DELETE FROM click_days WHERE link_id = $1 AND day >= $2", id, start)
		batch.Queue("DELETE FROM click_day_rollups WHERE link_id = $1 AND day >= $2", id, start)
	}
	month := time.Unix(engine.MonthOf(from), 0)
	batch.Queue("DELETE FROM click_month_rollups WHERE link_id = $1 AND month >= $2", id, month)
	queueDays(batch, id, engine.SealHours(hours))
	batch.Queue(`INSERT INTO click_day_rollups (link_id, dimension, day, value, clicks)
		SELECT link_id, dimension, date_trunc('day', hour, 'UTC') AS day, value, sum(clicks) FROM click_rollups
		WHERE link_id = $1 AND hour >= $2 AND hour < $3 GROUP BY link_id, dimension, day, value`, id, start, end)
	batch.Queue(`INSERT INTO click_month_rollups (link_id, dimension, month, value, clicks)
		SELECT link_id, dimension, date_trunc('month', day, 'UTC') AS month, value, sum(clicks) FROM click_day_rollups
		WHERE link_id = $1 AND day >= $2 AND day < $3 GROUP BY link_id, dimension, month, value`, id, month, time.Unix(engine.MonthOf(next), 0))
	batch.Queue(`INSERT INTO click_seals (link_id, until, clicks) SELECT $1, $2, coalesce(sum(clicks), 0) FROM click_days WHERE link_id = $1
		ON CONFLICT (link_id) DO UPDATE SET until = excluded.until, clicks = excluded.clicks`, id, end)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return 0, fmt.Errorf("seal up to %s: %w", end.UTC().Format(time.DateOnly), err)
	}
	return next, nil
}

func queueDays(batch *pgx.Batch, link int64, days []engine.DayFigures) {
	n := len(days)
	starts, clicks, visits, hours := make([]time.Time, n), make([]int64, n), make([]int64, n), make([][]byte, n)
	for i, d := range days {
		starts[i], clicks[i], visits[i], hours[i] = time.Unix(d.Day, 0), d.Clicks, d.Visits, d.Hours
	}
	batch.Queue(`INSERT INTO click_days (link_id, day, clicks, visits, hours)
		SELECT $1::bigint, * FROM unnest($2::timestamptz[], $3::bigint[], $4::bigint[], $5::bytea[])`, link, starts, clicks, visits, hours)
}
