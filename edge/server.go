package edge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/carom-dev/carom/edge/wire"
	"github.com/carom-dev/carom/engine/latency"
	"github.com/carom-dev/carom/engine/limit"
)

// Server answers redirects and hands management requests on. Made by New, started by Serve, ended by Drain. Safe for
// concurrent use.
type Server struct {
	cfg       Config
	clients   wire.Clients
	ids       *wire.RequestIDs
	words     words
	unknown   *limit.Limiter
	redirects *limit.Limiter // nil: off
	shards    []shardCounters
	forwards  sync.Pool // of *forwardBuffer

	date         dateLine
	numbered     atomic.Uint64 // what the server has numbered itself, for request ids: connections of the quick way, and refusals
	redirectTime latency.Histogram
	missTime     latency.Histogram

	http  *fasthttp.Server
	conns *conns
	loops *loops // nil: the HTTP server waits for connections itself
	// accepting are the listeners whose connections are given to the loops.
	accepting sync.WaitGroup

	draining       atomic.Bool
	closing        atomic.Bool // connections that wait for a request are closed
	panics         atomic.Uint64
	badRequests    atomic.Uint64
	managed        atomic.Uint64
	pauses         atomic.Uint64
	acceptThrottle wire.Throttle
	panicThrottle  wire.Throttle

	mu      sync.Mutex
	taken   []net.Listener // guarded by mu
	serving bool           // guarded by mu
	ended   bool           // guarded by mu: no listener is taken any more
	drained chan struct{}  // closed when the drain is over
	drain   sync.Once
	err     error // of the drain; written before drained is closed
}

// New makes a Server; it opens nothing.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	s := &Server{
		cfg: cfg, clients: wire.NewClients(cfg.TrustedProxies), ids: cfg.IDs, unknown: limit.New(cfg.UnknownRate),
		shards: make([]shardCounters, cfg.Shards), conns: newConns(cfg.Concurrency, cfg.ReadTimeout, cfg.WriteTimeout, cfg.IdleTimeout), drained: make(chan struct{}),
	}
	if s.ids == nil {
		ids, err := wire.NewRequestIDs()
		if err != nil {
			return nil, err
		}
		s.ids = ids
	}
	if cfg.RedirectRate.Requests > 0 {
		s.redirects = limit.New(cfg.RedirectRate)
	}
	if cfg.API != nil {
		s.words = wordsOf(cfg.API.Words())
	}
	s.http = &fasthttp.Server{
		Handler:      s.handle,
		ErrorHandler: s.unreadable,
		ConnState:    between,
		Logger:       &httpLog{log: cfg.Logger},

		// Our own bound sends connections away with a Retry-After before this one is reached.
		Concurrency:        cfg.Concurrency + rejectingMax,
		ReadBufferSize:     readBufferSize,
		MaxRequestBodySize: MaxBodySize,
		ReduceMemoryUsage:  cfg.ReduceMemoryUsage,
		// ReadTimeout, WriteTimeout and IdleTimeout stay unset: conns keeps them, for less.

		// Header names are compared without case where they are read, which costs less than rewriting all of them.
		DisableHeaderNamesNormalizing: true,
		DisablePreParseMultipartForm:  true,
		NoDefaultServerHeader:         true,
		NoDefaultContentType:          true,
		SecureErrorLogMessage:         true,
		CloseOnShutdown:               true,
	}
	return s, nil
}

// between is told of each step of a connection's life: what comes behind an answer is a new request.
func between(c net.Conn, state fasthttp.ConnState) {
	if c, ok := c.(*conn); ok && c.looped != nil {
		switch state {
		case fasthttp.StateIdle:
			c.looped.Rest()
		case fasthttp.StateActive:
			c.looped.Busy()
		}
	}
}

// Listen opens Config.Listeners sockets on addr, such as ":8080" or "127.0.0.1:0". Serve takes them over.
func (s *Server) Listen(ctx context.Context, addr string) ([]net.Listener, error) {
	return listen(ctx, addr, s.cfg.Listeners)
}

