package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

const (
	retentionMin = 24 * time.Hour
	// forgetStep runs, or those of forgetBytes, are looked at in one transaction, as writers wait for it.
	forgetStep  = 500
	forgetBytes = 4 << 20
	// clockSlack is how far ahead of its time a click may be and still count as young: what is later is a clock that was wrong.
	clockSlack = 24 * time.Hour
)

// ForgetClicks deletes single clicks that are older than the retention at now. Totals, series and referrers stay, and no id is given again.
// It goes from the first click on, as far as it finds old ones, or such from the future: clicks that were stored long after they happened go
// when those around them do. The file keeps its size, and has the space for other clicks. To be called every hour or so.
func (s *Store) ForgetClicks(ctx context.Context, now time.Time) error {
	if s.retention == 0 {
		return nil
	}
	// Runs whose links are not told yet stay: what tells would come behind them.
	last, err := s.lastRun(ctx)
	if err != nil {
		return err
	}
	if err := s.foldAll(ctx); err != nil {
		return err
	}
	before := now.Add(-s.retention).UnixMicro()
	forgotten := int64(0)
	for from, more := int64(0), true; more; {
		err := s.write(ctx, "forget clicks", func(ctx context.Context, tx *sql.Tx) error {
			var to, clicks, young int64
			err := tx.QueryRowContext(ctx, `SELECT coalesce(max(last_id), 0), coalesce(sum(clicks) FILTER (WHERE last_at < ?1), 0),
					count(*) FILTER (WHERE last_at >= ?1 AND first_at < ?2)
				FROM (SELECT *, sum(bytes) OVER (ORDER BY last_id) - bytes AS ahead
					FROM (SELECT last_id, first_at, last_at, clicks, length(data) AS bytes FROM click_runs WHERE last_id > ?3 AND last_id <= ?6 ORDER BY last_id LIMIT ?4))
				WHERE ahead < ?5`, before, now.Add(clockSlack).UnixMicro(), from, forgetStep, forgetBytes, last).Scan(&to, &clicks, &young)
			if err != nil {
				return fmt.Errorf("look for old ones: %w", err)
			}
			if more = to > 0 && (clicks > 0 || young == 0); !more {
				return nil
			}
			_, err = tx.ExecContext(ctx, `DELETE FROM link_runs WHERE (link_id, last_id) IN
				(SELECT link_id, last_id FROM click_runs WHERE last_id > ? AND last_id <= ? AND last_at < ?)`, from, to, before)
			if err != nil {
				return fmt.Errorf("delete which links have them: %w", err)
			}
			if _, err := tx.ExecContext(ctx, "DELETE FROM click_runs WHERE last_id > ? AND last_id <= ? AND last_at < ?", from, to, before); err != nil {
				return fmt.Errorf("delete them: %w", err)
			}
			if _, err := tx.ExecContext(ctx, "DELETE FROM click_spans WHERE last_id <= ? AND last_at < ?", to, before); err != nil {
				return fmt.Errorf("delete their spans: %w", err)
			}
			from, forgotten = to, forgotten+clicks
			return nil
		})
		if err != nil {
			return err
		}
	}
	if forgotten > 0 {
		s.log.Info("clicks forgotten", "clicks", forgotten, "before", time.UnixMicro(before).UTC())
	}
	return nil
}

// lastRun is the id of the last run's last click.
func (s *Store) lastRun(ctx context.Context) (last int64, err error) {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	if err := s.reader.QueryRowContext(ctx, "SELECT coalesce(max(last_id), 0) FROM click_runs").Scan(&last); err != nil {
		return 0, s.wrap("look for the last click", err)
	}
	return last, nil
}
