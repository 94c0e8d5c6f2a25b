package edge

import (
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/carom-dev/carom/edge/wire"
	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/engine/limit"
)

// Config is what a Server is made from. Resolver, Clicks and Visitors must be given; every other field's zero value works.
type Config struct {
	Resolver   engine.Resolver      // what codes stand for
	Clicks     engine.ClickAppender // takes the clicks
	ClicksWait bool                 // Clicks waits for the disk: no hit is answered by an event loop, which others wait for
	Visitors   engine.VisitorHasher // makes visitor ids
	API        Manager              // answers the management paths; nil: there are none
	IDs        *wire.RequestIDs     // nil: makes its own; share one with the API
	Logger     *slog.Logger         // nil: nothing is logged
	// Took is told the time of each look-up and of one hit in 64. It must not wait. nil: nobody is told.
	Took   func(what string, took time.Duration)
	Tracer engine.Tracer // of look-ups that the published table could not answer; nil: nothing is traced

	Domain engine.DomainID // whose codes are served; 0: engine.DefaultDomain
	Shards int             // lanes to count by, a power of two; 0: 16

	HomeURL        string         // where GET / leads; "": a short page
	TrustedProxies []netip.Prefix // peers whose X-Forwarded-For and PROXY header are believed; empty: none
	ProxyProtocol  bool           // trusted peers must begin with a PROXY header; needs TrustedProxies

	RefuseUnrecorded bool // a click that can't be recorded is a 503; false: it is counted, and the redirect goes out (but for links with a budget)

	UnknownRate  limit.Rate     // unknown codes a client network; zero: not limited
	RedirectRate limit.Rate     // redirects a client network; zero: not limited
	Share        func() float64 // this instance's part of the limits, above 0 and at most 1; nil: 1

	Listeners         int           // sockets with SO_REUSEPORT that Listen opens; 0: 1; at most 64
	Concurrency       int           // connections at once; 0: three quarters of the open files allowed; those beyond get a 503
	ReadTimeout       time.Duration // from the first byte to the last of a request; 0: 5 s
	WriteTimeout      time.Duration // of a response; 0: 5 s
	IdleTimeout       time.Duration // between two requests of a connection; 0: 60 s
	ReduceMemoryUsage bool          // gives buffers back between requests: 5 instead of 15 kB an idle connection, for more CPU

	DrainDelay   time.Duration // between "not ready" and closing the listeners; 0: none
	DrainTimeout time.Duration // for requests under way once the listeners are closed; 0: 8 s
}

// Manager answers the management paths.
type Manager interface {
	// Handle answers one request.
	Handle(ctx *fasthttp.RequestCtx)
	// Operate answers one request of an operator's listener, where open paths are not limited.
	Operate(ctx *fasthttp.RequestCtx)
	// Words are the first path segments that are its own.
	Words() []string
}

const (
	defaultShards       = 16
	defaultReadTimeout  = 5 * time.Second
	defaultWriteTimeout = 5 * time.Second
	defaultIdleTimeout  = time.Minute
	// defaultDrainTimeout is above the read timeout, so that a request that has begun to arrive can still be answered.
	defaultDrainTimeout = 8 * time.Second

	listenersMax = 64
	// readBufferSize is also the bound on a request's header: browsers with many cookies stay below 8 KiB.
	readBufferSize = 8 << 10
	// MaxBodySize bounds a request's body in bytes.
	MaxBodySize = 1 << 20
)

// Validate names the first field whose value is not accepted.
func (c *Config) Validate() error {
	switch {
	case c.Resolver == nil || c.Clicks == nil || c.Visitors == nil:
		return fmt.Errorf("edge config: Resolver, Clicks and Visitors must be given")
	case c.Shards < 0 || c.Shards&(c.Shards-1) != 0:
		return fmt.Errorf("edge config: Shards is %d; a power of two is accepted, 0 for %d", c.Shards, defaultShards)
	case c.Listeners < 0 || c.Listeners > listenersMax:
		return fmt.Errorf("edge config: Listeners is %d; 0 to %d are accepted", c.Listeners, listenersMax)
	case c.Concurrency < 0:
		return fmt.Errorf("edge config: Concurrency is %d; 0 and above are accepted", c.Concurrency)
	case c.ProxyProtocol && len(c.TrustedProxies) == 0:
		return fmt.Errorf("edge config: ProxyProtocol is on without TrustedProxies; name the proxies that send the PROXY header")
	}
	for _, d := range []struct {
		field string
		value time.Duration
	}{
		{"ReadTimeout", c.ReadTimeout},
		{"WriteTimeout", c.WriteTimeout},
		{"IdleTimeout", c.IdleTimeout},
		{"DrainDelay", c.DrainDelay},
		{"DrainTimeout", c.DrainTimeout},
	} {
		if d.value < 0 {
			return fmt.Errorf("edge config: %s is %v; 0 and above are accepted", d.field, d.value)
		}
	}
	if c.HomeURL != "" {
		if _, err := homeTargets.Canonical(c.HomeURL); err != nil {
			return fmt.Errorf("edge config: HomeURL is %q: %w", c.HomeURL, err)
		}
	}
	return nil
}

// homeTargets says where GET / may lead: wherever an operator wants it to.
var homeTargets = engine.TargetPolicy{AllowPrivate: true}

// withDefaults fills in what was left out.
func (c Config) withDefaults() Config {
	or := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	or(&c.ReadTimeout, defaultReadTimeout)
	or(&c.WriteTimeout, defaultWriteTimeout)
	or(&c.IdleTimeout, defaultIdleTimeout)
	or(&c.DrainTimeout, defaultDrainTimeout)
	if home, err := homeTargets.Canonical(c.HomeURL); err == nil {
		c.HomeURL = home
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Domain == 0 {
		c.Domain = engine.DefaultDomain
	}
	if c.Shards == 0 {
		c.Shards = defaultShards
	}
	if c.Listeners == 0 {
		c.Listeners = 1
	}
	if c.Concurrency == 0 {
		c.Concurrency = connectionsAllowed()
	}
	if c.Share == nil {
		c.Share = func() float64 { return 1 }
	}
	return c
}