// Serve answers on the listeners until Drain, and closes them. When ctx ends it drains by itself, without the delay. nil after
// a drain; an error when a listener failed.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) error {
	s.mu.Lock()
	if s.ended || s.serving || len(listeners) == 0 {
		s.mu.Unlock()
		for _, ln := range listeners {
			ln.Close()
		}
		if len(listeners) == 0 {
			return errors.New("serve: no listener")
		}
		return errors.New("serve: the server was started before")
	}
	loops, err := newLoops(s, listeners)
	if err != nil {
		s.mu.Unlock()
		return fmt.Errorf("serve: %w", err)
	}
	s.serving, s.loops = true, loops
	errs := make(chan error, len(listeners))
	var running, sweeping sync.WaitGroup
	stop := make(chan struct{})
	sweeping.Go(func() { s.conns.run(stop) })
	var failed error
	for _, ln := range listeners {
		ln, looped, err := s.wrap(ln)
		if err != nil {
			failed = err
			errs <- err
			continue
		}
		s.taken = append(s.taken, ln)
		if looped {
			s.accepting.Add(1)
			running.Go(func() {
				defer s.accepting.Done()
				errs <- s.accept(ln)
			})
		} else {
			running.Go(func() { errs <- s.http.Serve(ln) })
		}
	}
	s.mu.Unlock()

	select {
	case <-ctx.Done():
	case err := <-s.loops.failed():
		failed = fmt.Errorf("serve: %w", err)
	case err := <-errs:
		if err != nil {
			failed = fmt.Errorf("serve: %w", err)
		}
	}
	if err := s.end(context.WithoutCancel(ctx), 0); failed == nil {
		failed = err
	}
	running.Wait()
	close(stop)
	sweeping.Wait()
	s.loops.stop()
	return failed
}

// Ready reports whether the server wants requests: false from the beginning of a drain.
func (s *Server) Ready() bool { return !s.draining.Load() }

// Drain ends the server: not ready, then the delay in which the balancer notices and answers carry Connection: close, then
// the listeners close, requests under way are answered, and silent connections are hung up on. When ctx or the drain's
// timeout ends before, the rest is cut off and an error says so. Called again, it waits for the same end.
func (s *Server) Drain(ctx context.Context) error { return s.end(ctx, s.cfg.DrainDelay) }

func (s *Server) end(ctx context.Context, delay time.Duration) error {
	s.drain.Do(func() {
		defer close(s.drained)
		s.draining.Store(true)
		if delay > 0 {
			timer := time.NewTimer(delay)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		}
		s.mu.Lock()
		s.ended = true
		taken := s.taken
		s.mu.Unlock()
		if len(taken) == 0 {
			return
		}
		// The HTTP server closes those it knows; one that it is only about to learn of would go on.
		for _, ln := range taken {
			ln.Close()
		}
		s.accepting.Wait() // those that were accepted before are to be answered, too
		s.err = s.shutdown(ctx)
	})
	<-s.drained
	return s.err
}

const (
	// silentAge is what a connection gets to send its first byte once the listeners are closed. Requests come with the
	// connection's first packets; whoever is silent for longer has only opened it ahead.
	silentAge = 250 * time.Millisecond
	// drainPoll is how often a drain looks; only while it lasts.
	drainPoll = 20 * time.Millisecond
	// cutTimeout is how long handlers get to notice that their connection is gone.
	cutTimeout = time.Second
)

// shutdown closes the listeners and sees the connections off.
func (s *Server) shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.DrainTimeout)
	defer cancel()
	s.closing.Store(true)
	done := make(chan error, 1)
	go func() { done <- s.http.ShutdownWithContext(ctx) }()
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	var err error
	for waiting := true; waiting || s.conns.open() > 0 && ctx.Err() == nil; {
		s.conns.askIdle()
		select {
		case err = <-done:
			waiting, done = false, nil
			if errors.Is(err, net.ErrClosed) {
				err = nil // the listeners were closed before
			}
		case <-tick.C:
			s.conns.closeSilent(silentAge)
		}
	}
	if ctx.Err() != nil {
		left := s.conns.open()
		s.conns.closeAll()
		for cut := time.Now(); s.conns.open() > 0 && time.Since(cut) < cutTimeout; {
			<-tick.C
		}
		err = fmt.Errorf("drain: %d connections were cut off: %w", left, ctx.Err())
	}
	s.conns.rejects.Wait()
	return err
}

// Limiters are the limits of the redirect path by name, to exchange counts with other instances.
func (s *Server) Limiters() map[string]*limit.Limiter {
	all := map[string]*limit.Limiter{"unknown": s.unknown}
	if s.redirects != nil {
		all["redirects"] = s.redirects
	}
	return all
}
