package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// stalledTimeout bounds the question for writers that stand still: where it is this process' own line that is cut, nobody answers it.
const stalledTimeout = 2 * time.Second

// endStalledCopies ends the sessions of writers that stand still in the middle of a batch's COPY: a process that is stopped, or a host that went
// away behind a pooler. The server waits for the rest of a COPY without end, by no timeout of ours, and holds the counter of the clicks, which all
// instances' batches and leases need. Such a writer has given the batch up itself by then, or finds it undone when it goes on, and asks its checkpoint.
// It is called by whoever's batch ran out of time while it waited, so what has waited for its client for half as long is what stands in the way.
// Sessions of other roles and of other databases are left alone. A COPY over a line so slow that the others run out of time is ended, too; its
// writer tries again with half as much.
func (s *Store) endStalledCopies(ctx context.Context) {
	ctx, leave := s.enter(context.WithoutCancel(ctx), stalledTimeout)
	defer leave()
	var pids []int32
	err := s.pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		// Materialized: the server may put the conditions of one query into any order, and ending a session is no condition.
		rows, err := conn.Query(ctx, `WITH stalled AS MATERIALIZED (
				SELECT pid FROM pg_stat_activity
				WHERE datname = current_database() AND usename = current_user AND state = 'active' AND wait_event = 'ClientRead'
					AND query LIKE 'COPY clicks (%' AND clock_timestamp() - query_start > $1
			)
			SELECT pid FROM stalled WHERE pg_terminate_backend(pid)`, statementTimeout(s.cfg.WriteTimeout)/2)
		if err != nil {
			return err
		}
		pids, err = pgx.CollectRows(rows, pgx.RowTo[int32])
		return err
	})
	switch {
	case err != nil:
		s.log.Warn("writers that stand still could not be looked for", "err", err)
	case len(pids) > 0:
		s.log.Warn("sessions of writers that stood still in the middle of a batch were ended, as all others waited for them", "pids", pids)
	}
}
