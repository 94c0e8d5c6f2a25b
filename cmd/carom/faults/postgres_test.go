package faults_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// TestPostgresDown stops the server under load: visitors of links that are in memory notice nothing, the others are asked to come
// again, and every click is stored in the end.
func TestPostgresDown(t *testing.T) {
	pg := ownPostgres(t)
	database := onDatabase(pg.URL("postgres"))
	maker := start(t, t.TempDir(), database)
	hot := shortenMany(t, maker, "hot", 40)
	cold := shortenMany(t, maker, "cold", int((faultTime+4*time.Second)/coldPace)*coldWorkers)
	stop(t, maker)

	i := start(t, t.TempDir(), database) // nothing is in its memory
	for _, code := range hot {
		// The one query of one visitor may take longer than a visitor is let wait: then he is asked to come again.
		until(t, code+" is in memory", func() bool { return visited(t, i, code).status == 302 })
	}
	l := startLoad(t)
	l.hot(i, hot)
	l.cold(i, cold)
	l.during("before", time.Second)
	l.enter("stopping")
	pg.Stop()
	l.during("down", faultTime)
	l.enter("starting")
	if err := pg.Start(); err != nil {
		t.Fatal(err)
	}
	waitHealth(t, i, "store", "pass")
	l.during("after", time.Second)
	l.stop()
	l.log()
	l.wantHits()
	l.wantCold()
	if l.count("cold", "before", 302) == 0 || l.count("cold", "down", 503) == 0 || l.count("cold", "down", 302) != 0 || l.count("cold", "after", 302) == 0 {
		t.Error("cold links were not served before, refused during and served after the fault")
	}
	held(t, "slowest refusal", l.slowest("cold", "down"), refusalBar)
	for _, code := range cold[:20] {
		until(t, code+" is served afterwards", func() bool { return visited(t, i, code).status == 302 })
	}
	l.wantStoredOnce(i)
	stop(t, i)
}

