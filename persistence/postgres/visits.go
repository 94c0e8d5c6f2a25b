package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/carom-dev/carom/engine"
)

// leaseShare: at most one part in so many of what remains of a budget goes out ahead of need, so that a small one, and the end of a large
// one, is not held by an instance whose visitors do not come.
const leaseShare = 8

// LeaseVisits takes visits out of a link's budget. The row of the link is locked first, so that all instances queue up there.
func (s *Store) LeaseVisits(ctx context.Context, node engine.NodeID, link engine.LinkID, need, want int64) (engine.VisitLease, error) {
	var got engine.VisitLease
	err := s.edit(ctx, "lease visits", func(ctx context.Context, tx pgx.Tx) error {
		got = engine.VisitLease{}
		var visits, leased int64
		err := tx.QueryRow(ctx, "SELECT max_visits, visits_leased FROM links WHERE id = $1 AND max_visits IS NOT NULL FOR UPDATE", int64(link)).Scan(&visits, &leased)
		if errors.Is(err, pgx.ErrNoRows) {
			return engine.Errorf(engine.CodeNotFound, "there is no link %d with a visit budget", link)
		}
		if err != nil {
			return fmt.Errorf("read the budget: %w", err)
		}
		left := max(0, visits-leased)
		if got.Visits = min(left, max(need, min(want, left/leaseShare))); got.Visits > 0 {
			return moveLease(ctx, tx, node, link, got.Visits)
		}
		err = tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM visit_leases WHERE link_id = $1 AND node <> $2 AND outstanding > 0)", int64(link), string(node)).Scan(&got.Elsewhere)
		if err != nil {
			return fmt.Errorf("look for other leases: %w", err)
		}
		return nil
	})
	if err != nil {
		return engine.VisitLease{}, err
	}
	return got, nil
}

// moveLease grants n visits to the node, or takes -n back. The link's row is locked.
func moveLease(ctx context.Context, tx pgx.Tx, node engine.NodeID, link engine.LinkID, n int64) error {
	batch := &pgx.Batch{}
	batch.Queue("UPDATE links SET visits_leased = visits_leased + $2 WHERE id = $1", int64(link), n)
	batch.Queue(`INSERT INTO visit_leases AS l (node, link_id, outstanding) VALUES ($1, $2, $3)
		ON CONFLICT (node, link_id) DO UPDATE SET outstanding = l.outstanding + excluded.outstanding,
			renewed_at = CASE WHEN excluded.outstanding > 0 THEN now() ELSE l.renewed_at END`, string(node), int64(link), n)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("move the lease: %w", err)
	}
	return nil
}

// ReturnVisits gives leased visits back, at most those that the node has.
func (s *Store) ReturnVisits(ctx context.Context, node engine.NodeID, link engine.LinkID, n int64) error {
	if n <= 0 {
		return nil
	}
	return s.edit(ctx, "return visits", func(ctx context.Context, tx pgx.Tx) error {
		if err := lockLink(ctx, tx, link); err != nil {
			return err
		}
		var outstanding int64
		err := tx.QueryRow(ctx, "SELECT outstanding FROM visit_leases WHERE node = $1 AND link_id = $2 FOR UPDATE", string(node), int64(link)).Scan(&outstanding)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the lease: %w", err)
		}
		if back := min(n, outstanding); back > 0 {
			return moveLease(ctx, tx, node, link, -back)
		}
		return nil
	})
}

func lockLink(ctx context.Context, tx pgx.Tx, link engine.LinkID) error {
	if _, err := tx.Exec(ctx, "SELECT 1 FROM links WHERE id = $1 FOR UPDATE", int64(link)); err != nil {
		return fmt.Errorf("lock the link: %w", err)
	}
	return nil
}

// reclaimMax links are given their visits back in one transaction, so that none of them holds the links of others for long.
const reclaimMax = 1000

