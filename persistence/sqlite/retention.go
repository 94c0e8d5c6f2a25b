package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

const (
	retentionMin = 24 * time.Hour
	// forgetStep runs are looked at in one transaction: writers wait some milliseconds for it.
	forgetStep = 500
)

// ForgetClicks deletes single clicks that are older than the retention at now. Totals, series and referrers stay, and no id is given again.
// It goes from the first click on, as far as it finds old ones: clicks that were stored long after they happened go when those around them
// do. The file keeps its size, and has the space for other clicks. To be called every hour or so.
func (s *Store) ForgetClicks(ctx context.Context, now time.Time) error {
	if s.retention == 0 {
		return nil
	}
	before := now.Add(-s.retention).UnixMicro()
	forgotten := int64(0)
	for from, more := int64(0), true; more; {
		err := s.write(ctx, "forget clicks", func(ctx context.Context, tx *sql.Tx) error {
			var to, clicks int64
			err := tx.QueryRowContext(ctx, `SELECT coalesce(max(last_id), 0), coalesce(sum(clicks) FILTER (WHERE last_at < ?), 0)
				FROM (SELECT last_id, last_at, clicks FROM click_runs WHERE last_id > ? ORDER BY last_id LIMIT ?)`, before, from, forgetStep).Scan(&to, &clicks)
			if err != nil {
				return fmt.Errorf("look for old ones: %w", err)
			}
			if more = clicks > 0; !more {
				return nil
			}
			if _, err := tx.ExecContext(ctx, "DELETE FROM click_runs WHERE last_id > ? AND last_id <= ? AND last_at < ?", from, to, before); err != nil {
				return fmt.Errorf("delete them: %w", err)
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
