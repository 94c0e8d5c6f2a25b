package redis

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/testservices"
)

func startRedis(t *testing.T) *testservices.Redis {
	t.Helper()
	r, err := testservices.StartRedis()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func startProxy(t *testing.T) *testservices.Proxy {
	t.Helper()
	p, err := testservices.StartProxy(startRedis(t).Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// untilAway publishes until the breaker is open, and returns its error.
func untilAway(t *testing.T, b *Bus) *AwayError {
	t.Helper()
	for range 100 {
		if away, ok := errors.AsType[*AwayError](b.Publish(t.Context(), heartbeat("n", 1))); ok {
			return away
		}
	}
	t.Fatal("the breaker does not open")
	return nil
}

func TestServerThatWasNeverThereIsFoundWhenItComes(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	r.Stop()
	b := openBus(t, Config{URL: r.URL()})
	e := listen(t, b, "n")
	if err := b.Publish(t.Context(), heartbeat("n", 1)); err == nil {
		t.Error("Publish without a server returned no error")
	}
	untilAway(t, b)
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	e.next(engine.BusSubscribed)
	publishUntil(t, b, 2, e)
}

func TestKilledServerIsFoundAgain(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	b := openBus(t, Config{URL: r.URL()})
	e := listen(t, b, "n")
	e.next(engine.BusSubscribed)
	publishUntil(t, b, 1, e)
	r.Kill()
	away := untilAway(t, b)
	if s := b.Stats(); !s.Away || !s.AwaySince.Equal(away.Since) || s.BreakerOpened != 1 || s.Failed == 0 {
		t.Errorf("Stats = %+v, want away since %v", s, away.Since)
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	e.next(engine.BusSubscribed)
	publishUntil(t, b, 2, e)
	t.Logf("messages flow %v after the restart", time.Since(start))
	if s := b.Stats(); s.Away || s.Reconnects != 1 {
		t.Errorf("Stats = %+v, want that it is back, subscribed again once", s)
	}
	if h := b.Health(t.Context()); h.Status != engine.HealthPass {
		t.Errorf("Health = %+v", h)
	}
}

// Long outages must not make the way back longer: the library's pool gives up dialing after a number of failures.
func TestManyFailedProbesDoNotDelayTheReturn(t *testing.T) {
	t.Parallel()
	p := startProxy(t)
	b := openBus(t, Config{URL: "redis://" + p.Addr()})
	p.Down()
	away := untilAway(t, b)
	now := time.Now()
	for range 3 * poolMax {
		now = now.Add(breakerPause)
		probe, err := b.brake.admit(now)
		if err != nil || !probe {
			t.Fatalf("admit = %v, %v, want a probe", probe, err)
		}
		client := b.client
		if err := client.Ping(t.Context()).Err(); err == nil || b.brake.report(probe, err, now) != breakerReopened {
			t.Fatalf("probe of a server that is down = %v", err)
		}
		b.renew(client)
	}
	if err := p.Up(); err != nil {
		t.Fatal(err)
	}
	if err := b.client.Ping(t.Context()).Err(); err != nil {
		t.Errorf("first ping after the outage since %v = %v", away.Since, err)
	}
}

func TestSilentServerCostsNoMoreThanTheTimeout(t *testing.T) {
	t.Parallel()
	for name, connected := range map[string]bool{"on a connection": true, "before one": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startProxy(t)
			b := openBus(t, Config{URL: "redis://" + p.Addr()})
			if connected {
				if err := b.Publish(t.Context(), heartbeat("n", 1)); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.Blackhole(); err != nil {
				t.Fatal(err)
			}
			// The context's deadline is generous: it is the bus's own that must end the calls.
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			for range breakerFailures {
				start := time.Now()
				err := b.Publish(ctx, heartbeat("n", 1))
				if err == nil || ctx.Err() != nil {
					t.Fatalf("Publish = %v, context %v; want an error before the deadline", err, ctx.Err())
				}
				if _, ok := errors.AsType[*AwayError](err); ok {
					t.Errorf("Publish = %v before the breaker could open", err)
				}
				t.Logf("Publish took %v: %v", time.Since(start), err)
			}
			if _, ok := errors.AsType[*AwayError](b.Publish(ctx, heartbeat("n", 1))); !ok {
				t.Error("the breaker is closed")
			}
			if h := b.Health(ctx); h.Status != engine.HealthWarn || h.Reason == "" {
				t.Errorf("Health = %+v, want a warning with its reason", h)
			}
			p.Heal(ctx)
			e := listen(t, b, "n")
			publishUntil(t, b, 2, e)
			if s := b.Stats(); s.Away || s.BreakerOpened != 1 {
				t.Errorf("Stats = %+v, want a breaker that opened once and is closed", s)
			}
		})
	}
}

// logChannel passes the messages of a log on.
type logChannel chan string

func (c logChannel) Write(line []byte) (int, error) {
	c <- string(line)
	return len(line), nil
}

func TestReconnectLeavesASilentConnection(t *testing.T) {
	t.Parallel()
	p := startProxy(t)
	log := make(logChannel, 1000)
	b := openBus(t, Config{URL: "redis://" + p.Addr(), Logger: slog.New(slog.NewTextHandler(log, nil))})
	e := listen(t, b, "n")
	e.next(engine.BusSubscribed)
	if line := <-log; !strings.Contains(line, "subscribed to redis") {
		t.Errorf("log says %q", line)
	}
	if err := p.Blackhole(); err != nil {
		t.Fatal(err)
	}
	b.Reconnect()
	// The proxy still holds the connection open, so it is this end that has left it.
	select {
	case line := <-log:
		if !strings.Contains(line, "subscription to redis is lost") {
			t.Errorf("log says %q", line)
		}
	case <-time.After(patience):
		t.Fatal("the silent connection was kept")
	}
	b.Reconnect() // also in the middle of a handshake that gets no answer
	p.Heal(t.Context())
	e.next(engine.BusSubscribed)
	publishUntil(t, b, 1, e)
}

func TestListenEndsInTheMiddleOfASilentHandshake(t *testing.T) {
	t.Parallel()
	p := startProxy(t)
	if err := p.Blackhole(); err != nil {
		t.Fatal(err)
	}
	b := openBus(t, Config{URL: "redis://" + p.Addr()})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	b.Listen(ctx, "n", func(m engine.BusMessage) { t.Errorf("heard %+v from a silent server", m) })
}

func TestConnectionsThatAreCutAreMadeAgain(t *testing.T) {
	t.Parallel()
	p := startProxy(t)
	b := openBus(t, Config{URL: "redis://" + p.Addr()})
	e := listen(t, b, "n")
	for sequence := uint64(1); sequence <= 3; sequence++ {
		e.next(engine.BusSubscribed)
		publishUntil(t, b, sequence, e)
		if err := p.Reset(); err != nil {
			t.Fatal(err)
		}
	}
	e.next(engine.BusSubscribed)
}

func TestSilentSeedsAndSentinelsCostNoMoreThanTheTimeout(t *testing.T) {
	t.Parallel()
	p := startProxy(t)
	if err := p.Blackhole(); err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]Config{
		"seed":      {URL: p.Addr(), Cluster: true},
		"seeds":     {URL: p.Addr() + "," + p.Addr() + "," + p.Addr()},
		"sentinels": {URL: p.Addr() + "," + p.Addr(), Master: "m"},
	} {
		t.Run(name, func(t *testing.T) {
			b := openBus(t, cfg)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			listen(t, b, "n")
			for range breakerFailures {
				start := time.Now()
				if err := b.Publish(ctx, heartbeat("n", 1)); err == nil || ctx.Err() != nil {
					t.Fatalf("Publish = %v, context %v; want an error before the deadline", err, ctx.Err())
				}
				t.Logf("Publish took %v", time.Since(start))
			}
			untilAway(t, b)
		})
	}
}
