package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/carom-dev/carom/actors"
	"github.com/carom-dev/carom/cmd/carom/internal/setting"
	"github.com/carom-dev/carom/edge"
	"github.com/carom-dev/carom/edge/api"
	"github.com/carom-dev/carom/edge/wire"
	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/journal"
	"github.com/carom-dev/carom/persistence/redis"
)

// serveCommand runs the server.
type serveCommand struct{ Settings }

// Run serves until ctx ends, then drains. What was started is stopped in the reverse order, on every way out.
func (c *serveCommand) Run(ctx context.Context, t *terminal) (err error) {
	s := &c.Settings
	traced, err := tracing(t.env.Get)
	if err != nil {
		return err
	}
	log := s.logger(t.err)
	if s.MemoryLimit > 0 {
		debug.SetMemoryLimit(int64(s.MemoryLimit))
	}
	log.Info("starting", "version", buildVersion(), "data_dir", s.DataDir)
	stops := &stopList{log: log}
	defer func() {
		err = errors.Join(err, stops.run(context.WithoutCancel(ctx), time.Duration(s.ShutdownTimeout+s.DrainDelay)))
	}()

	store, keeper, err := openStore(ctx, &s.StoreSettings, log)
	if err != nil {
		return err
	}
	stops.add("close the store", func(context.Context) error { return store.Close() })

	var secret string
	if keeper == nil {
		if secret, err = ensureAdminKey(ctx, store, s.AdminKey, log); err != nil {
			return err
		}
	}

	sync, err := journal.ParseSync(s.JournalSync)
	if err != nil {
		return err
	}
	clicks, err := journal.Open(journal.Config{
		Dir: filepath.Join(s.DataDir, journalDir), Lanes: int(s.Shards), BytesMax: int64(s.JournalBytes), Sync: sync, Logger: log,
	})
	if err != nil {
		return err
	}
	stops.add("close the journal", func(context.Context) error { return clicks.Close() })
	named, err := openNamed(clicks, s.DataDir)
	if err != nil {
		return err
	}
	log.Info("journal open", "node", named.Node(), "promise", clicks.Promise())

	if s.ProfileContention {
		watchContention()
	}
	if s.PyroscopeServerAddress != "" {
		tags := map[string]string{"instance": string(named.Node()), "version": buildOf().version}
		profiles, err := startProfiler(s.PyroscopeServerAddress, tags, s.ProfileContention, log)
		if err != nil {
			return err
		}
		stops.add("stop sending profiles", profiles.stop)
		log.Info("sending profiles", "server", s.PyroscopeServerAddress)
	}
	var recorder *flight
	var took func(what string, took time.Duration)
	if s.FlightRecorder {
		if recorder, err = startFlight(ctx, s.DataDir, time.Duration(s.FlightLatency), log); err != nil {
			return err
		}
		took = recorder.took
		stops.add("stop the flight recorder", recorder.end)
	}
	var tracer engine.Tracer
	if traced {
		spans, err := startTracer(ctx, named.Node(), log)
		if err != nil {
			return err
		}
		tracer = spans
		stops.add("stop sending traces", spans.stop)
		log.Info("sending traces")
	}

	refused := &refusedClicks{path: filepath.Join(s.DataDir, refusedFile)}
	settings := actors.Config{
		Links: store, Clicks: store, Journal: named, SetAside: refused.keep,
		Shards: int(s.Shards), CacheBytes: int64(s.CacheBytes), CacheTTL: time.Duration(s.CacheTTL),
		LookupsMax: int(s.LookupsMax), LookupTimeout: time.Duration(s.LookupTimeout), LoadTimeout: max(2*time.Second, time.Duration(s.LookupTimeout)),
		BatchMax: int(s.ClickBatchMax), BatchInterval: time.Duration(s.ClickInterval), Logger: log, Tracer: tracer, Now: clock(),
	}
	if keeper != nil {
		settings.Changes, settings.Names = store, named
	}
	var busStats func() redis.Stats
	if s.RedisURL != "" {
		bus, err := redis.Open(s.redis(log))
		if err != nil {
			return fmt.Errorf("open the bus: %w", err)
		}
		stops.add("close the bus", func(context.Context) error { return bus.Close() })
		settings.Bus, busStats = bus, bus.Stats
	}
	acting, err := actors.New(settings)
	if err != nil {
		return err
	}
	stops.add("store the clicks of the journal", acting.Stop)

	ids, err := wire.NewRequestIDs()
	if err != nil {
		return err
	}
	var server *edge.Server
	var management *api.API
	var listening atomic.Bool
	figures := &gauges{
		actors: acting.Stats, journal: clicks.Stats, edge: func() edge.Stats { return server.Stats() },
		api: func() []api.RouteStats { return management.Routes() }, health: func() ([]api.PartHealth, bool) { return management.Health() },
		pools: store.PoolStats, store: "sqlite", bus: busStats,
	}
	if keeper != nil {
		figures.store = "postgres"
	}
	storing := storeHealth(store)
	if keeper != nil {
		storing = keeper.health
	}
	checks := append(acting.HealthChecks(),
		journalHealth(clicks, s.JournalFull == "refuse"),
		engine.HealthCheck{Name: "store", Check: storing},
	)
	if settings.Bus != nil {
		checks = append(checks, engine.HealthCheck{Name: "bus", Check: settings.Bus.Health})
	}
	keys := engine.KeyStore(store)
	if keeper != nil {
		keys = &preparedKeys{KeyStore: store, keeper: keeper}
	}
	management, err = api.New(api.Config{
		Links: store, Keys: keys, Clicks: store, Announcer: acting,
		Checks: checks, Ready: func() bool { return listening.Load() && server.Ready() }, Metrics: figures.write,
		Node: named.Node(), BaseURL: s.BaseURL, Targets: s.policy(),
		Rate: s.RateLimitAPI.Rate, WriteRate: s.RateLimitWrites.Rate, TrustedProxies: s.TrustedProxies.List, IDs: ids, Logger: log, Tracer: tracer, Took: took,
		Share: acting.RateShare, Now: clock(),
	})
	if err != nil {
		return err
	}
	server, err = edge.New(edge.Config{
		Resolver: acting, Clicks: clicks, ClicksWait: sync == journal.SyncAlways, Visitors: acting, API: management, IDs: ids, Logger: log, Tracer: tracer, Took: took,
		Shards: int(s.Shards), HomeURL: s.HomeURL, TrustedProxies: s.TrustedProxies.List, ProxyProtocol: s.ProxyProtocol,
		RefuseUnrecorded: s.JournalFull == "refuse", UnknownRate: s.RateLimitUnknown.Rate, RedirectRate: s.RateLimitRedirects.Rate,
		Listeners: int(s.Listeners), Concurrency: int(s.ConnectionsMax), DrainDelay: time.Duration(s.DrainDelay),
		DrainTimeout: time.Duration(s.ShutdownTimeout) / 2, // the other half is for the clicks
		Share:        acting.RateShare,
	})
	if err != nil {
		return err
	}
	figures.limiters = server.Limiters()
	maps.Copy(figures.limiters, management.Limiters())
	if err := startAdmin(ctx, s, management, recorder, stops, log); err != nil {
		return err
	}
	stops.add("end the API", func(context.Context) error { management.Close(); return nil })
	acting.ExchangeRates(figures.limiters)
	there := false // the database
	if keeper != nil {
		there = keeper.start(ctx, func(ctx context.Context) error {
			secret, err := ensureAdminKey(ctx, store, s.AdminKey, log)
			t.showKey(secret)
			return err
		})
		stops.add("leave the database alone", keeper.stop)
	} else {
		upkeep := &hourly{do: upkeepOf(store, log)}
		upkeep.start(ctx)
		stops.add("leave the store alone", func(context.Context) error { upkeep.stop(); return nil })
	}
	acting.Start(ctx)
	if there {
		awaitSettled(ctx, acting)
	}

	listeners, err := server.Listen(ctx, string(s.Listen))
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	listening.Store(true)
	address := listeners[0].Addr().String()
	t.showBanner(s, address, secret)
	log.Info("listening", "addr", address)

	served := make(chan error, 1)
	go func() { served <- server.Serve(context.WithoutCancel(ctx), listeners...) }()
	stops.add("drain the connections", func(ctx context.Context) error {
		err := server.Drain(ctx)
		<-served // it says the same, or that it came after the drain
		return err
	})
	select {
	case <-ctx.Done():
		log.Info("stopping", "reason", "signal")
		return nil
	case err := <-served:
		served <- nil
		return fmt.Errorf("serve: %w", err)
	}
}

