package main

import (
	"strings"
	"time"

	"github.com/carom-dev/carom/actors"
	"github.com/carom-dev/carom/actors/stage"
	"github.com/carom-dev/carom/cmd/carom/internal/metric"
	"github.com/carom-dev/carom/engine"
)

// shards sums a figure of the shards up.
func shards(s *scrape, figure func(*actors.ShardStats) int64) int64 {
	sum := int64(0)
	for i := range s.actors.Shards {
		sum += figure(&s.actors.Shards[i])
	}
	return sum
}

func tableMetrics() []family {
	sum := func(figure func(*actors.ShardStats) int64) func(*scrape) float64 {
		return func(s *scrape) float64 { return float64(shards(s, figure)) }
	}
	total := func(figure func(*actors.ShardStats) int64) func(*scrape) uint64 {
		return func(s *scrape) uint64 { return uint64(shards(s, figure)) }
	}
	return []family{
		count("carom_edge_table_hits_total", "Requests for codes that were answered from the published table.", func(s *scrape) uint64 { return s.edge.Hits.Total() }),
		count("carom_edge_table_negative_hits_total", "Of them, those for codes that are known not to exist.", func(s *scrape) uint64 { return s.edge.Hits.Of(engine.OutcomeNotFound) }),
		count("carom_actors_misses_total", "Requests for codes that were not in the table.", total(func(t *actors.ShardStats) int64 { return t.Misses })),
		count("carom_actors_misses_joined_total", "Of them, those that waited for another's look-up of the same code.", total(func(t *actors.ShardStats) int64 { return t.Joined })),
		level("carom_actors_table_entries", "Links and known gaps in the tables.", sum(func(t *actors.ShardStats) int64 { return t.Entries })),
		level("carom_actors_table_bytes", "Memory of the tables.", sum(func(t *actors.ShardStats) int64 { return t.Bytes })),
		level("carom_actors_table_bytes_max", "Its bound.", sum(func(t *actors.ShardStats) int64 { return t.BytesMax })),
		count("carom_actors_table_evictions_total", "Entries that made room for others.", total(func(t *actors.ShardStats) int64 { return t.Evictions })),
		level("carom_actors_lookups_waiting", "Visitors that wait for the store.", func(s *scrape) float64 { return float64(s.actors.Waiting) }),
		level("carom_actors_lookups_waiting_most", "Of them, those in the shard that has most.", func(s *scrape) float64 { return float64(s.actors.WaitMax) }),
		level("carom_actors_lookups_waiting_max", "How many may wait in one shard.", func(s *scrape) float64 { return float64(s.actors.Bound) }),
		count("carom_actors_sheds_total", "Visitors who got a 503, as too many were waiting.", total(func(t *actors.ShardStats) int64 { return t.Sheds })),
		count("carom_actors_load_races_total", "Look-ups that were done again, as the link changed meanwhile.", total(func(t *actors.ShardStats) int64 { return t.Races })),
		level("carom_actors_loader_depth", "Batches of look-ups and leases that wait for a worker.", func(s *scrape) float64 { return float64(s.actors.Loader.Depth) }),
		count("carom_actors_loader_queries_total", "Queries for links.", func(s *scrape) uint64 { return uint64(s.actors.Loader.Queries) }),
		count("carom_actors_loader_keys_total", "Codes in them.", func(s *scrape) uint64 { return uint64(s.actors.Loader.Keys) }),
		count("carom_actors_loader_errors_total", "Queries and leases that failed.", func(s *scrape) uint64 { return uint64(s.actors.Loader.Errors) }),
		histogram("carom_actors_loader_query_seconds", "Time of a query for links.", nil, func(s *scrape, w *metric.Writer) { w.Distribution(s.actors.Loader.Time) }),
		count("carom_actors_leased_visits_total", "Visits of links with a budget that were taken from the store.", func(s *scrape) uint64 { return uint64(s.actors.Loader.Leased) }),
	}
}

