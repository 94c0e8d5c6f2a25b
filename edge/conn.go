package edge

import (
	"net"
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
	conns     *conns
	state     atomic.Int64
	overdue   atomic.Bool // a read deadline was set that is past
	lingering bool        // owned by the serving goroutine
	closed    sync.Once
}

// Read notes when a request begins to arrive. Its later pieces win no time: that is what a slow attacker would live on.
func (c *conn) Read(p []byte) (int, error) {
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

// expire makes the call that waits for the client return a timeout, when the phase has lasted for longer than it may.
func (c *conn) expire(now int64, t *timeouts) {
	state := c.state.Load()
	phase := state & phaseMask
	if now-state>>phaseBits < t[phase] {
		return
	}
	if phase == phaseWrite {
		_ = c.SetWriteDeadline(longAgo)
		return
	}
	c.overdue.Store(true)
	_ = c.SetReadDeadline(longAgo)
}

// longAgo is a deadline that is past.
var longAgo = time.Unix(1, 0)

// linger makes Close wait for a client that is still sending.
func (c *conn) linger() { c.lingering = true }

// Close ends the connection.
func (c *conn) Close() error {
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