// settleTimeout bounds how long the listening waits for the writer, so that a database that is away delays no start.
const settleTimeout = 2 * time.Second

// awaitSettled waits for a moment until links with a visit budget can be served.
func awaitSettled(ctx context.Context, acting *actors.Actors) {
	late := time.NewTimer(settleTimeout)
	defer late.Stop()
	select {
	case <-acting.Settled():
	case <-late.C:
	case <-ctx.Done():
	}
}

// startAdmin serves metrics, health and profiles on the admin listener, unless it is off.
func startAdmin(ctx context.Context, s *Settings, management *api.API, recorder *flight, stops *stopList, log *slog.Logger) error {
	if s.AdminListen == setting.Off {
		return nil
	}
	dumps := deltaProfiles()
	if recorder != nil {
		dumps[flightPath] = recorder.dump
	}
	admin := edge.NewAdmin(edge.AdminConfig{API: management, Dumps: dumps, More: profileHandlers(), Logger: log})
	ln, err := admin.Listen(ctx, string(s.AdminListen))
	if err != nil {
		return fmt.Errorf("--admin-listen: %w", err)
	}
	log.Info("admin listening", "addr", ln.Addr().String())
	served := make(chan error, 1)
	go func() { served <- admin.Serve(ln) }()
	stops.add("close the admin listener", func(ctx context.Context) error {
		return errors.Join(admin.Close(ctx, ln), <-served)
	})
	return nil
}

