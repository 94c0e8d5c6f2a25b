package actors

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/carom-dev/carom/engine"
)

// reply is the pooled slot in which one visitor's request waits for its shard. Whoever holds a ticket to it from an earlier
// use can't touch it: the ticket's generation is over.
type reply struct {
	// state is the generation above a phase (one bit): waiting, or answered.
	state atomic.Uint64
	// ready takes a token of the one who answers and one of timer when it goes off, so that neither blocks: a visitor waits for one channel,
	// which costs less than a select (BenchmarkColdLinks).
	ready chan struct{}
	timer *time.Timer
	// resolution is written by the one who answered, before the token.
	resolution engine.Resolution
}

const (
	phaseWaiting  = 0
	phaseAnswered = 1
	phaseBits     = 1
)

// ticket is the right to answer one use of a reply, once. A value; safe to hold for as long as one likes.
type ticket struct {
	reply      *reply
	generation uint64
}

// replyPool keeps replies for another use. The zero value works.
type replyPool struct{ free sync.Pool }

// acquire takes a reply from the pool, ready to wait.
func (p *replyPool) acquire() (*reply, ticket) {
	r, ok := p.free.Get().(*reply)
	if !ok {
		r = &reply{ready: make(chan struct{}, 2)}
		r.timer = time.AfterFunc(time.Hour, func() { r.ready <- struct{}{} })
		r.timer.Stop()
	}
	return r, ticket{r, r.state.Load() >> phaseBits}
}

// release ends this use of r, so that tickets to it are void, and gives it back to the pool.
func (p *replyPool) release(r *reply) {
	r.resolution = engine.Resolution{}
	r.state.Store((r.state.Load()>>phaseBits + 1) << phaseBits)
	p.free.Put(r)
}

// open reports whether the ticket's request still waits. It may stop waiting right afterwards.
func (t ticket) open() bool {
	return t.reply.state.Load() == t.generation<<phaseBits|phaseWaiting
}

// answer hands res to the request, if it still waits; false when it does not, and res reached nobody.
func (t ticket) answer(res engine.Resolution) bool {
	if !t.reply.state.CompareAndSwap(t.generation<<phaseBits|phaseWaiting, t.generation<<phaseBits|phaseAnswered) {
		return false
	}
	t.reply.resolution = res
	t.reply.ready <- struct{}{}
	return true
}

// wait returns the answer and true, or false when it did not come within max; each time max is over, longer may grant it once
// more. After false the caller is r's owner again, as after true, and must release it. No token is left behind.
func (r *reply) wait(max time.Duration, longer func() bool) (engine.Resolution, bool) {
	for {
		r.timer.Reset(max)
		<-r.ready
		waiting := r.state.Load()
		if waiting&phaseAnswered != 0 {
			if !r.timer.Stop() {
				<-r.ready // Both have come, or are a few instructions away.
			}
			return r.resolution, true
		}
		if longer() {
			continue
		}
		if r.state.CompareAndSwap(waiting, waiting|phaseAnswered) {
			return engine.Resolution{}, false
		}
		// An answer won the race; it is a few instructions away.
		<-r.ready
		return r.resolution, true
	}
}
