package main

import (
	"fmt"
	"io"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/carom-dev/carom/actors"
	"github.com/carom-dev/carom/edge"
	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/journal"
)

// gauges writes what the rooms count as Prometheus text. Every number is read when it is asked for; nothing is kept here.
type gauges struct {
	edge    func() edge.Stats
	actors  func() actors.Stats
	journal func() journal.Stats
}

// write writes all metrics.
func (g *gauges) write(w io.Writer) {
	counter := func(name string, n uint64) { metrics.WriteCounterUint64(w, name, n) }
	gauge := func(name string, n int64) { metrics.WriteGaugeUint64(w, name, uint64(max(n, 0))) }

	e := g.edge()
	for _, outcome := range engine.Outcomes() {
		counter(fmt.Sprintf("carom_edge_answers_total{outcome=%q}", outcome), e.Of(outcome))
	}
	counter("carom_edge_unrecorded_total", e.Unrecorded)
	counter("carom_edge_refused_total", e.Refused)
	counter("carom_edge_limited_total", e.Limited)
	counter("carom_edge_panics_total", e.Panics)
	counter("carom_edge_bad_requests_total", e.BadRequests)
	counter("carom_edge_managed_total", e.Managed)
	counter("carom_edge_connections_rejected_total", e.Rejected)
	counter("carom_edge_accept_pauses_total", e.Pauses)
	gauge("carom_edge_connections", int64(e.Connections))

	a := g.actors()
	var sum actors.ShardStats
	for _, s := range a.Shards {
		sum.Entries += s.Entries
		sum.Bytes += s.Bytes
		sum.BytesMax += s.BytesMax
		sum.Evictions += s.Evictions
		sum.Misses += s.Misses
		sum.Joined += s.Joined
		sum.Sheds += s.Sheds
		sum.Races += s.Races
	}
	gauge("carom_actors_table_entries", sum.Entries)
	gauge("carom_actors_table_bytes", sum.Bytes)
	gauge("carom_actors_table_bytes_max", sum.BytesMax)
	counter("carom_actors_table_evictions_total", uint64(sum.Evictions))
	counter("carom_actors_misses_total", uint64(sum.Misses))
	counter("carom_actors_misses_joined_total", uint64(sum.Joined))
	counter("carom_actors_sheds_total", uint64(sum.Sheds))
	counter("carom_actors_load_races_total", uint64(sum.Races))
	gauge("carom_actors_lookups_waiting", a.Waiting)
	counter("carom_actors_loader_queries_total", uint64(a.Loader.Queries))
	counter("carom_actors_loader_keys_total", uint64(a.Loader.Keys))
	gauge("carom_actors_loader_depth", a.Loader.Depth)
	counter("carom_actors_writer_batches_total", uint64(a.Writer.Batches))
	counter("carom_actors_writer_clicks_total", uint64(a.Writer.Rows))
	counter("carom_actors_writer_errors_total", uint64(a.Writer.Errors))
	counter("carom_actors_writer_set_aside_total", uint64(a.Writer.SetAside))
	metrics.WriteCounterFloat64(w, "carom_actors_writer_seconds_total", a.Writer.Seconds)

	gauge("carom_actors_feed_live", a.Feed.Live)
	healthy := int64(0)
	if a.Feed.Healthy {
		healthy = 1
	}
	gauge("carom_actors_feed_bus_healthy", healthy)
	counter("carom_actors_feed_published_total", uint64(a.Feed.Published))
	counter("carom_actors_feed_received_total", uint64(a.Feed.Received))
	counter("carom_actors_feed_polls_total", uint64(a.Feed.Polls))
	counter("carom_actors_feed_gaps_total", uint64(a.Feed.Gaps))
	counter("carom_actors_feed_lost_total", uint64(a.Feed.Lost))

	j := g.journal()
	gauge("carom_journal_segments", int64(j.Segments))
	gauge("carom_journal_bytes", j.BytesUsed)
	gauge("carom_journal_bytes_max", j.BytesMax)
	counter("carom_journal_appended_total", j.Appended)
	counter("carom_journal_dropped_total", j.Dropped)
	counter("carom_journal_holes_total", j.Holes)
	counter("carom_journal_damaged_records_total", j.DamagedRecords)
	counter("carom_journal_damaged_segments_total", j.DamagedSegments)
	counter("carom_journal_gaps_total", j.Gaps)
	counter("carom_journal_sync_errors_total", j.SyncErrors)
	metrics.WriteGaugeFloat64(w, "carom_journal_sync_lag_seconds", j.SyncLag.Seconds())
	age := 0.0
	if !j.OldestUnread.IsZero() {
		age = max(time.Since(j.OldestUnread).Seconds(), 0)
	}
	metrics.WriteGaugeFloat64(w, "carom_journal_oldest_unread_seconds", age)

	metrics.WriteProcessMetrics(w)
}
