package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"
	"github.com/valyala/fasthttp/pprofhandler"

	"github.com/carom-dev/carom/edge/wire"
	"github.com/carom-dev/carom/engine"
)

// AdminConfig is what an Admin is made from. Every field's zero value works.
type AdminConfig struct {
	API    Manager                            // answers /metrics and /health with what is below it; nil: they are 404
	Dumps  map[string]func(w io.Writer) error // more paths, such as "/debug/flight": each writes a file for an engineer
	More   map[string]http.Handler            // more paths still, of handlers that read their request
	Logger *slog.Logger                       // nil: nothing is logged
}

// adminReadTimeout bounds how long a request may take to arrive; answers take their time, as a CPU profile lasts 30 seconds.
const adminReadTimeout = 5 * time.Second

// Admin is the second listener, for operators and nobody else: metrics, health, pprof and dumps. Made by NewAdmin. Safe for
// concurrent use.
type Admin struct {
	cfg  AdminConfig
	more map[string]fasthttp.RequestHandler
	http *fasthttp.Server
}

// NewAdmin makes an Admin; it opens nothing.
func NewAdmin(cfg AdminConfig) *Admin {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	a := &Admin{cfg: cfg, more: map[string]fasthttp.RequestHandler{}}
	for path, handler := range cfg.More {
		a.more[path] = fasthttpadaptor.NewFastHTTPHandler(handler)
	}
	a.http = &fasthttp.Server{
		Handler: a.handle, Logger: &httpLog{log: cfg.Logger}, ReadTimeout: adminReadTimeout, IdleTimeout: defaultIdleTimeout,
		ReadBufferSize: readBufferSize, MaxRequestBodySize: MaxBodySize, Concurrency: adminConnectionsMax,
		NoDefaultServerHeader: true, SecureErrorLogMessage: true, CloseOnShutdown: true,
	}
	return a
}

// adminConnectionsMax connections are enough for a scraper, a probe and some engineers.
const adminConnectionsMax = 64

// Listen opens the socket on addr; Serve takes it over.
func (a *Admin) Listen(ctx context.Context, addr string) (net.Listener, error) {
	lns, err := listen(ctx, addr, 1)
	if err != nil {
		return nil, err
	}
	return lns[0], nil
}

// Serve answers on ln until Close. nil after it.
func (a *Admin) Serve(ln net.Listener) error {
	if err := a.http.Serve(ln); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("serve admin: %w", err)
	}
	return nil
}

// Close ends the listener and waits for answers under way until ctx ends; ln, which Serve was given, is closed in any case.
func (a *Admin) Close(ctx context.Context, ln net.Listener) error {
	ln.Close() // also where Serve has not taken it yet
	if err := a.http.ShutdownWithContext(ctx); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close admin: %w", err)
	}
	return nil
}

func (a *Admin) handle(ctx *fasthttp.RequestCtx) {
	defer func() {
		if p := recover(); p != nil {
			a.cfg.Logger.Error("admin handler panicked", "panic", p)
			ctx.Response.Reset()
			wire.WriteProblem(ctx, wire.ProblemOf(errPanicked))
		}
	}()
	path := string(ctx.Path())
	switch dump := a.cfg.Dumps[path]; {
	case dump != nil && ctx.IsGet():
		ctx.Response.Header.SetContentType("application/octet-stream")
		if err := dump(ctx.Response.BodyWriter()); err != nil {
			wire.WriteProblem(ctx, wire.ProblemOf(engine.Errorf(engine.CodeUnavailable, "the dump can't be made: %v", err)))
		}
	case a.more[path] != nil && ctx.IsGet():
		a.more[path](ctx)
	case strings.HasPrefix(path, "/debug/pprof/") && path != "/debug/pprof/cmdline" && // a command line may have secrets in it
		(ctx.IsGet() || ctx.IsPost()):
		pprofhandler.PprofHandler(ctx)
	case a.cfg.API != nil && (path == "/metrics" || path == "/health" || path == "/health/live" || path == "/health/ready"):
		a.cfg.API.Operate(ctx)
	default:
		wire.WriteProblem(ctx, wire.ProblemOf(engine.Errorf(engine.CodeNotFound, "here are /metrics, /health and /debug/pprof/")))
	}
}