// ReclaimVisits gives all of a node's outstanding visits back, in steps, each of which stands when a later one fails.
func (s *Store) ReclaimVisits(ctx context.Context, node engine.NodeID) error {
	for {
		var links []int64
		err := s.editWithin(ctx, s.cfg.WriteTimeout, "reclaim visits", func(ctx context.Context, tx pgx.Tx) error {
			links = links[:0]
			err := scan(ctx, tx, func(rows pgx.Rows) error {
				var link int64
				err := rows.Scan(&link)
				links = append(links, link)
				return err
			}, "SELECT link_id FROM visit_leases WHERE node = $1 ORDER BY link_id LIMIT $2", string(node), reclaimMax)
			if err != nil || len(links) == 0 {
				return err
			}
			for _, text := range []string{ // links are locked before leases, as everywhere; of what is used up there is nothing to give back
				`SELECT FROM links WHERE id IN (SELECT link_id FROM visit_leases WHERE node = $1 AND link_id = ANY($2::bigint[]) AND outstanding <> 0) ORDER BY id FOR UPDATE`,
				`UPDATE links l SET visits_leased = l.visits_leased - v.outstanding FROM visit_leases v
					WHERE v.node = $1 AND v.link_id = ANY($2::bigint[]) AND v.link_id = l.id AND v.outstanding <> 0`,
				`DELETE FROM visit_leases WHERE node = $1 AND link_id = ANY($2::bigint[])`,
			} {
				if _, err := tx.Exec(ctx, text, string(node), links); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || len(links) < reclaimMax {
			return err
		}
	}
}

// leaseExpiry is how long after its latest grant a lease is given back to the budget, whoever has it. A node that lives has given back
// what it did not use by then: it does after minutes. One that comes back later than this, with visits in its journal that it could not store before,
// exceeds the budget by those.
const leaseExpiry = 24 * time.Hour

// expireLeases gives back what nodes hold that have not been heard of for leaseExpiry, by the clock of the database.
func (s *Store) expireLeases(ctx context.Context) error {
	return s.maintain(ctx, "expire leases", func(ctx context.Context, tx pgx.Tx) error {
		var links []int64 // links are locked before leases, as everywhere
		err := scan(ctx, tx, func(rows pgx.Rows) error {
			var link int64
			err := rows.Scan(&link)
			links = append(links, link)
			return err
		}, "SELECT id FROM links WHERE id IN (SELECT link_id FROM visit_leases WHERE renewed_at < now() - $1::interval) ORDER BY id FOR UPDATE", leaseExpiry)
		if err != nil {
			return fmt.Errorf("lock the links of old leases: %w", err)
		}
		if len(links) == 0 {
			return nil
		}
		var visits int64
		err = tx.QueryRow(ctx, `WITH gone AS (
				DELETE FROM visit_leases WHERE link_id = ANY($1::bigint[]) AND renewed_at < now() - $2::interval RETURNING link_id, outstanding
			), sums AS (SELECT link_id, sum(outstanding)::bigint AS n FROM gone GROUP BY link_id), given AS (
				UPDATE links l SET visits_leased = l.visits_leased - s.n FROM sums s WHERE s.link_id = l.id
			)
			SELECT coalesce(sum(n), 0)::bigint FROM sums`, links, leaseExpiry).Scan(&visits)
		if err != nil {
			return fmt.Errorf("give old leases back: %w", err)
		}
		if visits != 0 {
			s.log.Warn("visits of nodes that did not come back were given back to their links", "visits", visits, "links", len(links))
		}
		return nil
	})
}

// saltsKept is how many days before the asked one keep their salt.
const saltsKept = 2

// VisitorSalt is the secret of one UTC day. The first to ask makes it; whoever asks at the same time waits for that.
func (s *Store) VisitorSalt(ctx context.Context, at time.Time) ([16]byte, error) {
	var salt [16]byte
	if _, err := rand.Read(salt[:]); err != nil {
		return salt, fmt.Errorf("read randomness for a salt: %w", err)
	}
	date := at.UTC().Truncate(day)
	var stored []byte
	err := s.edit(ctx, "read the visitor salt", func(ctx context.Context, tx pgx.Tx) error {
		batch := &pgx.Batch{}
		batch.Queue("INSERT INTO visitor_salts (day, salt) VALUES ($1::date, $2) ON CONFLICT (day) DO NOTHING", date, salt[:])
		batch.Queue("DELETE FROM visitor_salts WHERE day < $1::date", date.Add(-saltsKept*day))
		batch.Queue("SELECT salt FROM visitor_salts WHERE day = $1::date", date).QueryRow(func(row pgx.Row) error { return row.Scan(&stored) })
		return tx.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		return [16]byte{}, err
	}
	if copy(salt[:], stored) != len(salt) {
		return [16]byte{}, fmt.Errorf("read the visitor salt: it has %d bytes", len(stored))
	}
	return salt, nil
}
