package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/carom-dev/carom/engine"
)

// LeaseVisits takes visits out of a link's budget. links.visits_leased is the sum of what was granted and not given back, so
// a budget that was lowered below it gives nothing until it is raised again. There is one instance on this store, so nothing is left
// for others; other nodes are earlier lives of a data directory that was lost.
func (s *Store) LeaseVisits(ctx context.Context, node engine.NodeID, link engine.LinkID, need, want int64) (engine.VisitLease, error) {
	var got int64
	err := s.write(ctx, "lease visits", func(ctx context.Context, tx *sql.Tx) error {
		var budget sql.Null[int64]
		var leased int64
		err := tx.QueryRowContext(ctx, "SELECT max_visits, visits_leased FROM links WHERE id = ?", int64(link)).Scan(&budget, &leased)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return engine.Errorf(engine.CodeNotFound, "there is no link %d", link)
		case err != nil:
			return fmt.Errorf("read the budget: %w", err)
		case !budget.Valid:
			return engine.Errorf(engine.CodeNotFound, "link %d has no visit budget", link)
		}
		if got = max(min(max(need, want), budget.V-leased), 0); got == 0 {
			return nil
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO visit_leases (node, link_id, granted) VALUES (?, ?, ?)
			ON CONFLICT DO UPDATE SET granted = granted + excluded.granted`, string(node), int64(link), got); err != nil {
			return fmt.Errorf("grant: %w", err)
		}
		return lowerLeased(ctx, tx, link, -got)
	})
	if err != nil {
		return engine.VisitLease{}, err
	}
	return engine.VisitLease{Visits: got}, nil
}

// ReturnVisits gives visits back; never those that stored clicks have used.
func (s *Store) ReturnVisits(ctx context.Context, node engine.NodeID, link engine.LinkID, n int64) error {
	if n <= 0 {
		return nil
	}
	return s.write(ctx, "return visits", func(ctx context.Context, tx *sql.Tx) error {
		var free int64
		err := tx.QueryRowContext(ctx, "SELECT granted - used FROM visit_leases WHERE node = ? AND link_id = ?", string(node), int64(link)).Scan(&free)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the lease: %w", err)
		}
		return giveBack(ctx, tx, node, link, min(n, free))
	})
}

// ReclaimVisits gives back what the node was granted and did not use.
func (s *Store) ReclaimVisits(ctx context.Context, node engine.NodeID) error {
	return s.write(ctx, "reclaim visits", func(ctx context.Context, tx *sql.Tx) error {
		free := map[engine.LinkID]int64{}
		err := query(ctx, tx, func(rows *sql.Rows) error {
			var link engine.LinkID
			var n int64
			err := rows.Scan(&link, &n)
			free[link] = n
			return err
		}, "SELECT link_id, granted - used FROM visit_leases WHERE node = ? AND granted > used", string(node))
		if err != nil {
			return fmt.Errorf("read the leases: %w", err)
		}
		for link, n := range free {
			if err := giveBack(ctx, tx, node, link, n); err != nil {
				return err
			}
		}
		return nil
	})
}

func giveBack(ctx context.Context, tx *sql.Tx, node engine.NodeID, link engine.LinkID, n int64) error {
	if n <= 0 {
		return nil
	}
	_, err := tx.ExecContext(ctx, "UPDATE visit_leases SET granted = granted - ? WHERE node = ? AND link_id = ?", n, string(node), int64(link))
	if err != nil {
		return fmt.Errorf("lower the lease: %w", err)
	}
	return lowerLeased(ctx, tx, link, n)
}

func lowerLeased(ctx context.Context, tx *sql.Tx, link engine.LinkID, n int64) error {
	if _, err := tx.ExecContext(ctx, "UPDATE links SET visits_leased = visits_leased - ? WHERE id = ?", n, int64(link)); err != nil {
		return fmt.Errorf("count leased visits: %w", err)
	}
	return nil
}
