package edge

import (
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/engine/latency"
)

// outcomeCount is the number of engine.Outcomes; a test holds it.
const outcomeCount = 7

// answerCounters count answers to requests for codes.
type answerCounters struct {
	redirects  [8]atomic.Uint64            // that went out, by the last three bits of the status, which tell 301, 302, 307 and 308 apart
	refusals   [outcomeCount]atomic.Uint64 // by engine.Outcome, but redirects
	unrecorded atomic.Uint64               // redirects that went out without a click
	refused    atomic.Uint64
	limited    atomic.Uint64
}

// shardCounters count the answers for one shard's codes: those that the published table had, and those that were looked up. Each
// on cache lines of its own, so that two shards' hits never touch the same line (128 bytes: adjacent lines are fetched together).
type shardCounters struct {
	hits   answerCounters
	_      [256 - (8+outcomeCount+3)*8]byte
	misses answerCounters
	_      [256 - (8+outcomeCount+3)*8]byte
}

// redirected counts a redirect with status.
func (c *answerCounters) redirected(status uint16) { c.redirects[status&7].Add(1) }

// Answers are counts of answers to requests for codes.
type Answers struct {
	Outcomes   [outcomeCount]uint64 // by engine.Outcome
	Redirects  map[int]uint64       // those that went out, by status
	Unrecorded uint64               // of them, those without a click, as the journal was full or closed
	Refused    uint64               // visitors sent away because their click could not be recorded
	Limited    uint64               // visitors over a rate limit
}

// Total is the number of all answers.
func (a *Answers) Total() uint64 {
	n := a.Refused + a.Limited
	for _, outcome := range a.Outcomes {
		n += outcome
	}
	return n
}

func (a *Answers) add(c *answerCounters) {
	for _, status := range []int{301, 302, 307, 308} {
		n := c.redirects[status&7].Load()
		a.Redirects[status] += n
		a.Outcomes[engine.OutcomeRedirect] += n
	}
	for o := range c.refusals {
		a.Outcomes[o] += c.refusals[o].Load()
	}
	a.Unrecorded += c.unrecorded.Load()
	a.Refused += c.refused.Load()
	a.Limited += c.limited.Load()
}

// Stats are a Server's counts since its start.
type Stats struct {
	Answers                         // all, to requests for codes
	Hits           Answers          // of them, those from the published table
	RedirectTime   latency.Snapshot // from the request's reading to the answer's writing, of one redirect in redirectSample that was a hit
	MissTime       latency.Snapshot // the same of all answers for which the store was waited for
	Panics         uint64           // handler panics that were recovered
	BadRequests    uint64           // requests that could not be read
	Managed        uint64           // requests handed to the management API
	Rejected       uint64           // connections sent away at the bound on connections
	Pauses         uint64           // times that accepting paused, as files or memory had run out
	Connections    int              // open right now
	ConnectionsMax int
	Draining       bool
}

// Of is the number of answers with outcome.
func (a *Answers) Of(outcome engine.Outcome) uint64 { return a.Outcomes[outcome] }

// Stats sums the counts up. Each is exact; together they are not of one moment.
func (s *Server) Stats() Stats {
	st := Stats{
		Answers: Answers{Redirects: map[int]uint64{}}, Hits: Answers{Redirects: map[int]uint64{}},
		RedirectTime: s.redirectTime.Snapshot(), MissTime: s.missTime.Snapshot(),
		Panics: s.panics.Load(), BadRequests: s.badRequests.Load(), Managed: s.managed.Load(),
		Rejected: s.conns.rejected.Load(), Pauses: s.pauses.Load(), Connections: s.conns.open(), ConnectionsMax: s.cfg.Concurrency, Draining: s.draining.Load(),
	}
	for i := range s.shards {
		c := &s.shards[i]
		st.Hits.add(&c.hits)
		st.Answers.add(&c.misses)
	}
	st.Answers.join(&st.Hits)
	return st
}

func (a *Answers) join(b *Answers) {
	for o, n := range b.Outcomes {
		a.Outcomes[o] += n
	}
	for status, n := range b.Redirects {
		a.Redirects[status] += n
	}
	a.Unrecorded += b.Unrecorded
	a.Refused += b.Refused
	a.Limited += b.Limited
}

// observe notes how long the request took up to now.
func (s *Server) observe(h *latency.Histogram, what string, ctx *fasthttp.RequestCtx) {
	s.took(h, what, time.Since(ctx.Time()))
}

func (s *Server) took(h *latency.Histogram, what string, took time.Duration) {
	h.Observe(took)
	if s.cfg.Took != nil {
		s.cfg.Took(what, took)
	}
}

// redirectSample is how many redirects there are to one that is timed: reading the clock costs as much as looking the link up.
const redirectSample = 64

// sampled picks the redirects that are timed: by the connection's number and the request's number on it, so that it makes no
// difference whether visitors keep their connections, and nothing is counted for it.
func sampled(ctx *fasthttp.RequestCtx) bool {
	return (ctx.ConnID()+ctx.ConnRequestNum())%redirectSample == 0
}
