package postgres

import (
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/carom-dev/carom/engine"
)

// PoolStats reads the figures of the store's pools.
func (s *Store) PoolStats() []engine.PoolStats {
	return []engine.PoolStats{poolStats("queries", s.pool), s.scans.stats(), poolStats("writer", s.writers)}
}

func poolStats(name string, pool *pgxpool.Pool) engine.PoolStats {
	st := pool.Stat()
	return engine.PoolStats{
		Name: name, Max: int(st.MaxConns()), Open: int(st.TotalConns()), Busy: int(st.AcquiredConns()),
		Acquired: uint64(st.AcquireCount()), Waited: uint64(st.EmptyAcquireCount()), WaitTime: st.EmptyAcquireWaitTime(),
		GivenUp: uint64(st.CanceledAcquireCount()), Opened: uint64(st.NewConnsCount()),
	}
}
