package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/carom-dev/carom/engine"
)

// SealDays implements engine.Sealer. Clicks are stored between its steps, each of which is a transaction of the one writer: a bucket of deltas,
// or a month of a link at most.
func (s *Store) SealDays(ctx context.Context, until time.Time, least int64) error {
	if err := s.foldAll(ctx); err != nil {
		return err
	}
	links, err := s.unsealed(ctx, until, least)
	if err != nil {
		return err
	}
	s.doubted.Range(func(link, _ any) bool {
		s.doubted.Delete(link)
		links = append(links, link.(engine.LinkID))
		return true
	})
	for _, link := range links {
		for done := false; !done; {
			err := s.write(ctx, "seal days", func(ctx context.Context, tx *sql.Tx) (err error) {
				done, err = sealStep(ctx, tx, link, until.Unix())
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// unsealed reads which links are worth sealing.
func (s *Store) unsealed(ctx context.Context, until time.Time, least int64) (links []engine.LinkID, err error) {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	err = query(ctx, s.reader, func(rows *sql.Rows) error {
		var link engine.LinkID
		err := rows.Scan(&link)
		links = append(links, link)
		return err
	}, `SELECT t.link_id FROM link_totals t LEFT JOIN click_seals s USING (link_id)
		WHERE (s.until IS NULL OR s.until < ?) AND t.clicks - coalesce(s.clicks, 0) >= ?`, until.Unix(), least)
	if err != nil {
		return nil, s.wrap("look for days to seal", err)
	}
	return links, nil
}

// unsealMonth forgets the last sealed month of a link whose days are not proven up to there.
func unsealMonth(ctx context.Context, tx *sql.Tx, link engine.LinkID, seal seal) error {
	id, until := int64(link), max(seal.proven, engine.MonthOf(seal.until-1))
	for _, e := range []struct {
		text string
		args []any
	}{
		{"DELETE FROM click_days WHERE link_id = ? AND day >= ?", []any{id, until}},
		{"DELETE FROM click_day_rollups WHERE link_id = ? AND day >= ?", []any{id, until}},
		{"DELETE FROM click_month_rollups WHERE link_id = ? AND month >= ?", []any{id, engine.MonthOf(until)}},
		{"UPDATE click_seals SET until = ?2, clicks = (SELECT coalesce(sum(clicks), 0) FROM click_days WHERE link_id = ?1) WHERE link_id = ?1", []any{id, until}},
	} {
		if _, err := tx.ExecContext(ctx, e.text, e.args...); err != nil {
			return fmt.Errorf("forget sealed days: %w", err)
		}
	}
	return nil
}

// sealStep seals a link's days from where its proven ones end, at most a month of them. What was sealed behind those is forgotten before that,
// a month in a step.
func sealStep(ctx context.Context, tx *sql.Tx, link engine.LinkID, until int64) (done bool, err error) {
	seal, err := readSeal(ctx, tx, link)
	if err != nil {
		return false, err
	}
	if seal.proven < seal.until {
		return false, unsealMonth(ctx, tx, link, seal)
	}
	if seal.proven >= until {
		return true, nil
	}
	id, from, first := int64(link), seal.proven, int64(0)
	err = tx.QueryRowContext(ctx, "SELECT hour FROM click_hours WHERE link_id = ? AND hour >= ? ORDER BY hour LIMIT 1", id, from).Scan(&first)
	if errors.Is(err, sql.ErrNoRows) {
		first, err = until, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for the first hour: %w", err)
	}
	next := engine.SealStep(min(first, until), until)
	var hours []engine.HourFigures
	err = queryHours(ctx, tx, link, engine.Period{From: from, To: next}, func(h engine.HourFigures) { hours = append(hours, h) })
	if err != nil {
		return false, fmt.Errorf("read the hours: %w", err)
	}
	month := engine.MonthOf(from)
	for _, e := range []struct {
		text string
		args []any
	}{
		{`INSERT INTO click_day_rollups (link_id, dimension, day, value, clicks)
			SELECT link_id, dimension, hour / 86400 * 86400 AS day, value, sum(clicks) FROM click_rollups
			WHERE link_id = ? AND hour >= ? AND hour < ? GROUP BY link_id, dimension, day, value`, []any{id, from, next}},
		{`INSERT INTO click_day_rollups (link_id, dimension, day, value, clicks)
			SELECT link_id, ?, hour / 86400 * 86400 AS day, '', sum(direct) FROM click_hours
			WHERE link_id = ? AND hour >= ? AND hour < ? AND direct > 0 GROUP BY link_id, day`, []any{string(engine.DimensionReferrer), id, from, next}},
		{`INSERT INTO click_month_rollups (link_id, dimension, month, value, clicks)
			SELECT link_id, dimension, unixepoch(day, 'unixepoch', 'start of month') AS month, value, sum(clicks) FROM click_day_rollups
			WHERE link_id = ? AND day >= ? AND day < ? GROUP BY link_id, dimension, month, value`, []any{id, month, engine.MonthOf(next)}},
	} {
		if _, err := tx.ExecContext(ctx, e.text, e.args...); err != nil {
			return false, fmt.Errorf("seal rollups: %w", err)
		}
	}
	for _, d := range engine.SealHours(hours) {
		_, err := tx.ExecContext(ctx, "INSERT INTO click_days (link_id, day, clicks, visits, hours) VALUES (?, ?, ?, ?, ?)", id, d.Day, d.Clicks, d.Visits, d.Hours)
		if err != nil {
			return false, fmt.Errorf("seal a day: %w", err)
		}
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO click_seals (link_id, until, clicks) SELECT ?1, ?2, coalesce(sum(clicks), 0) FROM click_days WHERE link_id = ?1
		ON CONFLICT DO UPDATE SET until = excluded.until, clicks = excluded.clicks`, id, next)
	if err != nil {
		return false, fmt.Errorf("seal the link: %w", err)
	}
	return next == until, nil
}