// players joins the figures of the actors of one kind: shard-0 and shard-1 are shards.
func players(s *scrape) map[string]stage.ActorStats {
	kinds := map[string]stage.ActorStats{}
	for _, a := range s.actors.Stage.Actors {
		kind, _, _ := strings.Cut(a.Name, "-")
		k := kinds[kind]
		k.Depth = max(k.Depth, a.Depth)
		k.Max = a.Max
		k.Messages += a.Messages
		k.Panics += a.Panics
		k.Shed += a.Shed
		k.Busy += a.Busy
		k.Stuck = max(k.Stuck, a.Stuck)
		kinds[kind] = k
	}
	return kinds
}

func actorMetrics() []family {
	actor := []string{"actor"}
	each := func(figure func(a *stage.ActorStats) float64) func(*scrape, *metric.Writer) {
		return func(s *scrape, w *metric.Writer) {
			kinds := players(s)
			for _, kind := range sorted(kinds) {
				a := kinds[kind]
				w.Value(figure(&a), kind)
			}
		}
	}
	return []family{
		counter("carom_actors_messages_total", "Messages that were handled; the shards are one kind.", actor, each(func(a *stage.ActorStats) float64 { return float64(a.Messages) })),
		gauge("carom_actors_mailbox_depth", "Messages that wait, in the fullest mailbox of the kind.", actor, each(func(a *stage.ActorStats) float64 { return float64(a.Depth) })),
		gauge("carom_actors_mailbox_max", "How many may wait in one mailbox.", actor, each(func(a *stage.ActorStats) float64 { return float64(a.Max) })),
		counter("carom_actors_mailbox_refused_total", "Messages that were refused, as the mailbox was full or closed.", actor, each(func(a *stage.ActorStats) float64 { return float64(a.Shed) })),
		counter("carom_actors_receive_seconds_total", "Time in Receive.", actor, each(func(a *stage.ActorStats) float64 { return a.Busy.Seconds() })),
		gauge("carom_actors_receive_stuck_seconds", "How long the batch of messages at hand has taken up to now, in the slowest actor of the kind.", actor,
			each(func(a *stage.ActorStats) float64 { return a.Stuck.Seconds() })),
		counter("carom_actors_panics_total", "Messages whose handling panicked; each cost itself alone.", actor, each(func(a *stage.ActorStats) float64 { return float64(a.Panics) })),
		count("carom_actors_worker_panics_total", "Panics of workers.", func(s *scrape) uint64 { return uint64(s.actors.Stage.WorkerPanics) }),
		count("carom_actors_restarts_total", "Actors that the library started again.", func(s *scrape) uint64 { return uint64(s.actors.Stage.Restarts) }),
		count("carom_actors_dead_letters_total", "Messages to actors that had ended.", func(s *scrape) uint64 { return uint64(s.actors.Stage.DeadLetters) }),
	}
}

func writerMetrics() []family {
	return []family{
		count("carom_actors_writer_batches_total", "Batches of clicks that were stored.", func(s *scrape) uint64 { return uint64(s.actors.Writer.Batches) }),
		count("carom_actors_writer_clicks_total", "Clicks in them.", func(s *scrape) uint64 { return uint64(s.actors.Writer.Rows) }),
		counter("carom_actors_writer_seconds_total", "Time in the transactions.", nil, func(s *scrape, w *metric.Writer) { w.Value(s.actors.Writer.Seconds) }),
		histogram("carom_actors_writer_batch_seconds", "Time of the transaction of a batch.", nil, func(s *scrape, w *metric.Writer) { w.Distribution(s.actors.Writer.Time) }),
		count("carom_actors_writer_errors_total", "Tries that failed; the journal keeps the clicks.", func(s *scrape) uint64 { return uint64(s.actors.Writer.Errors) }),
		level("carom_actors_writer_lag_seconds", "From the oldest click of the latest batch to its being stored.", func(s *scrape) float64 { return s.actors.Writer.Lag.Seconds() }),
		level("carom_actors_writer_held", "Clicks that the writer has read and not stored yet: the batch at hand, for as long as the store is away.",
			func(s *scrape) float64 { return float64(s.actors.Writer.Held) }),
		level("carom_actors_writer_oldest_unstored_seconds", "Age of the oldest click that is not in the store, whether the writer has read it or not; 0 when there is none.",
			func(s *scrape) float64 {
				oldest := s.journal.OldestUnread
				if held := s.actors.Writer.HeldSince; oldest.IsZero() || !held.IsZero() && held.Before(oldest) {
					oldest = held
				}
				if oldest.IsZero() {
					return 0
				}
				return max(s.now.Sub(oldest).Seconds(), 0)
			}),
		count("carom_actors_writer_set_aside_total", "Clicks that the store refused and that are kept in a file.", func(s *scrape) uint64 { return uint64(s.actors.Writer.SetAside) }),
		state("carom_actors_writer_fenced", "1 when somebody else moved the checkpoints, so that nothing is stored any more.", func(s *scrape) bool { return s.actors.Writer.Fenced }),
	}
}

