package sqlite

import (
	"database/sql"

	"github.com/carom-dev/carom/engine"
)

// PoolStats reads the figures of the store's pools.
func (s *Store) PoolStats() []engine.PoolStats {
	return []engine.PoolStats{poolStats("queries", s.reader), poolStats("lookups", s.points), poolStats("writer", s.writer)}
}

func poolStats(name string, pool *sql.DB) engine.PoolStats {
	st := pool.Stats()
	return engine.PoolStats{
		Name: name, Max: st.MaxOpenConnections, Open: st.OpenConnections, Busy: st.InUse,
		Waited: uint64(st.WaitCount), WaitTime: st.WaitDuration,
	}
}
