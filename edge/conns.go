package edge

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// conns knows the open connections: for the bound on them, for their timeouts, and for a drain that need not wait for silent
// ones. Safe for concurrent use; a request reads its clock and nothing else.
type conns struct {
	clock atomic.Int64 // nanoseconds since began, as of the last step of the sweep
	began time.Time    // written once
	_     [120]byte    // every request reads the clock; keep what changes with connections off its cache lines

	max      int
	timeouts timeouts
	step     time.Duration // of the sweep, which looks at one part in each
	rejected atomic.Uint64
	count    atomic.Int64  // connections in all parts
	next     atomic.Uint32 // the part that the next connection goes to
	parts    [sweepParts]connSet
	// rejecting bounds how many connections are being sent away at once; further ones are not taken meanwhile.
	rejecting chan struct{}
	rejects   sync.WaitGroup
}

// connSet is a part of the connections.
type connSet struct {
	mu  sync.Mutex
	all map[*conn]struct{} // guarded by mu
}

// timeouts are the longest durations of the phases, in nanoseconds of the coarse clock.
type timeouts [phaseMask + 1]int64

const (
	// sweepMax is how long a sweep of all connections takes: a timeout strikes so much late and a step, never early.
	sweepMax = 500 * time.Millisecond
	// sweepParts is how many steps a sweep has. Connections that are overdue are cut in as many small crowds, each of which holds the
	// others up for a fraction of a millisecond: two hundred at once took the processors for ten.
	sweepParts = 16
)

func newConns(bound int, read, write, idle time.Duration) *conns {
	cs := &conns{
		max: bound, rejecting: make(chan struct{}, rejectingMax),
		step: max(min(sweepMax, read/4, write/4, idle/4)/sweepParts, time.Millisecond),
	}
	for i := range cs.parts {
		cs.parts[i].all = make(map[*conn]struct{})
	}
	cs.timeouts = timeouts{
		phaseSilent: int64(read + cs.step), phaseRequest: int64(read + cs.step), phaseWrite: int64(write + cs.step), phaseIdle: int64(idle + cs.step),
	}
	cs.began = time.Now()
	return cs
}

// now does not follow the machine's clock when that is set.
func (cs *conns) now() int64 { return int64(time.Since(cs.began)) }

// run keeps the clock and the timeouts until stop is closed.
func (cs *conns) run(stop <-chan struct{}) {
	tick := time.NewTicker(cs.step)
	defer tick.Stop()
	for at := 0; ; at = (at + 1) % sweepParts {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		now := cs.now()
		cs.clock.Store(now)
		cs.parts[at].expire(now, &cs.timeouts)
	}
}

func (s *connSet) expire(now int64, t *timeouts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.all {
		c.expire(now, t)
	}
}

const (
	// rejectingMax is how many connections are being sent away at once: few beside those that are served, as each costs more than a
	// redirect, and the scheduler is fair to both.
	rejectingMax = 16
	// lingerTimeout and lingerMax bound how long a connection is read after the last answer, so that what the client is still
	// sending does not make its system throw the answer away (RFC 9112 section 9.6).
	lingerTimeout = time.Second
	lingerMax     = 16 << 20
	// rejectTimeout is the bound on sending a connection away.
	rejectTimeout = 50 * time.Millisecond
)

// rejection is the whole answer of a connection beyond the bound.
const rejection = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n" +
	"X-Content-Type-Options: nosniff\r\nContent-Length: 36\r\n\r\nToo many connections; please retry.\n"

// admit takes c in, or sends it away and returns nil.
func (cs *conns) admit(c net.Conn) *conn {
	tracked := &conn{Conn: c, conns: cs}
	tracked.enter(phaseSilent)
	if c, ok := c.(looped); ok {
		tracked.looped = c
		c.Own(tracked)
	}
	if cs.count.Add(1) <= int64(cs.max) {
		tracked.set = &cs.parts[cs.next.Add(1)%sweepParts]
		tracked.set.add(tracked)
		return tracked
	}
	cs.count.Add(-1)
	cs.rejected.Add(1)
	// Those beyond wait in the system's queue, and the listener for at most rejectTimeout: a storm of them is sent away as fast as
	// the connections that are served leave time for, and each is told why.
	cs.rejecting <- struct{}{}
	cs.rejects.Go(func() {
		defer func() { <-cs.rejecting }()
		reject(c)
	})
	return nil
}

func reject(c net.Conn) {
	defer c.Close()
	if waits, ok := c.(interface{ Talk() error }); ok && waits.Talk() != nil {
		return
	}
	if c.SetDeadline(time.Now().Add(rejectTimeout)) != nil {
		return
	}
	if _, err := io.WriteString(c, rejection); err != nil {
		return
	}
	drainRead(c, readBufferSize)
}

// drainRead tells the client that no more will come and reads what it still sends.
func drainRead(c net.Conn, most int64) {
	if half, ok := c.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_, _ = io.CopyN(io.Discard, c, most)
	}
}

func (s *connSet) add(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[c] = struct{}{}
}

// remove forgets c, once.
func (cs *conns) remove(c *conn) {
	c.set.mu.Lock()
	_, known := c.set.all[c]
	delete(c.set.all, c)
	c.set.mu.Unlock()
	if known {
		cs.count.Add(-1)
	}
}

func (cs *conns) open() int { return int(cs.count.Load()) }

// closeSilent closes the connections that are older than age and have never sent a byte: the server counts them as active for
// 5 seconds, and browsers open such ones ahead.
func (cs *conns) closeSilent(age time.Duration) {
	now := cs.now()
	cs.each(func(c *conn) bool {
		state := c.state.Load()
		return state&phaseMask == phaseSilent && now-state>>phaseBits >= int64(age+cs.step)
	}, (*conn).hangUp)
}

// askIdle has the loops look at the connections that wait for a request.
func (cs *conns) askIdle() {
	cs.each(func(c *conn) bool { return c.looped != nil && c.state.Load()&phaseMask == phaseIdle }, func(c *conn) { c.looped.Ask() })
}

// closeAll cuts whatever is still open.
func (cs *conns) closeAll() { cs.each(func(*conn) bool { return true }, (*conn).hangUp) }

// each does something with the connections that are picked, outside the lock.
func (cs *conns) each(pick func(*conn) bool, do func(*conn)) {
	for i := range cs.parts {
		for _, c := range cs.parts[i].picked(pick) {
			do(c)
		}
	}
}

func (s *connSet) picked(pick func(*conn) bool) (picked []*conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.all {
		if pick(c) {
			picked = append(picked, c)
		}
	}
	return picked
}