// TestPostgresGoesBack gives the server an earlier state, as a failover to a replica that lagged does: instances serve that, and what is
// edited then, although versions, numbers of links and places in the change log come twice.
func TestPostgresGoesBack(t *testing.T) {
	for name, bus := range map[string][]string{
		"bus":    {onBus(services.RedisURL(t)), ownBus(t)},
		"no bus": nil,
	} {
		t.Run(name, func(t *testing.T) {
			pg := ownPostgres(t)
			env := append([]string{onDatabase(pg.URL("postgres"))}, bus...)
			instances := []*instance{start(t, t.TempDir(), env...), start(t, t.TempDir(), env...)}
			link := shorten(t, instances[0], map[string]any{"code": "kept", "url": "https://example.com/kept"})
			leads := func(what, code, want string) {
				t.Helper()
				for _, i := range instances {
					until(t, what, func() bool { return visited(t, i, code).header.Get("Location") == want })
				}
			}
			restart := func(between func(context.Context) error) {
				t.Helper()
				pg.Stop()
				if err := between(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := pg.Start(); err != nil {
					t.Fatal(err)
				}
				for _, i := range instances {
					waitHealth(t, i, "store", "pass")
				}
			}
			leads("the link is found", "kept", "https://example.com/kept")
			restart(pg.Remember)

			for n := range 5 {
				edit(t, instances[0], link.Path(), fmt.Sprintf("https://example.com/lost/%d", n))
			}
			shorten(t, instances[1], map[string]any{"code": "lost", "url": "https://example.com/lost"})
			leads("the edits arrive", "kept", "https://example.com/lost/4")
			leads("the new link is found", "lost", "https://example.com/lost")
			restart(pg.GoBack)

			leads("the link is as it was", "kept", "https://example.com/kept")
			leads("the new link is gone", "lost", "")
			for _, i := range instances {
				if _, says := waitHealth(t, i, "feed", "warn"); !strings.Contains(says, "went back") {
					t.Errorf("health says %q of the feed, want that the database went back", says)
				}
			}
			edit(t, instances[1], link.Path(), "https://example.com/again")
			leads("an edit behind it arrives", "kept", "https://example.com/again")
			shorten(t, instances[0], map[string]any{"code": "other", "url": "https://example.com/other"})
			leads("a link with the number of the lost one is found", "other", "https://example.com/other")
			leads("and the lost one is not", "lost", "")
			for _, i := range instances {
				stop(t, i)
			}
		})
	}
}

// resetTime is how long connections are cut at random: as long as that is promised to be borne.
const resetTime = 30 * time.Second

// TestPostgresFaults breaks the line to the server in all ways, one after the other, under load.
func TestPostgresFaults(t *testing.T) {
	t.Parallel()
	pg := ownPostgres(t)
	proxy, through := proxied(t, pg.Addr(), pg.URL("postgres"))
	maker := start(t, t.TempDir(), onDatabase(pg.URL("postgres")))
	hot := shortenMany(t, maker, "hot", 40)
	cold := shortenMany(t, maker, "cold", int((faultTime+resetTime+20*time.Second)/coldPace)*coldWorkers)
	stop(t, maker)
	i := start(t, t.TempDir(), onDatabase(through))
	for _, code := range hot {
		until(t, code+" is in memory", func() bool { return visited(t, i, code).status == 302 })
	}
	w := watchBounds(t, i, proxy.Addr())
	l := startLoad(t)
	l.hot(i, hot)
	l.cold(i, cold)
	fault := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	healed := func(phase string) {
		t.Helper()
		l.enter("after " + phase)
		t.Logf("after %s: clicks are stored again after %v", phase, waitStoring(t, i))
	}
	each := lasting(5)

	fault(proxy.Blackhole())
	l.during("black hole", each)
	proxy.Heal(t.Context())
	healed("black hole")

	fault(proxy.Latency(2 * time.Second))
	l.during("latency", each)
	proxy.Heal(t.Context())
	healed("latency")

	// Connections end in the middle of answers, later each time, so that some end behind a COMMIT whose answer is lost.
	l.enter("cut")
	for cut, began := int64(0), time.Now(); time.Since(began) < each; cut = (cut + 37) % 4000 {
		fault(proxy.CutAfter(cut))
		l.during("cut", 50*time.Millisecond)
		proxy.Heal(t.Context())
		l.during("cut", 50*time.Millisecond)
	}
	healed("cut")

	l.enter("reset")
	for began := time.Now(); time.Since(began) < resetTime; {
		fault(proxy.Reset())
		l.during("reset", rand.N(100*time.Millisecond))
	}
	healed("reset")

	// Answers are swallowed: a COMMIT arrives, and nobody hears of it.
	l.enter("swallow")
	for began := time.Now(); time.Since(began) < each; {
		fault(proxy.Swallow())
		l.during("swallow", 250*time.Millisecond)
		proxy.Heal(t.Context())
		l.during("swallow", 250*time.Millisecond)
	}
	healed("swallow")

	l.enter("restart")
	fault(pg.Restart())
	healed("restart")
	pg.Kill()
	fault(pg.Start())
	healed("crash")

	l.stop()
	w.stop()
	l.log()
	l.wantHits()
	l.wantCold()
	l.wantStoredOnce(i)
	if n, err := i.api.Metric(t.Context(), "carom_actors_writer_errors_total"); err != nil || n == 0 {
		t.Errorf("%v batches failed (%v), so the test shows nothing", n, err)
	}
	stop(t, i)
}

// waitStoring waits until the store has everything from before the call, and returns how long that took.
func waitStoring(t *testing.T, i *instance) time.Duration {
	t.Helper()
	metric := func(name string) float64 {
		n, err := i.api.Metric(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	began, before := time.Now(), metric("carom_actors_writer_clicks_total")
	return until(t, "clicks are stored", func() bool {
		// A batch is read when the one before it is stored.
		return metric("carom_actors_writer_clicks_total") > before && metric("carom_journal_oldest_unread_seconds") < time.Since(began).Seconds()
	})
}
