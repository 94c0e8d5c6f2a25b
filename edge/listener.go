package edge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/carom-dev/carom/edge/wire"
)

// listen opens n sockets on addr, of IPv4 and IPv6 where addr names no host. With more than one they share the port by
// SO_REUSEPORT, and the kernel spreads the connections over them.
func listen(ctx context.Context, addr string, n int) (lns []net.Listener, err error) {
	defer func() {
		if err != nil {
			for _, ln := range lns {
				ln.Close()
			}
			lns = nil
		}
	}()
	lc := net.ListenConfig{Control: prepareSocket(n > 1)}
	for range n {
		ln, err := lc.Listen(ctx, "tcp", addr)
		if err != nil {
			return lns, fmt.Errorf("listen on %q: %w", addr, err)
		}
		lns = append(lns, ln)
		addr = ln.Addr().String() // the same port for all, also when the system chose it
	}
	return lns, nil
}

const (
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

// stubbornListener goes on where the HTTP server would give up for good: when the process is out of files or the system out
// of memory, it waits and tries again.
type stubbornListener struct {
	net.Listener
	log      *slog.Logger
	throttle *wire.Throttle
	pauses   *atomic.Uint64
	closing  chan struct{}
	close    sync.Once
}

// Accept waits for a connection.
func (l *stubbornListener) Accept() (net.Conn, error) {
	for pause := acceptPauseMin; ; pause = min(2*pause, acceptPauseMax) {
		c, err := l.Listener.Accept()
		if err == nil {
			return c, nil
		}
		if !passing(err) {
			return nil, err //nolint:wrapcheck // the HTTP server knows the listener's own errors
		}
		l.pauses.Add(1)
		if ok, swallowed := l.throttle.Allow(time.Now()); ok {
			l.log.Error("accepting connections pauses", "err", err, "pause", pause, "swallowed", swallowed)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-l.closing:
			timer.Stop()
			return nil, net.ErrClosed
		}
	}
}

// Close ends the listener and a pause.
func (l *stubbornListener) Close() error {
	l.close.Do(func() { close(l.closing) })
	return l.Listener.Close() //nolint:wrapcheck // nothing to add
}

// passing reports whether accepting can work again after err.
func passing(err error) bool {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EINTR} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// countingListener admits connections up to the bound.
type countingListener struct {
	net.Listener
	conns *conns
}

// Accept waits for a connection within the bound.
func (l *countingListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err //nolint:wrapcheck // the HTTP server knows the listener's own errors
		}
		if tracked := l.conns.admit(c); tracked != nil {
			return tracked, nil
		}
	}
}

// wrap puts what this server needs around a listener: first the patience, then the PROXY header, then the count. looped says that
// its connections are for the event loops; the PROXY header and what is no TCP are left to the HTTP server.
func (s *Server) wrap(ln net.Listener) (wrapped net.Listener, looped bool, err error) {
	if tcp, ok := ln.(*net.TCPListener); ok && s.loops != nil {
		if ln, err = s.loops.listen(tcp); err != nil {
			_ = tcp.Close()
			return nil, false, err
		}
		looped = true
	}
	ln = &stubbornListener{Listener: ln, log: s.cfg.Logger, throttle: &s.acceptThrottle, pauses: &s.pauses, closing: make(chan struct{})}
	if s.cfg.ProxyProtocol {
		ln = &proxyproto.Listener{Listener: ln, ConnPolicy: s.proxyPolicy, ReadHeaderTimeout: s.cfg.ReadTimeout}
	}
	return &countingListener{Listener: ln, conns: s.conns}, looped, nil
}

// accept gives the listener's connections to the event loops, until it is closed.
func (s *Server) accept(ln net.Listener) error {
	for {
		c, err := ln.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err //nolint:wrapcheck // the listener's own error says what it did
		}
		if c, ok := c.(*conn); ok {
			if err := c.looped.Attach(); err != nil {
				s.pauses.Add(1)
				if ok, swallowed := s.acceptThrottle.Allow(time.Now()); ok {
					s.cfg.Logger.Error("a connection can't be waited for", "err", err, "swallowed", swallowed)
				}
				_ = c.Close()
			}
		}
	}
}

// proxyPolicy makes the PROXY header a must for trusted proxies, as its specification says it can't be guessed, and a reason
// to hang up for everybody else.
func (s *Server) proxyPolicy(opts proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
	if tcp, ok := opts.Upstream.(*net.TCPAddr); ok && s.clients.Trusts(tcp.AddrPort().Addr()) {
		return proxyproto.REQUIRE, nil
	}
	return proxyproto.REJECT, nil
}
