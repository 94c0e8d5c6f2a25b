package edge

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// conns knows the open connections, for the bound on them and for a drain that need not wait for silent ones. Safe for
// concurrent use; touched when a connection opens and closes, never by a request.
type conns struct {
	max      int
	rejected atomic.Uint64
	mu       sync.Mutex
	all      map[*conn]struct{} // guarded by mu
	// rejecting bounds how many connections are being sent away at once.
	rejecting chan struct{}
	rejects   sync.WaitGroup
}

func newConns(bound int) *conns {
	return &conns{max: bound, all: make(map[*conn]struct{}), rejecting: make(chan struct{}, rejectingMax)}
}

const (
	// rejectingMax connections at once get a proper goodbye; those beyond are just closed.
	rejectingMax = 64
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
	tracked := &conn{Conn: c, conns: cs, opened: time.Now()}
	cs.mu.Lock()
	full := len(cs.all) >= cs.max
	if !full {
		cs.all[tracked] = struct{}{}
	}
	cs.mu.Unlock()
	if !full {
		return tracked
	}
	cs.rejected.Add(1)
	select {
	case cs.rejecting <- struct{}{}:
		cs.rejects.Go(func() {
			defer func() { <-cs.rejecting }()
			reject(c)
		})
	default:
		c.Close()
	}
	return nil
}

func reject(c net.Conn) {
	defer c.Close()
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

func (cs *conns) open() int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return len(cs.all)
}

// closeSilent closes the connections that are older than age and have never sent a byte: the server counts them as active for
// 5 seconds, and browsers open such ones ahead.
func (cs *conns) closeSilent(age time.Duration) {
	cs.closeWhere(func(c *conn) bool { return !c.active.Load() && time.Since(c.opened) >= age })
}

// closeAll cuts whatever is still open.
func (cs *conns) closeAll() { cs.closeWhere(func(*conn) bool { return true }) }

func (cs *conns) closeWhere(pick func(*conn) bool) {
	cs.mu.Lock()
	var picked []*conn
	for c := range cs.all {
		if pick(c) {
			picked = append(picked, c)
		}
	}
	cs.mu.Unlock()
	for _, c := range picked {
		c.Conn.Close() // the serving goroutine sees it and ends, and that closes the rest
	}
}

// conn is a connection that is tracked from accept to close.
type conn struct {
	net.Conn
	conns     *conns
	opened    time.Time
	active    atomic.Bool // has sent a byte
	lingering bool        // owned by the serving goroutine
	closed    sync.Once
}

// Read notes the first byte.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.active.Load() {
		c.active.Store(true)
	}
	return n, err
}

// linger makes Close wait for a client that is still sending.
func (c *conn) linger() { c.lingering = true }

// Close ends the connection.
func (c *conn) Close() error {
	err := net.ErrClosed
	c.closed.Do(func() {
		if c.lingering && c.Conn.SetReadDeadline(time.Now().Add(lingerTimeout)) == nil {
			drainRead(c.Conn, lingerMax)
		}
		c.conns.mu.Lock()
		delete(c.conns.all, c)
		c.conns.mu.Unlock()
		err = c.Conn.Close()
	})
	return err
}