func feedMetrics() []family {
	return []family{
		level("carom_actors_feed_live", "Instances that are known to live, this one included.", func(s *scrape) float64 { return float64(s.actors.Feed.Live) }),
		state("carom_actors_feed_bus_healthy", "1 while the bus brings this instance's own heartbeats back.", func(s *scrape) bool { return s.actors.Feed.Healthy }),
		state("carom_actors_feed_log_away", "1 while the change log of the store can't be read.", func(s *scrape) bool { return s.actors.Feed.LogAway }),
		level("carom_actors_feed_last_change_seconds", "Unix time of the latest edit that was applied or announced; 0 when there was none.", func(s *scrape) float64 {
			if s.actors.Feed.LastChange.IsZero() {
				return 0
			}
			return float64(s.actors.Feed.LastChange.UnixMilli()) / float64(time.Second/time.Millisecond)
		}),
		histogram("carom_actors_feed_propagation_seconds", "From an edit's announcement to its confirmation by all live instances.", nil,
			func(s *scrape, w *metric.Writer) { w.Distribution(s.actors.Feed.Spread) }),
		count("carom_actors_feed_unconfirmed_total", "Edits that were answered before all instances had confirmed them.", func(s *scrape) uint64 { return uint64(s.actors.Feed.Unconfirmed) }),
		count("carom_actors_feed_applied_total", "Changes of other instances, from the bus and from the change log.", func(s *scrape) uint64 { return uint64(s.actors.Feed.Applied) }),
		count("carom_actors_feed_published_total", "Messages that the bus took.", func(s *scrape) uint64 { return uint64(s.actors.Feed.Published) }),
		count("carom_actors_feed_received_total", "Messages that the bus brought.", func(s *scrape) uint64 { return uint64(s.actors.Feed.Received) }),
		count("carom_actors_feed_lost_total", "Messages that could not be sent.", func(s *scrape) uint64 { return uint64(s.actors.Feed.Lost) }),
		count("carom_actors_feed_gaps_total", "Times that another's numbers showed that a message was lost.", func(s *scrape) uint64 { return uint64(s.actors.Feed.Gaps) }),
		count("carom_actors_feed_recalls_total", "Times that the other instances were asked to give idle visits of a link back.", func(s *scrape) uint64 { return uint64(s.actors.Feed.Recalls) }),
		count("carom_actors_feed_resyncs_total", "Readings of the change log out of turn, as something may have been missed.", func(s *scrape) uint64 { return uint64(s.actors.Feed.Resyncs) }),
		count("carom_actors_feed_regressions_total", "Times that the change log showed that the database had gone back to an earlier state.", func(s *scrape) uint64 { return uint64(s.actors.Feed.Regressions) }),
		count("carom_actors_feed_polls_total", "Readings of the change log.", func(s *scrape) uint64 { return uint64(s.actors.Feed.Polls) }),
	}
}
