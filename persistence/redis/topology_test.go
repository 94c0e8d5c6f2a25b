package redis

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/testservices"
)

func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	s, err := testservices.StartRedisSentinel()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	b := openBus(t, Config{URL: s.Sentinel.URL(), Master: s.MasterName})
	e := listen(t, b, "n")
	e.next(engine.BusSubscribed)
	publishUntil(t, b, 1, e)
	s.Master.Kill() // and it stays dead: whatever flows from now on flows through the former replica
	start := time.Now()
	e.next(engine.BusSubscribed)
	publishUntil(t, b, 2, e)
	t.Logf("messages flow %v after the master was killed", time.Since(start))
}

func TestClusterCarriesAllMessagesInTheirOrder(t *testing.T) {
	t.Parallel()
	c, err := testservices.StartRedisCluster()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	busA := openBus(t, Config{URL: "redis://" + strings.Join(c.Addrs(), ",")})
	busB := openBus(t, Config{URL: c.Masters[0].URL(), Cluster: true})
	a, b := listen(t, busA, "n"), listen(t, busB, "b")
	a.next(engine.BusSubscribed)
	b.next(engine.BusSubscribed)
	for _, want := range full("n", "b") {
		if err := busA.Publish(t.Context(), []engine.BusMessage{want}); err != nil {
			t.Fatal(err)
		}
		if got := b.next(want.Kind); !reflect.DeepEqual(got, want) {
			t.Errorf("heard %+v, want %+v", got, want)
		}
	}
	publishUntil(t, busB, 4000, a) // a has heard all of the above
	checkOrder(t, busB, a)
	if h := busB.Health(t.Context()); h.Status != engine.HealthPass {
		t.Errorf("Health = %+v", h)
	}
	for _, m := range c.Masters {
		m.Kill()
	}
	untilAway(t, busB)
	for _, m := range c.Masters {
		if err := m.Start(); err != nil {
			t.Fatal(err)
		}
	}
	a.next(engine.BusSubscribed)
	publishUntil(t, busB, 5000, a)
}
