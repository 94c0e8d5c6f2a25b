package faults_test

import (
	"testing"
	"time"
)

// TestEditsArrive edits on one instance and reads on another, until the new target is seen there.
func TestEditsArrive(t *testing.T) {
	edits := 300
	if long() {
		edits = 1000
	}
	database, bus := onDatabase(services.Database(t, "", nil)), onBus(services.RedisURL(t))
	a := start(t, t.TempDir(), database, bus, ownBus(t))
	b := start(t, t.TempDir(), database, bus, ownBus(t))
	waitTogether(t, a, b)
	e := newEditor(t, a, b)
	var answered, arrived []time.Duration
	for range edits {
		x, y := e.edit()
		answered, arrived = append(answered, x), append(arrived, x+y)
	}
	t.Logf("answered in %s; seen elsewhere, from the request on, in %s", percentiles(answered), percentiles(arrived))
	held(t, "p99 of edits", percentile(arrived, 0.99), editBar)
	held(t, "slowest edit", percentile(arrived, 1), editMaxBar)

	// A link that is made on one instance, with its 404 in the other's memory.
	var made []time.Duration
	for _, code := range []string{"fresh0", "fresh1", "fresh2", "fresh3", "fresh4"} {
		if got := visited(t, b, code); got.status != 404 {
			t.Fatalf("%s: %d before it is made", code, got.status)
		}
		shorten(t, a, map[string]any{"code": code, "url": "https://example.com/"})
		made = append(made, until(t, "a new link is found", func() bool { return visited(t, b, code).status == 302 }))
	}
	held(t, "slowest new link", percentile(made, 1), editMaxBar)
	stop(t, a)
	stop(t, b)
}

// TestEditsArriveWithoutTheBus cuts the bus just before an edit, in two ways.
func TestEditsArriveWithoutTheBus(t *testing.T) {
	t.Parallel()
	redis := ownRedis(t)
	database := onDatabase(services.Database(t, "", nil))
	proxy, through := proxied(t, redis.Addr(), redis.URL())
	a := start(t, t.TempDir(), database, onBus(redis.URL()))
	b := start(t, t.TempDir(), database, onBus(through)) // only the reader is cut off, which its writer can't see
	e := newEditor(t, a, b)
	for _, cut := range []struct {
		how string
		cut func() error
	}{
		{"down", func() error { proxy.Down(); return nil }},
		{"black hole", proxy.Blackhole},
		{"answers swallowed", proxy.Swallow},
	} {
		waitTogether(t, a, b)
		if err := cut.cut(); err != nil {
			t.Fatal(err)
		}
		var slowest time.Duration
		for range 3 {
			answered, arrived := e.edit()
			slowest = max(slowest, answered+arrived)
		}
		held(t, "slowest edit, "+cut.how, slowest, editWithoutBar)
		if cut.how == "down" {
			if err := proxy.Up(); err != nil {
				t.Fatal(err)
			}
		}
		proxy.Heal(t.Context())
	}
	stop(t, a)
	stop(t, b)
}

// TestEditsArriveThroughATamperedBus drops, doubles and reorders messages of the bus in both directions.
func TestEditsArriveThroughATamperedBus(t *testing.T) {
	t.Parallel()
	redis := ownRedis(t)
	database := onDatabase(services.Database(t, "", nil))
	proxy, through := proxied(t, redis.Addr(), redis.URL())
	a := start(t, t.TempDir(), database, onBus(through))
	b := start(t, t.TempDir(), database, onBus(through))
	waitTogether(t, a, b)
	e := newEditor(t, a, b)
	if err := proxy.Tamper(1); err != nil {
		t.Fatal(err)
	}
	edits := 30
	if long() {
		edits = 300
	}
	var arrived []time.Duration
	for range edits {
		x, y := e.edit()
		arrived = append(arrived, x+y)
	}
	gaps, err := b.api.Metric(t.Context(), "carom_actors_feed_gaps_total")
	if err != nil || gaps == 0 {
		t.Errorf("%v gaps were seen (%v), so the test shows nothing", gaps, err)
	}
	t.Logf("%d edits, seen elsewhere, from the request on, in %s; %v gaps were seen there", edits, percentiles(arrived), gaps)
	held(t, "slowest edit", percentile(arrived, 1), editWithoutBar)
	proxy.Heal(t.Context())
	waitTogether(t, a, b)
	stop(t, a)
	stop(t, b)
}
