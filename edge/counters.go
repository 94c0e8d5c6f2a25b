package edge

import (
	"sync/atomic"

	"github.com/carom-dev/carom/engine"
)

// outcomeCount is the number of engine.Outcomes; a test holds it.
const outcomeCount = 7

// shardCounters counts the answers for one shard's codes. A cache line pair of its own, so that two shards' hits never touch
// the same line (128 bytes: adjacent lines are fetched together).
type shardCounters struct {
	outcomes   [outcomeCount]atomic.Uint64
	unrecorded atomic.Uint64
	refused    atomic.Uint64
	limited    atomic.Uint64
	_          [128 - (outcomeCount+3)*8]byte
}

// Stats are a Server's counts since its start.
type Stats struct {
	Outcomes    [outcomeCount]uint64 // answers by engine.Outcome
	Unrecorded  uint64               // redirects that went out without a click, as the journal was full or closed
	Refused     uint64               // visitors sent away because their click could not be recorded
	Limited     uint64               // visitors over a rate limit
	Panics      uint64               // handler panics that were recovered
	BadRequests uint64               // requests that could not be read
	Managed     uint64               // requests handed to the management API
	Rejected    uint64               // connections sent away at the bound on connections
	Pauses      uint64               // times that accepting paused, as files or memory had run out
	Connections int                  // open right now
}

// Of is the number of answers with outcome.
func (s *Stats) Of(outcome engine.Outcome) uint64 { return s.Outcomes[outcome] }

// Stats sums the counts up. Each is exact; together they are not of one moment.
func (s *Server) Stats() Stats {
	st := Stats{
		Panics: s.panics.Load(), BadRequests: s.badRequests.Load(), Managed: s.managed.Load(),
		Rejected: s.conns.rejected.Load(), Pauses: s.pauses.Load(), Connections: s.conns.open(),
	}
	for i := range s.shards {
		c := &s.shards[i]
		for o := range c.outcomes {
			st.Outcomes[o] += c.outcomes[o].Load()
		}
		st.Unrecorded += c.unrecorded.Load()
		st.Refused += c.refused.Load()
		st.Limited += c.limited.Load()
	}
	return st
}
