package faults_test

import (
	"sync"
	"testing"
	"time"

	"github.com/carom-dev/carom/loadtest/client"
	"github.com/carom-dev/carom/persistence/testservices"
)

const budget = 1000

// flood sends requests for a code over many connections at once and returns how often each status came; 0 is no answer. A 503 is
// asked again after a moment, for a bounded time, as Retry-After says.
func flood(t *testing.T, i *instance, code string, connections, requests int) map[int]int {
	t.Helper()
	request, err := client.Get(i.Addr, "/"+code, client.Browser())
	if err != nil {
		t.Fatal(err)
	}
	conns := make([]*client.Conn, connections)
	for k := range conns {
		if conns[k], err = client.Dial(i.Addr, patience); err != nil {
			t.Fatal(err)
		}
	}
	var (
		mu       sync.Mutex
		workers  sync.WaitGroup
		statuses = map[int]int{}
	)
	for k, conn := range conns {
		workers.Go(func() {
			defer conn.Close()
			for n := k; n < requests; n += connections {
				answer, err := conn.Do(request)
				for tries := 0; err == nil && answer.Status == 503 && tries < 100; tries++ {
					<-time.After(100 * time.Millisecond)
					answer, err = conn.Do(request)
				}
				if err != nil {
					answer.Status = 0
				}
				mu.Lock()
				statuses[answer.Status]++
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	workers.Wait()
	return statuses
}

// startTogether starts instances on one database and one bus, and waits until they know each other.
func startTogether(t *testing.T, n int) []*instance {
	t.Helper()
	database, bus := onDatabase(services.Database(t, "", nil)), onBus(services.RedisURL(t))
	instances := make([]*instance, n)
	for k := range instances {
		instances[k] = start(t, t.TempDir(), database, bus, ownBus(t))
	}
	waitTogether(t, instances...)
	return instances
}

// TestBudgetIsExactOnFourInstances spends one link's visits everywhere at once.
func TestBudgetIsExactOnFourInstances(t *testing.T) {
	t.Parallel()
	instances := startTogether(t, 4)
	shorten(t, instances[0], map[string]any{"code": "limited", "url": "https://example.com/", "max_visits": budget})
	said := make(chan map[int]int, len(instances))
	for _, i := range instances {
		go func() { said <- flood(t, i, "limited", 64, 5000) }()
	}
	redirects, refusals := 0, 0
	for range instances {
		s := <-said
		redirects, refusals = redirects+s[302], refusals+s[410]
	}
	if redirects != budget || refusals != 20_000-budget {
		t.Errorf("%d redirects and %d times 410, want %d and %d", redirects, refusals, budget, 20_000-budget)
	}
}

// TestNoVisitOfABudgetIsWithheld has instances share a budget that is smaller than a lease, and one visitor's instance hold what another's needs.
func TestNoVisitOfABudgetIsWithheld(t *testing.T) {
	t.Parallel()
	instances := startTogether(t, 3)
	shorten(t, instances[0], map[string]any{"code": "few", "url": "https://example.com/", "max_visits": 10})
	shorten(t, instances[0], map[string]any{"code": "more", "url": "https://example.com/", "max_visits": 100})
	for n := range 10 {
		if got := flood(t, instances[n%3], "few", 1, 1); got[302] != 1 {
			t.Fatalf("visit %d of 10 got %v", n+1, got)
		}
	}
	if got := flood(t, instances[1], "few", 1, 1); got[410] != 1 {
		t.Errorf("the visit after them got %v, want 410", got)
	}
	if got := flood(t, instances[0], "more", 1, 1); got[302] != 1 { // it leases more than this one
		t.Fatalf("the first visit got %v", got)
	}
	// On a slow machine the idle ones may come too late for the first who ask; they do come.
	redirects := 0
	until(t, "all visits but one are had at another instance", func() bool {
		redirects += flood(t, instances[1], "more", 1, 20)[302]
		return redirects >= 99
	})
	if got := flood(t, instances[1], "more", 1, 20); redirects != 99 || got[410] != 20 {
		t.Errorf("%d visits were had at another instance, and behind them %v, want 99 and 410", redirects, got)
	}
}

// leased is how many visits of each link an instance was granted and has neither given back nor stored the clicks of.
func leased(t *testing.T, url string) map[string]int {
	t.Helper()
	held, err := testservices.Counts(t.Context(), url, "SELECT code, outstanding FROM visit_leases JOIN links ON links.id = link_id")
	if err != nil {
		t.Fatal(err)
	}
	return held
}

// TestBudgetHoldsThroughAKill kills an instance that has leased visits: until it is back they are nobody's, afterwards anybody's.
func TestBudgetHoldsThroughAKill(t *testing.T) {
	t.Parallel()
	url := services.Database(t, "", nil)
	database, bus := onDatabase(url), onBus(services.RedisURL(t))
	a := start(t, t.TempDir(), database, bus, ownBus(t))
	b := start(t, t.TempDir(), database, bus, ownBus(t))
	waitTogether(t, a, b)
	shorten(t, a, map[string]any{"code": "quiet", "url": "https://example.com/", "max_visits": budget})
	loud := shorten(t, a, map[string]any{"code": "loud", "url": "https://example.com/", "max_visits": budget})

	// Nothing is under way on one link, and much on the other.
	quiet := flood(t, a, "quiet", 1, 100)[302]
	said := make(chan map[int]int, 2)
	go func() { said <- flood(t, a, "loud", 16, 100_000) }()
	until(t, "visits are handed out", func() bool {
		n, err := a.api.Metric(t.Context(), "carom_journal_appended_total")
		if err != nil {
			t.Fatal(err)
		}
		return n > 200
	})
	kill(t, a)
	withheld := leased(t, url)
	cut := <-said
	sum := cut[302]

	byOther := flood(t, b, "quiet", 16, 3000)[302]
	go func() { said <- flood(t, b, "loud", 16, 3000) }()
	sum += (<-said)[302]
	t.Logf("without the killed instance: %d and %d of %d visits are served; it held %v", quiet+byOther, sum, budget, withheld)
	for code, served := range map[string]int{"quiet": quiet + byOther, "loud": sum} {
		if served > budget || served+cut[0] < budget-withheld[code] || withheld[code] == 0 {
			t.Errorf("%s: %d redirects, want %d but for at most the %d that the killed instance held", code, served, budget, withheld[code])
		}
	}

	a = again(t, a)
	rest := flood(t, a, "quiet", 16, 3000)
	if total := quiet + byOther + rest[302]; total != budget {
		t.Errorf("%d redirects in the end (%d, %d, %v), want %d", total, quiet, byOther, rest, budget)
	}
	last := flood(t, a, "loud", 16, 3000)
	// A visit whose answer was cut off by the kill was given, too.
	if sum += last[302]; sum > budget || sum < budget-cut[0] {
		t.Errorf("%d redirects in the end (%v, then %v), want %d less at most the %d that were cut off", sum, cut, last, budget, cut[0])
	}
	var stored int64
	until(t, "all visits are stored", func() bool {
		l, err := b.api.Link(t.Context(), loud.Path())
		if err != nil {
			t.Fatal(err)
		}
		stored = l.Clicks
		return stored >= budget
	})
	if stored != budget {
		t.Errorf("%d clicks are stored for a budget of %d", stored, budget)
	}
	stop(t, a)
	stop(t, b)
}
