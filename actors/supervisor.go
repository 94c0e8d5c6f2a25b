package actors

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/carom-dev/carom/actors/stage"
	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/engine/latency"
)

// supervisor counts what goes wrong with the actors, with a memory that fades, and says how they are. The zero value with a cfg
// is ready. Safe for concurrent use.
type supervisor struct {
	cfg *Config

	mu     sync.Mutex
	faults int       // guarded by mu: recent panics and restarts
	last   time.Time // guarded by mu
	who    string    // guarded by mu
}

const (
	// faultMemory without a fault and the actors count as well again.
	faultMemory = time.Minute
	// faultsMax within that time, and something is broken rather than unlucky.
	faultsMax = 100
)

// fault notes a panic or a restart. It does not block on anything but its own short lock.
func (s *supervisor) fault(actor string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	if now.Sub(s.last) > faultMemory {
		s.faults = 0
	}
	s.faults++
	s.last, s.who = now, actor
}

func (s *supervisor) health() engine.Health {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.faults == 0 || s.cfg.Now().Sub(s.last) > faultMemory {
		return engine.Health{Status: engine.HealthPass}
	}
	h := engine.Health{Status: engine.HealthWarn, Reason: fmt.Sprintf("%d faults in the last minute, the latest in %s; see the log", s.faults, s.who)}
	if s.faults > faultsMax {
		h.Status = engine.HealthFail
	}
	return h
}

// HealthChecks are the parts that the actors can speak for.
func (a *Actors) HealthChecks() []engine.HealthCheck {
	checks := []engine.HealthCheck{
		{Name: "actors", Check: func(context.Context) engine.Health { return a.supervisor.health() }},
		{Name: "writer", Check: func(context.Context) engine.Health { return a.writer.health() }},
	}
	if a.feed != nil {
		checks = append(checks, engine.HealthCheck{Name: "feed", Check: a.feed.health})
	}
	return checks
}

func (w *writer) health() engine.Health {
	reason := w.lastError.Load()
	switch {
	case w.fenced.Load():
		return engine.Health{Status: engine.HealthFail, Reason: "the checkpoints in the store were moved by somebody else: stop the other process with this node's id and give it a data directory " +
			"of its own. Until a restart the journal keeps the clicks"}
	case reason != nil:
		return engine.Health{Status: engine.HealthWarn, Reason: "clicks wait in the journal: " + *reason}
	}
	if notice := w.notice.Load(); notice != nil {
		return engine.Health{Status: engine.HealthWarn, Reason: *notice}
	}
	return engine.Health{Status: engine.HealthPass}
}

// Stats are the figures of the actors' room.
type Stats struct {
	Stage   stage.Stats
	Shards  []ShardStats
	Loader  LoaderStats
	Writer  WriterStats
	Feed    FeedStats // zero when this is the only instance
	Waiting int64     // visitors waiting for the store
	WaitMax int64     // of them, the most in one shard
	Bound   int64     // on those of one shard
}

// FeedStats are the figures of the feed between instances.
type FeedStats struct {
	Live                int64            // instances, this one included
	Healthy             bool             // the bus brings this instance's own heartbeats back
	Published, Received int64            // messages
	Polls               int64            // pages of the change log that were read
	Gaps                int64            // times that a peer's sequence showed that something was lost
	Recalls             int64            // times that the others were asked to give a link's visits back
	Lost                int64            // messages that could not be sent
	Resyncs             int64            // readings of the change log out of turn, as something may have been missed
	LogAway             bool             // the change log can't be read
	Regressions         int64            // how often the change log showed that the store had gone back in time
	Applied             int64            // changes of other instances, from the bus and from the log
	Unconfirmed         int64            // edits that were answered before all instances had confirmed them
	LastChange          time.Time        // when the latest change was applied or announced; zero: none was
	Spread              latency.Snapshot // from an edit's announcement to its last confirmation
}

// ShardStats are one shard's figures.
type ShardStats struct {
	Entries, Bytes, BytesMax, Evictions int64 // of the published table
	Misses                              int64 // visitors whose code was not published
	Joined                              int64 // of them, those who waited for another's query
	Sheds                               int64
	Races                               int64 // loads that were thrown away, as the link changed meanwhile
}

// LoaderStats are the loader's figures.
type LoaderStats struct {
	Queries, Keys int64
	Errors        int64            // queries and leases that failed
	Leased        int64            // visits
	Depth         int64            // questions waiting
	Time          latency.Snapshot // of a query
}

// WriterStats are the writer's figures.
type WriterStats struct {
	Batches, Rows, Errors, SetAside int64
	Seconds                         float64          // spent in transactions
	Time                            latency.Snapshot // of a batch that was stored
	Lag                             time.Duration    // from the oldest click of the latest batch to its being stored
	Held                            int64            // clicks that were read and are not stored
	HeldSince                       time.Time        // the oldest of them; zero: none
	Fenced                          bool
}

// Stats reads the figures.
func (a *Actors) Stats() Stats {
	w := a.writer
	st := Stats{
		Stage: a.stage.Stats(),
		Loader: LoaderStats{
			Queries: a.loader.asked.Load(), Keys: a.loader.keys.Load(), Depth: a.loader.depth.Load(),
			Errors: a.loader.errors.Load(), Leased: a.loader.leased.Load(), Time: a.loader.time.Snapshot(),
		},
		Writer: WriterStats{
			Batches: w.batches.Load(), Rows: w.rows.Load(), Errors: w.errors.Load(), SetAside: w.setAside.Load(),
			Seconds: time.Duration(w.nanos.Load()).Seconds(), Fenced: w.fenced.Load(), Time: w.time.Snapshot(), Lag: time.Duration(w.lag.Load()), Held: w.held.Load(),
		},
		Bound: int64(a.cfg.LookupsMax),
	}
	if since := w.heldSince.Load(); since != 0 {
		st.Writer.HeldSince = time.UnixMicro(since)
	}
	if f := a.feed; f != nil {
		st.Feed = FeedStats{
			Live: f.live.Load(), Healthy: f.healthy.Load(), Published: f.published.Load(), Received: f.received.Load(),
			Polls: f.polls.Load(), Gaps: f.gaps.Load(), Recalls: f.recalls.Load(), Lost: f.lost.Load(), Resyncs: f.resyncs.Load(),
			LogAway: f.logError.Load() != nil, Regressions: f.regressions.Load(), Applied: f.applied.Load(), Unconfirmed: f.unsure.Load(), Spread: f.spread.Snapshot(),
		}
		if at := f.appliedAt.Load(); at != 0 {
			st.Feed.LastChange = time.Unix(0, at)
		}
	}
	for _, s := range a.shards {
		t := s.table.Stats()
		st.Shards = append(st.Shards, ShardStats{
			Entries: t.Entries, Bytes: t.Bytes, BytesMax: t.BytesMax, Evictions: t.Evictions,
			Misses: s.misses.Load(), Joined: s.joined.Load(), Sheds: s.sheds.Load(), Races: s.races.Load(),
		})
		waiting := s.admitted.Load()
		st.Waiting += waiting
		st.WaitMax = max(st.WaitMax, waiting)
	}
	return st
}
