//go:build amd64 || arm64

package edge

import (
	"net"
	"runtime"
	"time"

	"github.com/carom-dev/carom/edge/loop"
)

// loops answer redirects where connections are waited for, and hand everything else to the HTTP server. It implements
// loop.Handler.
type loops struct {
	server *Server
	group  *loop.Group
}

// newLoops returns nil where the HTTP server is to wait for connections itself: a PROXY header comes before the first request, and
// only TCP is known here.
func newLoops(s *Server, listeners []net.Listener) (*loops, error) {
	for _, ln := range listeners {
		if _, ok := ln.(*net.TCPListener); !ok || s.cfg.ProxyProtocol {
			return nil, nil //nolint:nilnil // no loops, and no error
		}
	}
	l := &loops{server: s}
	group, err := loop.NewGroup(l, runtime.GOMAXPROCS(0))
	if err != nil {
		return nil, err //nolint:wrapcheck // it says what it did
	}
	l.group = group
	return l, nil
}

func (l *loops) listen(ln *net.TCPListener) (net.Listener, error) {
	return l.group.Listen(ln) //nolint:wrapcheck // it says what it did
}

// failed yields the error of a loop that ended by itself.
func (l *loops) failed() <-chan error {
	if l == nil {
		return nil
	}
	return l.group.Failed()
}

func (l *loops) stop() {
	if l != nil {
		l.group.Stop()
	}
}

// Quick answers what can be answered without waiting.
func (l *loops) Quick(waits *loop.Conn, in, out []byte, now time.Time) (used int, answers []byte) {
	c, _ := waits.Owner().(*conn)
	answers = out
	defer func() { c.quick.panic = recover() }()
	for used < len(in) && len(answers) < quickOutputMax {
		n := 0
		if n, answers, _ = l.server.quick(c, in[used:], answers, now, false); n == 0 {
			return used, answers
		}
		used += n
	}
	if used == len(in) {
		c.enter(phaseIdle)
	}
	return used, answers
}

// Serve answers what takes its time: first what has been read and is in the plainest form, then whatever the HTTP server makes of
// the rest, until the client has no further request for now.
func (l *loops) Serve(waits *loop.Conn) bool {
	c, _ := waits.Owner().(*conn)
	for c.quick.panic == nil && len(waits.Input()) > 0 {
		n, last := l.patiently(c, waits.Input())
		if last {
			_ = c.Close()
			return false
		}
		if n == 0 {
			break
		}
		if waits.Skip(n); len(waits.Input()) == 0 {
			return true
		}
	}
	_ = l.server.http.ServeConn(c) // what went wrong has been answered, or the client has gone
	return waits.Resting()
}

// patiently answers the requests at the beginning of in that need not wait, or else the one that does; 0 leaves them to the HTTP
// server. last says that the connection has come to its end.
func (l *loops) patiently(c *conn, in []byte) (used int, last bool) {
	buf := acquireForwardBuffer(&l.server.forwards)
	defer releaseForwardBuffer(&l.server.forwards, buf)
	buf.b = buf.b[:0]
	defer func() {
		if p := recover(); p != nil {
			c.quick.panic = p // the HTTP server answers with a 500, behind what was answered before
			if _, err := c.Write(buf.b); err != nil {
				last = true
			}
		}
	}()
	c.enter(phaseRequest)
	for n := 1; n > 0 && used < len(in) && len(buf.b) < quickOutputMax; used += n {
		n, buf.b, _ = l.server.quick(c, in[used:], buf.b, time.Now(), false)
	}
	if used == 0 {
		if used, buf.b, last = l.server.quick(c, in, buf.b, time.Now(), true); used == 0 {
			return 0, false
		}
	}
	_, err := c.Write(buf.b)
	return used, last || err != nil
}

// Look ends what has waited for too long.
func (l *loops) Look(waits *loop.Conn) loop.Verdict {
	c, _ := waits.Owner().(*conn)
	phase, late := c.conns.timeouts.late(c.state.Load(), c.conns.clock.Load())
	switch {
	case phase == phaseSilent && late:
		c.overdue.Store(true)
		_ = c.SetReadDeadline(longAgo) // the HTTP server answers with a 408
		return loop.Serve
	case phase == phaseIdle && (late || l.server.closing.Load()):
		return loop.Close
	}
	return loop.Keep
}

// Ended forgets a connection.
func (l *loops) Ended(waits *loop.Conn) {
	if c, ok := waits.Owner().(*conn); ok {
		c.conns.remove(c)
	}
}
