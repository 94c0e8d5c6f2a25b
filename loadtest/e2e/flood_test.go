package e2e_test

import (
	"sync"
	"testing"
	"time"

	"github.com/carom-dev/carom/loadtest/client"
	"github.com/carom-dev/carom/loadtest/program"
)

// flood sends requests for code over many connections at once: all are connected first, and then let go together. Each
// connection sends its part one after the other. It returns how often each status came; 0 is a request without an answer.
func flood(t *testing.T, addr, code string, connections, requests int) map[int]int {
	t.Helper()
	request, err := client.Get(addr, "/"+code, client.Browser())
	if err != nil {
		t.Fatal(err)
	}
	conns := make([]*client.Conn, connections)
	for i := range conns {
		if conns[i], err = client.Dial(addr, 30*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	statuses := map[int]int{}
	var workers sync.WaitGroup
	gate := make(chan struct{})
	for i, conn := range conns {
		workers.Go(func() {
			defer conn.Close()
			<-gate
			for n := i; n < requests; n += connections {
				answer, err := conn.Do(request)
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
	close(gate)
	workers.Wait()
	return statuses
}

func shorten(t *testing.T, api *program.API, link map[string]any) program.Link {
	t.Helper()
	l, err := api.Shorten(t.Context(), link)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestOneColdCodeIsReadOnce asks for one code that is not in memory a thousand times at once.
func TestOneColdCodeIsReadOnce(t *testing.T) {
	t.Parallel()
	const requests = 1000
	dir := t.TempDir()
	p := start(t, dir)
	shorten(t, ask(t, p), map[string]any{"url": "https://example.com/", "code": "cold"})
	stop(t, p)
	p = start(t, dir) // a fresh process has nothing in memory
	api := ask(t, p)
	before, err := api.Metric(t.Context(), "carom_actors_loader_queries_total")
	if err != nil {
		t.Fatal(err)
	}
	if got := flood(t, p.Addr, "cold", requests, requests); got[302] != requests {
		t.Errorf("statuses %v, want 302 for all %d", got, requests)
	}
	after, err := api.Metric(t.Context(), "carom_actors_loader_queries_total")
	if err != nil {
		t.Fatal(err)
	}
	if after-before != 1 {
		t.Errorf("%v queries for one cold code, want 1", after-before)
	}
	stop(t, p)
}

// TestVisitBudgetIsExact asks ten thousand times for a link with a hundred visits.
func TestVisitBudgetIsExact(t *testing.T) {
	t.Parallel()
	const connections, requests, budget = 500, 10_000, 100
	p := start(t, t.TempDir())
	api := ask(t, p)
	link := shorten(t, api, map[string]any{"url": "https://example.com/", "code": "budget", "max_visits": budget})
	got := flood(t, p.Addr, "budget", connections, requests)
	if got[302] != budget || got[410] != requests-budget {
		t.Errorf("statuses %v, want %d times 302 and %d times 410", got, budget, requests-budget)
	}
	waitStored(t, api, []program.Link{link}, budget)
	stop(t, p)
}

// TestVisitBudgetHoldsThroughAKill spends a part of a budget, kills the server, and spends the rest.
func TestVisitBudgetHoldsThroughAKill(t *testing.T) {
	t.Parallel()
	const budget, early = 100, 40
	dir := t.TempDir()
	p := start(t, dir)
	shorten(t, ask(t, p), map[string]any{"url": "https://example.com/", "code": "budget", "max_visits": budget})
	if got := flood(t, p.Addr, "budget", early, early); got[302] != early {
		t.Fatalf("statuses %v, want %d times 302", got, early)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	p = start(t, dir)
	got := flood(t, p.Addr, "budget", 100, 2000)
	if got[302] != budget-early || got[410] != 2000-(budget-early) {
		t.Errorf("behind the kill: statuses %v, want %d times 302 and 410 else", got, budget-early)
	}
	stop(t, p)

	// Kills while visits are being handed out: never more than the budget, whatever was cut off.
	dir = t.TempDir()
	p = start(t, dir)
	shorten(t, ask(t, p), map[string]any{"url": "https://example.com/", "code": "budget", "max_visits": 5 * budget})
	sum := 0
	for range 4 {
		over := make(chan struct{})
		killed := killAfter(t, p, 50, over)
		sum += flood(t, p.Addr, "budget", 8, 4000)[302]
		close(over)
		if err := <-killed; err != nil {
			t.Fatal(err)
		}
		p = start(t, dir)
	}
	sum += flood(t, p.Addr, "budget", 50, 4000)[302]
	if sum > 5*budget {
		t.Errorf("%d redirects over several kills, want at most %d", sum, 5*budget)
	}
	if sum < 4*budget {
		t.Errorf("%d redirects over several kills of a budget of %d: cut off answers can't explain that", sum, 5*budget)
	}
	stop(t, p)
}