// journalHealth asks the journal. Where redirects are refused that can't be recorded, it is critical, and fails while it has no room.
func journalHealth(clicks *journal.Journal, refuse bool) engine.HealthCheck {
	return engine.HealthCheck{Name: "journal", Critical: refuse, Check: func(ctx context.Context) engine.Health {
		h := clicks.Health(ctx)
		if refuse && clicks.Blocked() != nil {
			h.Status = engine.HealthFail
		}
		return h
	}}
}

// storeHealth asks the store. It is not critical: links that are in memory are served without it.
func storeHealth(store engine.Store) func(context.Context) engine.Health {
	return func(ctx context.Context) engine.Health {
		if err := store.Ping(ctx); err != nil {
			return engine.Health{Status: engine.HealthFail, Reason: err.Error()}
		}
		return engine.Health{Status: engine.HealthPass}
	}
}

// stopList is what has been started, to be stopped in the reverse order.
type stopList struct {
	log   *slog.Logger
	steps []stopStep
}

type stopStep struct {
	what string
	stop func(context.Context) error
}

func (l *stopList) add(what string, stop func(context.Context) error) {
	l.steps = append(l.steps, stopStep{what, stop})
}

// run stops everything, whatever fails on the way; all of it together has the time of timeout.
func (l *stopList) run(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var errs []error
	for i := len(l.steps) - 1; i >= 0; i-- {
		step, began := l.steps[i], time.Now()
		err := step.stop(ctx)
		took := time.Since(began).Round(time.Millisecond).String()
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", step.what, err))
			l.log.Error("stop step failed", "step", step.what, "duration", took, "error", err)
			continue
		}
		l.log.Info("stop step done", "step", step.what, "duration", took)
	}
	return errors.Join(errs...)
}
