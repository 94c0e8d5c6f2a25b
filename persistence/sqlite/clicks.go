package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/carom-dev/carom/engine"
)

// Checkpoints reads how far the node's lanes are stored.
func (s *Store) Checkpoints(ctx context.Context, node engine.NodeID) (map[int]engine.Position, error) {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	lanes := map[int]engine.Position{}
	err = query(ctx, s.reader, func(rows *sql.Rows) error {
		var lane int
		var position int64
		err := rows.Scan(&lane, &position)
		lanes[lane] = engine.Position(position)
		return err
	}, "SELECT lane, position FROM journal_checkpoints WHERE node = ?", string(node))
	if err != nil {
		return nil, s.wrap("read checkpoints", err)
	}
	return lanes, nil
}

// WriteClicks stores a batch: checkpoints first, so that a fenced writer is told before it does any work.
func (s *Store) WriteClicks(ctx context.Context, b *engine.ClickBatch) error {
	if len(b.Moves) == 0 && len(b.Clicks) == 0 {
		return nil
	}
	hours, referrers := engine.Aggregate(b.Clicks)
	used := engine.UsedVisits(b.Clicks)
	var damaged []int64
	err := s.write(ctx, "write clicks", func(ctx context.Context, tx *sql.Tx) error {
		for _, m := range b.Moves {
			if err := moveLane(ctx, tx, b.Node, m); err != nil {
				return err
			}
		}
		runs, err := s.insertClicks(ctx, tx, b.Clicks)
		if err != nil {
			return err
		}
		if damaged, err = s.writeByLink(ctx, tx, runs, hours, referrers); err != nil {
			return err
		}
		for _, u := range used {
			_, err := tx.ExecContext(ctx, "UPDATE visit_leases SET used = used + ? WHERE node = ? AND link_id = ?", u.Visits, string(b.Node), int64(u.Link))
			if err != nil {
				return fmt.Errorf("count used visits: %w", err)
			}
		}
		return nil
	})
	if err == nil {
		s.tellDamaged(damaged)
		s.trimWAL(ctx)
	}
	return err
}

// moveLane takes a lane's checkpoint from where the batch says it stands, or returns ErrFenced.
func moveLane(ctx context.Context, tx *sql.Tx, node engine.NodeID, m engine.LaneMove) error {
	text := "UPDATE journal_checkpoints SET position = ?3 WHERE node = ?1 AND lane = ?2 AND position = ?4"
	if m.From == 0 { // a lane without a checkpoint stands there too
		text = "INSERT INTO journal_checkpoints (node, lane, position) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET position = ?3 WHERE position = ?4"
	}
	result, err := tx.ExecContext(ctx, text, string(node), int64(m.Lane), int64(m.To), int64(m.From))
	if err != nil {
		return fmt.Errorf("move the checkpoint of lane %d: %w", m.Lane, err)
	}
	moved, err := result.RowsAffected()
	if err != nil {
		return fmt.Errorf("move the checkpoint of lane %d: %w", m.Lane, err)
	}
	if moved != 1 {
		return fmt.Errorf("move the checkpoint of lane %d from %d: %w", m.Lane, m.From, engine.ErrFenced)
	}
	return nil
}

// insertClicks stores clicks as runs, in the order of their links; those of one link stay in their order. Ids go on where the last run ends.
func (s *Store) insertClicks(ctx context.Context, tx *sql.Tx, clicks []engine.Click) ([]clickRun, error) {
	if len(clicks) == 0 {
		return nil, nil
	}
	var last int64
	err := tx.QueryRowContext(ctx, `SELECT max(coalesce((SELECT max(seq) FROM sqlite_sequence WHERE name = 'click_runs'), 0),
		coalesce((SELECT max(last_id) FROM click_runs), 0))`).Scan(&last)
	if err != nil {
		return nil, fmt.Errorf("read the last click's id: %w", err)
	}
	runs := runsOf(clicks, last)
	var encoder runEncoder
	data := make([]byte, 0, 32*len(clicks)) // of all runs: a statement takes several, whose bytes must stay until it has ended
	err = s.hot.runs.exec(ctx, tx, len(runs), func(args []any, i int) []any {
		r, start := &runs[i], len(data)
		data = encoder.append(data, clicks, r.order)
		return append(args, r.last, int64(r.link), int64(len(r.order)), r.firstAt, r.lastAt, data[start:])
	})
	switch {
	case isRefused(err):
		return nil, &engine.RejectedError{Err: err}
	case err != nil:
		return nil, fmt.Errorf("insert clicks: %w", err)
	}
	return runs, addSpan(ctx, tx, last, runs)
}

// addRollups adds to the hours, to the rollups by referrer, and to the totals, which are the sums of the hours. Clicks without a referrer are
// counted with the hour.
func (s *Store) addRollups(ctx context.Context, tx *sql.Tx, hours []engine.HourRollup, referrers []engine.Rollup) error {
	type total struct{ link, clicks, visits int64 }
	var totals []total
	direct, named := make([]int64, len(hours)), make([]engine.Rollup, 0, len(referrers))
	next := 0
	for i := range hours {
		h := &hours[i]
		if n := len(totals); n == 0 || totals[n-1].link != int64(h.Link) {
			totals = append(totals, total{link: int64(h.Link)})
		}
		t := &totals[len(totals)-1]
		t.clicks += h.Clicks
		t.visits += h.Visits
		for ; next < len(referrers) && referrers[next].Link == h.Link && referrers[next].Hour == h.Hour; next++ {
			if r := &referrers[next]; r.Value == "" {
				direct[i] = r.Clicks
			} else {
				named = append(named, *r)
			}
		}
	}
	err := s.hot.hours.exec(ctx, tx, len(hours), func(args []any, i int) []any {
		h := &hours[i]
		return append(args, int64(h.Link), h.Hour, h.Clicks, h.Visits, direct[i])
	})
	if err != nil {
		return fmt.Errorf("add to the hours: %w", err)
	}
	err = s.hot.rollups.exec(ctx, tx, len(named), func(args []any, i int) []any {
		r := &named[i]
		return append(args, int64(r.Link), r.Hour, string(r.Dimension), r.Value, r.Clicks)
	})
	if err != nil {
		return fmt.Errorf("add to the rollups: %w", err)
	}
	err = s.hot.totals.exec(ctx, tx, len(totals), func(args []any, i int) []any {
		return append(args, totals[i].link, totals[i].clicks, totals[i].visits)
	})
	if err != nil {
		return fmt.Errorf("add to the totals: %w", err)
	}
	return nil
}
