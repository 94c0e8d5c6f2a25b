// Package api is the management API: links, clicks, keys and health over HTTP, as JSON.
package api

import (
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fasthttp/router"
	"github.com/valyala/fasthttp"

	"github.com/carom-dev/carom/edge/wire"
	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/engine/limit"
)

// Config is what an API is made from. Links, Keys, Clicks and Announcer must be given; every other field's zero value works.
type Config struct {
	Links     engine.LinkStore
	Keys      engine.KeyStore
	Clicks    engine.ClickReader
	Announcer engine.Announcer

	Checks  []engine.HealthCheck // the parts that health asks
	Ready   func() bool          // false: not ready, whatever the parts say; nil: always ready
	Metrics func(io.Writer)      // writes the Prometheus text; nil: GET /metrics is a 404

	Domain  engine.DomainID     // whose links are managed; 0: engine.DefaultDomain
	Node    engine.NodeID       // this instance, as the author of changes
	BaseURL string              // what short_url begins with; "": the scheme and host of the request
	Targets engine.TargetPolicy // which targets are accepted; the base URL's host is added to its own hosts

	Rate           limit.Rate     // requests a client; zero: not limited
	WriteRate      limit.Rate     // those of them that change something; zero: not limited
	Share          func() float64 // this instance's part of the limits, above 0 and at most 1; nil: 1
	TrustedProxies []netip.Prefix // peers whose X-Forwarded-For and X-Forwarded-Proto are believed

	IDs          *wire.RequestIDs                      // nil: makes its own; share one with the redirect path
	Logger       *slog.Logger                          // nil: nothing is logged
	Took         func(what string, took time.Duration) // is told the time of each request, and must not wait; nil: nobody is told
	Tracer       engine.Tracer                         // of requests; nil: nothing is traced
	Now          func() time.Time                      // nil: time.Now
	StoreTimeout time.Duration                         // the longest wait for the store in a request; 0: 5 s
}

const (
	defaultStoreTimeout = 5 * time.Second
	// newCodeTries bounds how often a generated code is drawn again; with a million links each is taken once in 3.5 million.
	newCodeTries = 8
)

// Validate names the first field whose value is not accepted.
func (c *Config) Validate() error {
	if c.Links == nil || c.Keys == nil || c.Clicks == nil || c.Announcer == nil {
		return fmt.Errorf("api config: Links, Keys, Clicks and Announcer must be given")
	}
	if c.StoreTimeout < 0 {
		return fmt.Errorf("api config: StoreTimeout is %v; 0 and above are accepted", c.StoreTimeout)
	}
	if c.BaseURL != "" {
		u, err := url.Parse(c.BaseURL)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" || u.User != nil {
			return fmt.Errorf("api config: BaseURL is %q; a scheme and host such as https://sho.rt is accepted", c.BaseURL)
		}
	}
	return nil
}

// API answers the management paths. Safe for concurrent use.
type API struct {
	cfg     Config
	baseURL string // without a slash at its end; "": the request's
	clients wire.Clients
	ids     *wire.RequestIDs
	keys    *keyCache
	limits  limits
	health  *health
	router  *router.Router
	words   []string
	table   []*route // read-only after New

	answers  [6]atomic.Uint64 // by the first digit of the status
	logQuiet wire.Throttle
}

