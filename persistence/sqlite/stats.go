package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/deltas"
)

// Stats reads a link's figures from its sealed days and months, and from the hours around them, all of them from one snapshot.
func (s *Store) Stats(ctx context.Context, q engine.StatsQuery) (engine.Stats, error) {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return engine.Stats{}, err
	}
	defer leave()
	var stats engine.Stats
	err = s.snapshot(ctx, func(tx *sql.Tx) (err error) {
		stats, err = s.stats(ctx, tx, &q)
		return err
	})
	if err != nil {
		return engine.Stats{}, s.wrap("read stats", err)
	}
	return stats, nil
}

func (s *Store) stats(ctx context.Context, tx *sql.Tx, q *engine.StatsQuery) (stats engine.Stats, err error) {
	if err := mustExist(ctx, tx, q.Link); err != nil {
		return stats, err
	}
	seal, err := readSeal(ctx, tx, q.Link)
	if err != nil {
		return stats, err
	}
	if seal.proven != seal.until {
		s.doubted.Store(q.Link, true)
	}
	waiting, err := waitingOf(ctx, tx, q.Link)
	if err != nil {
		return stats, err
	}
	periods := q.Periods(seal.proven)
	if stats, err = readSeries(ctx, tx, q, periods, waiting); err != nil {
		return stats, fmt.Errorf("read the series: %w", err)
	}
	if q.Referrers <= 0 {
		return stats, nil
	}
	args := []any{int64(q.Link), string(engine.DimensionReferrer), int64(q.Referrers)}
	for _, period := range []engine.Period{periods.Months, periods.Rest[0], periods.Rest[1], periods.Hours[0], periods.Hours[1]} {
		args = append(args, period.From, period.To)
	}
	values, counts := waiting.Referrers(periods.All)
	pairs := make([][2]any, len(values))
	for i := range pairs {
		pairs[i] = [2]any{values[i], counts[i]}
	}
	if args, err = appendJSON(args, pairs); err != nil {
		return stats, err
	}
	err = query(ctx, tx, func(rows *sql.Rows) error {
		var v engine.StatsValue
		err := rows.Scan(&v.Value, &v.Clicks)
		stats.Referrers = append(stats.Referrers, v)
		return err
	}, readReferrers, args...)
	if err != nil {
		return stats, fmt.Errorf("read the referrers: %w", err)
	}
	return stats, nil
}

// seal says which days of a link are sealed, in Unix seconds. The zero value: none.
type seal struct {
	until  int64 // the days before it are sealed
	proven int64 // the days before it are sealed and not older than their hours
}

// readSeal reads what is sealed, and proves it: by the link's total, which costs little, or else day by day.
func readSeal(ctx context.Context, tx *sql.Tx, link engine.LinkID) (seal, error) {
	var s seal
	var sealed, since, total int64
	err := tx.QueryRowContext(ctx, `SELECT s.until, s.clicks,
			coalesce((SELECT sum(clicks) FROM click_hours WHERE link_id = ?1 AND hour >= s.until), 0),
			coalesce((SELECT clicks FROM link_totals WHERE link_id = ?1), 0)
		FROM click_seals s WHERE s.link_id = ?1`, int64(link)).Scan(&s.until, &sealed, &since, &total)
	if errors.Is(err, sql.ErrNoRows) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("read what is sealed: %w", err)
	}
	s.proven = s.until
	if total == sealed+since {
		return s, nil
	}
	// Clicks only ever grow: days with as many as their hours are as good as those.
	err = tx.QueryRowContext(ctx, `SELECT coalesce(min(coalesce(h.start, d.day)), ?2)
		FROM (SELECT hour / 86400 * 86400 AS start, sum(clicks) AS clicks FROM click_hours
			WHERE link_id = ?1 AND hour < ?2 GROUP BY start) h
		FULL JOIN (SELECT day, clicks FROM click_days WHERE link_id = ?1 AND day < ?2) d ON d.day = h.start
		WHERE h.clicks IS NOT d.clicks`, int64(link), s.until).Scan(&s.proven)
	if err != nil {
		return s, fmt.Errorf("prove the sealed days: %w", err)
	}
	return s, nil
}

