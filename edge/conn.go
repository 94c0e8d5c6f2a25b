package edge

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// The phases of a connection, in the low bits of conn.state; above them the coarse time at which it began.
const (
	phaseSilent  = iota // opened, nothing sent yet: the read timeout
	phaseRequest        // a request has begun to arrive, or is being worked on: the read timeout
	phaseWrite          // a piece of an answer is on its way: the write timeout
	phaseIdle           // between two requests, or two pieces of an answer: the idle timeout
	phaseBits    = 2
	phaseMask    = 1<<phaseBits - 1
)

// conn is a connection from accept to close. It notes its phase with one atomic store and a shared coarse clock; the sweep in
// conns looks for those that are overdue. Setting deadlines in the runtime's timers instead, three a request with the time
// each of them needs, costs some 0.3 us a request, more than looking up a code and recording its click.
type conn struct {
	net.Conn
	looped    looped // what is Conn, too, when an event loop has it; else nil
	conns     *conns
	set       *connSet // the part of conns that has it
	state     atomic.Int64
	overdue   atomic.Bool // a read deadline was set that is past
	lingering bool        // owned by the serving goroutine
	closed    sync.Once
	quick     quickState // owned by the loop
}

// looped is a connection that waits in an event loop between its requests.
type looped interface {
	Own(owner any)
	Attach() error // to its loop, which serves it from then on
	Peer() netip.AddrPort
	Rest()         // a new request comes next: nobody need wait for it here
	Busy()         // takes Rest back
	Rests() bool   // a new request comes next
	Resting() bool // a Read has ended for that reason
	Ask()          // have Server.Look called
	HangUp()       // safe for concurrent use
}

// Read notes when a request begins to arrive. Its later pieces win no time: that is what a slow attacker would live on.
func (c *conn) Read(p []byte) (int, error) {
	if c.looped != nil && c.state.Load()&phaseMask == phaseIdle && !c.looped.Rests() {
		c.enter(phaseRequest) // behind an answer comes the rest of a request: of one that was sent with it, or its body
	}
	n, err := c.Conn.Read(p)
	if n > 0 && c.state.Load()&phaseMask != phaseRequest {
		c.enter(phaseRequest)
	}
	return n, err //nolint:wrapcheck // the HTTP server knows the connection's own errors
}

// Write gives each piece of an answer the whole write timeout, so that a long stream lives for as long as it is read.
func (c *conn) Write(p []byte) (int, error) {
	c.enter(phaseWrite)
	n, err := c.Conn.Write(p)
	c.enter(phaseIdle)
	if c.overdue.Load() {
		// A handler took longer than the request was given to arrive; its answer went out, so go on.
		c.overdue.Store(false)
		if err == nil {
			err = c.SetReadDeadline(time.Time{})
		}
	}
	return n, err //nolint:wrapcheck // the HTTP server knows the connection's own errors
}

func (c *conn) enter(phase int64) { c.state.Store(c.conns.clock.Load()<<phaseBits | phase) }

// late reports whether a state has lasted for longer than it may.
func (t *timeouts) late(state, now int64) (phase int64, late bool) {
	phase = state & phaseMask
	return phase, now-state>>phaseBits >= t[phase]
}

// expire makes the call that waits for the client return a timeout, when the phase has lasted for longer than it may.
func (c *conn) expire(now int64, t *timeouts) {
	state := c.state.Load()
	phase, late := t.late(state, now)
	switch {
	case !late:
	case phase == phaseWrite:
		_ = c.SetWriteDeadline(longAgo)
		if c.state.Load() != state {
			_ = c.SetWriteDeadline(time.Time{}) // it was written in time
		}
	case c.looped != nil && (phase == phaseIdle || phase == phaseSilent):
		c.looped.Ask()
	default:
		c.overdue.Store(true)
		_ = c.SetReadDeadline(longAgo)
		if c.looped != nil && c.state.Load() != state {
			// The answer went out meanwhile, and may have found nothing to take back.
			c.overdue.Store(false)
			_ = c.SetReadDeadline(time.Time{})
		}
	}
}

// longAgo is a deadline that is past.
var longAgo = time.Unix(1, 0)

// linger makes Close wait for a client that is still sending.
func (c *conn) linger() { c.lingering = true }

// Close ends the connection, but for one that goes back to its loop.
func (c *conn) Close() error {
	if c.looped != nil && c.looped.Resting() {
		return nil
	}
	err := net.ErrClosed
	c.closed.Do(func() {
		if c.lingering && c.SetReadDeadline(time.Now().Add(lingerTimeout)) == nil {
			drainRead(c.Conn, lingerMax)
		}
		c.conns.remove(c)
		err = c.Conn.Close()
	})
	return err
}

// hangUp ends the connection for both sides. Safe for concurrent use; whoever serves the connection sees it and ends.
func (c *conn) hangUp() {
	if c.looped != nil {
		c.looped.HangUp()
		return
	}
	c.Conn.Close()
}
