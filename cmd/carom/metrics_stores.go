package main

import (
	"github.com/carom-dev/carom/cmd/carom/internal/metric"
	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/redis"
)

func journalMetrics() []family {
	return []family{
		level("carom_journal_lanes", "Lanes; each shard writes into one.", func(s *scrape) float64 { return float64(len(s.journal.Unread)) }),
		level("carom_journal_segments", "Segment files in use.", func(s *scrape) float64 { return float64(s.journal.Segments) }),
		level("carom_journal_bytes", "Disk that the segments take.", func(s *scrape) float64 { return float64(s.journal.BytesUsed) }),
		level("carom_journal_bytes_max", "Its bound.", func(s *scrape) float64 { return float64(s.journal.BytesMax) }),
		count("carom_journal_appended_total", "Clicks that were recorded.", func(s *scrape) uint64 { return s.journal.Appended }),
		count("carom_journal_dropped_total", "Clicks that were not recorded.", func(s *scrape) uint64 { return s.journal.Dropped }),
		counter("carom_journal_drops_total", "The same by reason: full is the bound on the journal, disk a full disk, error a disk that failed, closed the end of the process.",
			[]string{"reason"}, func(s *scrape, w *metric.Writer) {
				for _, reason := range sorted(s.journal.Drops) {
					w.Count(s.journal.Drops[reason], reason)
				}
			}),
		level("carom_journal_unread_bytes", "Bytes of the journal that the writer has not read, in whole slots of 64; in what a dead process left, space that it never used counts until it is read.", func(s *scrape) float64 {
			n := uint64(0)
			for _, lane := range s.journal.Unread {
				n += lane
			}
			return float64(n)
		}),
		level("carom_journal_oldest_unread_seconds", "Age of the oldest click that the writer has not read; 0 when there is none.", func(s *scrape) float64 {
			if s.journal.OldestUnread.IsZero() {
				return 0
			}
			return max(s.now.Sub(s.journal.OldestUnread).Seconds(), 0)
		}),
		count("carom_journal_holes_total", "Places that a process reserved and died before it used them; no visitor was answered for them.", func(s *scrape) uint64 { return s.journal.Holes }),
		count("carom_journal_damaged_records_total", "Records that can't be read any more.", func(s *scrape) uint64 { return s.journal.DamagedRecords }),
		count("carom_journal_lost_user_agents_total", "Clicks that were stored without user agent and language, as the record that has them can't be read any more.", func(s *scrape) uint64 { return s.journal.LostUserAgents }),
		count("carom_journal_damaged_segments_total", "Segments that were put aside.", func(s *scrape) uint64 { return s.journal.DamagedSegments }),
		count("carom_journal_gaps_total", "Places where segments are missing.", func(s *scrape) uint64 { return s.journal.Gaps }),
		count("carom_journal_sync_errors_total", "Syncs that the disk refused.", func(s *scrape) uint64 { return s.journal.SyncErrors }),
		level("carom_journal_sync_lag_seconds", "Time since the last sync while there are clicks that it did not cover.", func(s *scrape) float64 { return s.journal.SyncLag.Seconds() }),
	}
}

func storeMetrics() []family {
	pool := []string{"store", "pool"}
	each := func(figure func(p *engine.PoolStats) float64) func(*scrape, *metric.Writer) {
		return func(s *scrape, w *metric.Writer) {
			for i := range s.pools {
				w.Value(figure(&s.pools[i]), s.store, s.pools[i].Name)
			}
		}
	}
	bus := func(figure func(b *redis.Stats) float64) func(*scrape, *metric.Writer) {
		return func(s *scrape, w *metric.Writer) {
			if s.bus != nil {
				w.Value(figure(s.bus))
			}
		}
	}
	return []family{
		gauge("carom_store_connections", "Connections of a pool; the store is postgres or sqlite. queries: reads and edits, in SQLite reads; lookups: of links and keys in SQLite; scans: places for searches, figures and clicks among the queries in Postgres; writer: clicks.", pool, each(func(p *engine.PoolStats) float64 { return float64(p.Open) })),
		gauge("carom_store_connections_busy", "Of them, those in use.", pool, each(func(p *engine.PoolStats) float64 { return float64(p.Busy) })),
		gauge("carom_store_connections_max", "How many there may be.", pool, each(func(p *engine.PoolStats) float64 { return float64(p.Max) })),
		counter("carom_store_connections_opened_total", "Connections that were made (Postgres).", pool, each(func(p *engine.PoolStats) float64 { return float64(p.Opened) })),
		counter("carom_store_acquired_total", "Calls that got a connection (Postgres).", pool, each(func(p *engine.PoolStats) float64 { return float64(p.Acquired) })),
		counter("carom_store_waits_total", "Calls that had to wait for one.", pool, each(func(p *engine.PoolStats) float64 { return float64(p.Waited) })),
		counter("carom_store_wait_seconds_total", "All these waits together.", pool, each(func(p *engine.PoolStats) float64 { return p.WaitTime.Seconds() })),
		counter("carom_store_given_up_total", "Calls that ended without one (Postgres).", pool, each(func(p *engine.PoolStats) float64 { return float64(p.GivenUp) })),
		gauge("carom_redis_connections", "Connections that publish; here and below: only with --redis-url.", nil, bus(func(b *redis.Stats) float64 { return float64(b.Conns) })),
		gauge("carom_redis_connections_idle", "Of them, those not in use.", nil, bus(func(b *redis.Stats) float64 { return float64(b.IdleConns) })),
		counter("carom_redis_pool_timeouts_total", "Calls that found no connection in time.", nil, bus(func(b *redis.Stats) float64 { return float64(b.PoolTimeouts) })),
		gauge("carom_redis_away", "1 while Redis is not asked, as it does not answer.", nil, bus(func(b *redis.Stats) float64 {
			if b.Away {
				return 1
			}
			return 0
		})),
		counter("carom_redis_breaks_total", "Times that it was given up.", nil, bus(func(b *redis.Stats) float64 { return float64(b.BreakerOpened) })),
		counter("carom_redis_failed_total", "Messages that were not sent, or may not have been.", nil, bus(func(b *redis.Stats) float64 { return float64(b.Failed) })),
		counter("carom_redis_reconnects_total", "Subscriptions that were made again.", nil, bus(func(b *redis.Stats) float64 { return float64(b.Reconnects) })),
		counter("carom_redis_undecodable_total", "Messages that could not be read.", nil, bus(func(b *redis.Stats) float64 { return float64(b.Undecodable) })),
	}
}
