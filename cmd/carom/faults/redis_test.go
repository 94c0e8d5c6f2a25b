package faults_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/carom-dev/carom/persistence/testservices"
)

// TestRedisFaults takes Redis away in all ways, under load and edits: nobody notices but by how fast an edit arrives.
func TestRedisFaults(t *testing.T) {
	t.Parallel()
	redis := ownRedis(t)
	proxy, through := proxied(t, redis.Addr(), redis.URL())
	database := onDatabase(services.Database(t, "", nil))
	a := start(t, t.TempDir(), database, onBus(through))
	b := start(t, t.TempDir(), database, onBus(through))
	waitTogether(t, a, b)
	e := newEditor(t, a, b)
	l := startLoad(t)
	hot := shortenMany(t, a, "hot", 40)
	l.hot(a, hot)
	l.hot(b, hot)
	each := lasting(3)
	healed := func(phase string) {
		t.Helper()
		l.enter("after " + phase)
		held(t, "feeds are healthy after "+phase, waitBus(t, true, a, b), feedBar)
		waitTogether(t, a, b)
		e.edits("after " + phase)
	}
	e.edits("before")

	l.enter("down")
	redis.Stop()
	e.during(l, "down", each)
	waitBus(t, false, a, b)
	if err := redis.Start(); err != nil {
		t.Fatal(err)
	}
	healed("down")

	if err := proxy.Blackhole(); err != nil {
		t.Fatal(err)
	}
	e.during(l, "black hole", each)
	waitBus(t, false, a, b)
	proxy.Heal(t.Context())
	healed("black hole")

	l.enter("restart")
	if err := redis.Restart(); err != nil {
		t.Fatal(err)
	}
	healed("restart")

	l.stop()
	l.log()
	l.wantHits()
	l.wantStoredOnce(a, b)
	stop(t, a)
	stop(t, b)
}

// TestRedisFailover kills the master; a Sentinel makes the replica the new one.
func TestRedisFailover(t *testing.T) {
	t.Parallel()
	sentinel, err := testservices.StartRedisSentinel()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sentinel.Close(); err != nil {
			t.Error(err)
		}
	})
	env := []string{onDatabase(services.Database(t, "", nil)), onBus(sentinel.Sentinel.URL()), "CAROM_REDIS_MASTER=" + sentinel.MasterName}
	a, b := start(t, t.TempDir(), env...), start(t, t.TempDir(), env...)
	waitTogether(t, a, b)
	e := newEditor(t, a, b)
	l := startLoad(t)
	hot := shortenMany(t, a, "hot", 40)
	l.hot(a, hot)
	l.hot(b, hot)
	e.edits("before")
	l.enter("failing over")
	was := sentinel.Master.Addr()
	sentinel.Master.Kill()
	took := until(t, "the Sentinel has another master", func() bool {
		now, err := sentinel.MasterAddr(t.Context())
		return err == nil && now != was
	})
	t.Logf("the Sentinel took %v", took)
	held(t, "feeds are healthy after the failover", waitBus(t, true, a, b), feedBar)
	waitTogether(t, a, b)
	l.enter("after")
	e.edits("after")
	l.stop()
	l.log()
	l.wantHits()
	l.wantStoredOnce(a, b)
	stop(t, a)
	stop(t, b)
}

// waitBus waits until each instance hears the bus, or knows that it does not, and returns how long that took.
func waitBus(t *testing.T, heard bool, instances ...*instance) time.Duration {
	t.Helper()
	began := time.Now()
	for _, i := range instances {
		until(t, fmt.Sprintf("hears the bus: %v", heard), func() bool {
			healthy, err := i.api.Metric(t.Context(), "carom_actors_feed_bus_healthy")
			if err != nil {
				t.Fatal(err)
			}
			return (healthy == 1) == heard
		})
	}
	return time.Since(began)
}

// editor edits one link on one instance and reads it on another.
type editor struct {
	t    *testing.T
	a, b *instance
	path string
	n    int
}

const editedCode = "edited"

func newEditor(t *testing.T, a, b *instance) *editor {
	t.Helper()
	e := &editor{t: t, a: a, b: b}
	link := shorten(t, a, map[string]any{"code": editedCode, "url": e.target()})
	e.path = link.Path()
	until(t, "the link is found on the other instance", func() bool { return e.seen() == e.target() })
	return e
}

func (e *editor) target() string { return fmt.Sprintf("https://example.com/target/%d", e.n) }

// seen is where the other instance leads.
func (e *editor) seen() string {
	e.t.Helper()
	a := visited(e.t, e.b, editedCode)
	if a.status != http.StatusFound && e.n > 0 {
		e.t.Fatalf("%s: %d %s", editedCode, a.status, a.body)
	}
	return a.header.Get("Location")
}

// edit gives the link a new target and returns how long the answer took, and how long behind it the target was seen; never again is
// the old one.
func (e *editor) edit() (answered, arrived time.Duration) {
	e.t.Helper()
	old := e.target()
	e.n++
	began := time.Now()
	edit(e.t, e.a, e.path, e.target())
	answered = time.Since(began)
	arrived = until(e.t, e.target()+" is seen", func() bool {
		seen := e.seen()
		if seen != old && seen != e.target() {
			e.t.Fatalf("%s is seen, which is neither %s nor the one before", seen, e.target())
		}
		return seen == e.target()
	})
	for range 3 {
		if seen := e.seen(); seen != e.target() {
			e.t.Fatalf("%s is seen after %s", seen, e.target())
		}
	}
	return answered, arrived
}

// edits makes some edits and logs the slowest.
func (e *editor) edits(phase string) {
	e.t.Helper()
	var answered, arrived []time.Duration
	for range 3 {
		x, y := e.edit()
		answered, arrived = append(answered, x), append(arrived, y)
	}
	e.t.Logf("edits %s: answered in %s; seen elsewhere behind that in %s", phase, percentiles(answered), percentiles(arrived))
}

// during edits through a phase of the load.
func (e *editor) during(l *load, phase string, d time.Duration) {
	e.t.Helper()
	l.enter(phase)
	for began := time.Now(); time.Since(began) < d; {
		e.edits(phase)
	}
}
