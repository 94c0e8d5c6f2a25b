package actors

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/carom-dev/carom/actors/stage"
	"github.com/carom-dev/carom/engine"
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
			"of its own; or the database went back to an earlier state: restart, and the clicks go on from there. Until then the journal keeps them"}
	case reason != nil:
		return engine.Health{Status: engine.HealthWarn, Reason: "clicks wait in the journal: " + *reason}
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
}

// FeedStats are the figures of the feed between instances.
type FeedStats struct {
	Live                int64 // instances, this one included
	Healthy             bool  // the bus brings this instance's own heartbeats back
	Published, Received int64 // messages
	Polls               int64 // pages of the change log that were read
	Gaps                int64 // times that a peer's sequence showed that something was lost
	Lost                int64 // messages that could not be sent
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
	Depth         int64 // questions waiting
}

// WriterStats are the writer's figures.
type WriterStats struct {
	Batches, Rows, Errors, SetAside int64
	Seconds                         float64 // spent in transactions
	Fenced                          bool
}

// Stats reads the figures.
func (a *Actors) Stats() Stats {
	w := a.writer
	st := Stats{
		Stage:  a.stage.Stats(),
		Loader: LoaderStats{Queries: a.loader.queries.Load(), Keys: a.loader.keys.Load(), Depth: a.loader.depth.Load()},
		Writer: WriterStats{
			Batches: w.batches.Load(), Rows: w.rows.Load(), Errors: w.errors.Load(), SetAside: w.setAside.Load(),
			Seconds: time.Duration(w.nanos.Load()).Seconds(), Fenced: w.fenced.Load(),
		},
	}
	if f := a.feed; f != nil {
		st.Feed = FeedStats{
			Live: f.live.Load(), Healthy: f.healthy.Load(), Published: f.published.Load(), Received: f.received.Load(),
			Polls: f.polls.Load(), Gaps: f.gaps.Load(), Lost: f.lost.Load(),
		}
	}
	for _, s := range a.shards {
		t := s.table.Stats()
		st.Shards = append(st.Shards, ShardStats{
			Entries: t.Entries, Bytes: t.Bytes, BytesMax: t.BytesMax, Evictions: t.Evictions,
			Misses: s.misses.Load(), Joined: s.joined.Load(), Sheds: s.sheds.Load(), Races: s.races.Load(),
		})
		st.Waiting += s.admitted.Load()
	}
	return st
}