// New makes an API; it opens and starts nothing.
func New(cfg Config) (*API, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Domain == 0 {
		cfg.Domain = engine.DefaultDomain
	}
	if cfg.Share == nil {
		cfg.Share = func() float64 { return 1 }
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Tracer == nil {
		cfg.Tracer = engine.NoTracer{}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.StoreTimeout == 0 {
		cfg.StoreTimeout = defaultStoreTimeout
	}
	a := &API{
		cfg: cfg, clients: wire.NewClients(cfg.TrustedProxies), ids: cfg.IDs, keys: newKeyCache(),
		limits: newLimits(cfg.Rate, cfg.WriteRate, cfg.Share), health: newHealth(cfg.Checks, cfg.Now),
	}
	if a.ids == nil {
		ids, err := wire.NewRequestIDs()
		if err != nil {
			return nil, err
		}
		a.ids = ids
	}
	if cfg.BaseURL != "" {
		u, err := url.Parse(cfg.BaseURL)
		if err != nil {
			return nil, fmt.Errorf("parse base URL: %w", err)
		}
		a.baseURL = u.Scheme + "://" + u.Host
		a.cfg.Targets.OwnHosts = append(slices.Clone(cfg.Targets.OwnHosts), ownHost(u.Host))
	}
	a.router = router.New()
	a.router.RedirectFixedPath = false
	a.router.RedirectTrailingSlash = false
	a.router.HandleOPTIONS = false
	a.router.NotFound = a.handler(route{path: "(none)", open: true, endpoint: noSuchPath})
	a.router.MethodNotAllowed = a.handler(route{path: "(method)", open: true, endpoint: wrongMethod})
	for _, r := range a.routes() {
		handler := a.handler(r)
		a.router.Handle(r.method, r.path, handler)
		if r.method == fasthttp.MethodGet {
			a.router.HEAD(r.path, handler)
		}
		if word, _, _ := strings.Cut(r.path[1:], "/"); !slices.Contains(a.words, word) {
			a.words = append(a.words, word)
		}
	}
	return a, nil
}

// handler enters r into the table and answers its requests.
func (a *API) handler(r route) fasthttp.RequestHandler {
	r.figures = &figures{}
	a.table = append(a.table, &r)
	return func(ctx *fasthttp.RequestCtx) { a.serve(ctx, &r) }
}

// route is one row of the table of paths.
type route struct {
	method   string
	path     string
	scope    engine.Scope
	open     bool // no key is asked for
	free     bool // not limited: probes must always be answered, and they cost next to nothing
	quiet    bool // logged at debug level
	write    bool // counts against the limit on writes
	endpoint func(*request) error
	figures  *figures // set when it is entered into the table
}

// routes is the table of paths.
func (a *API) routes() []route {
	const get, post, put, patch, del = fasthttp.MethodGet, fasthttp.MethodPost, fasthttp.MethodPut, fasthttp.MethodPatch, fasthttp.MethodDelete
	return []route{
		{method: post, path: "/shorten", scope: engine.ScopeLinksWrite, write: true, endpoint: a.shorten},
		{method: get, path: "/urls", scope: engine.ScopeLinksRead, endpoint: a.listLinks},
		{method: get, path: "/urls/{id}", scope: engine.ScopeLinksRead, endpoint: a.getLink},
		{method: put, path: "/urls/{id}", scope: engine.ScopeLinksWrite, write: true, endpoint: a.putLink},
		{method: patch, path: "/urls/{id}", scope: engine.ScopeLinksWrite, write: true, endpoint: a.patchLink},
		{method: del, path: "/urls/{id}", scope: engine.ScopeLinksWrite, write: true, endpoint: a.deactivateLink},
		{method: get, path: "/urls/{id}/audit", scope: engine.ScopeLinksRead, endpoint: a.linkAudit},
		{method: get, path: "/urls/{id}/clicks", scope: engine.ScopeStatsRead, endpoint: a.linkClicks},
		{method: get, path: "/urls/{id}/stats", scope: engine.ScopeStatsRead, endpoint: a.linkStats},
		{method: get, path: "/clicks", scope: engine.ScopeStatsRead, endpoint: a.allClicks},
		{method: get, path: "/keys", scope: engine.ScopeAdmin, endpoint: a.listKeys},
		{method: post, path: "/keys", scope: engine.ScopeAdmin, write: true, endpoint: a.createKey},
		{method: del, path: "/keys/{id}", scope: engine.ScopeAdmin, write: true, endpoint: a.revokeKey},
		{method: get, path: "/health", open: true, free: true, quiet: true, endpoint: a.deepHealth},
		{method: get, path: "/health/live", open: true, free: true, quiet: true, endpoint: a.live},
		{method: get, path: "/health/ready", open: true, free: true, quiet: true, endpoint: a.ready},
		{method: get, path: "/metrics", open: true, quiet: true, endpoint: a.metrics},
		{method: get, path: "/openapi.json", open: true, quiet: true, endpoint: give(openAPIDocument())},
		{method: get, path: "/docs", open: true, quiet: true, endpoint: give(viewerDocument())},
	}
}

// Handle answers one request.
func (a *API) Handle(ctx *fasthttp.RequestCtx) { a.router.Handler(ctx) }

// Operate answers one request that came to the operators' own listener: open paths are not limited there, so that visitors of the
// same network can't keep a scraper from its figures.
func (a *API) Operate(ctx *fasthttp.RequestCtx) {
	ctx.SetUserValue(operatorValue{}, true)
	a.router.Handler(ctx)
}

// operatorValue is the user value that marks a request given to Operate.
type operatorValue struct{}

// Words are the first segments of the API's paths.
func (a *API) Words() []string { return slices.Clone(a.words) }

// Limiters are the limits of the API by name, to exchange counts with other instances.
func (a *API) Limiters() map[string]*limit.Limiter {
	return map[string]*limit.Limiter{"api": a.limits.all, "writes": a.limits.writes}
}

// Answers are the number of answers since the start, by the first digit of their status; 0 is unused.
func (a *API) Answers() (counts [6]uint64) {
	for i := range a.answers {
		counts[i] = a.answers[i].Load()
	}
	return counts
}

func noSuchPath(r *request) error {
	return engine.Errorf(engine.CodeNotFound, "there is no such path")
}

func (a *API) metrics(r *request) error {
	if a.cfg.Metrics == nil {
		return engine.Errorf(engine.CodeNotFound, "metrics are not served here")
	}
	r.ctx.Response.Header.SetContentType("text/plain; version=0.0.4; charset=utf-8")
	a.cfg.Metrics(r.ctx.Response.BodyWriter())
	return nil
}