const (
	readDays = "SELECT day, clicks, visits, hours FROM click_days WHERE link_id = ? AND day >= ? AND day < ?"

	readHours = "SELECT hour, clicks, visits FROM click_hours WHERE link_id = ? AND hour >= ? AND hour < ? ORDER BY hour"

	// readReferrers has a branch for each period: the hours and the days on both sides, and the months. Hours count clicks without a referrer
	// apart. The last branch is what waits.
	readReferrers = `SELECT value, sum(clicks) AS n FROM (
			SELECT value, clicks FROM click_month_rollups WHERE link_id = ?1 AND dimension = ?2 AND month >= ?4 AND month < ?5
			UNION ALL SELECT value, clicks FROM click_day_rollups WHERE link_id = ?1 AND dimension = ?2 AND day >= ?6 AND day < ?7
			UNION ALL SELECT value, clicks FROM click_day_rollups WHERE link_id = ?1 AND dimension = ?2 AND day >= ?8 AND day < ?9
			UNION ALL SELECT value, clicks FROM click_rollups WHERE link_id = ?1 AND dimension = ?2 AND hour >= ?10 AND hour < ?11
			UNION ALL SELECT value, clicks FROM click_rollups WHERE link_id = ?1 AND dimension = ?2 AND hour >= ?12 AND hour < ?13
			UNION ALL SELECT '', direct FROM click_hours WHERE link_id = ?1 AND (hour >= ?10 AND hour < ?11 OR hour >= ?12 AND hour < ?13) AND direct > 0
			UNION ALL SELECT value ->> 0, value ->> 1 FROM json_each(?14)
		) GROUP BY value ORDER BY n DESC, value LIMIT ?3`
)

func readSeries(ctx context.Context, tx *sql.Tx, q *engine.StatsQuery, periods engine.StatsPeriods, waiting *deltas.Sums) (engine.Stats, error) {
	sum := engine.StatsSum{Daily: q.Daily}
	for h := range waiting.Hours {
		if periods.All.Has(h.Hour) {
			sum.AddHour(engine.HourFigures{Hour: h.Hour, Clicks: h.Clicks, Visits: h.Visits})
		}
	}
	err := query(ctx, tx, func(rows *sql.Rows) error {
		var d engine.DayFigures
		var hours sql.RawBytes // valid until the next row
		if err := rows.Scan(&d.Day, &d.Clicks, &d.Visits, &hours); err != nil {
			return err
		}
		d.Hours = hours
		return sum.AddDay(d)
	}, readDays, int64(q.Link), periods.Days.From, periods.Days.To)
	if err != nil {
		return engine.Stats{}, err
	}
	for _, period := range periods.Hours {
		if err := queryHours(ctx, tx, q.Link, period, sum.AddHour); err != nil {
			return engine.Stats{}, err
		}
	}
	return sum.Stats(), nil
}

func queryHours(ctx context.Context, tx *sql.Tx, link engine.LinkID, period engine.Period, add func(engine.HourFigures)) error {
	return query(ctx, tx, func(rows *sql.Rows) error {
		var h engine.HourFigures
		err := rows.Scan(&h.Hour, &h.Clicks, &h.Visits)
		add(h)
		return err
	}, readHours, int64(link), period.From, period.To)
}

// appendJSON appends lists to the arguments of a query, which takes them apart by json_each.
func appendJSON(args []any, lists ...any) ([]any, error) {
	for _, list := range lists {
		text, err := json.Marshal(list)
		if err != nil {
			return nil, fmt.Errorf("encode a list: %w", err)
		}
		args = append(args, string(text))
	}
	return args, nil
}
