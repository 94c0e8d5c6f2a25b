package faults_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/carom-dev/carom/loadtest/client"
)

// TestRateLimitHoldsAcrossInstances has clients spend their limit on two instances at once, as fast as they can.
func TestRateLimitHoldsAcrossInstances(t *testing.T) {
	const (
		clients = 10
		limit   = 200
		perTime = time.Minute
		// burst is longer than many exchanges between the instances, and short beside perTime.
		burst = 1500 * time.Millisecond
	)
	env := []string{
		onDatabase(services.Database(t, "", nil)), onBus(services.RedisURL(t)), ownBus(t),
		fmt.Sprintf("CAROM_RATE_LIMIT_API=%d/m", limit),
	}
	instances := []*instance{start(t, t.TempDir(), env...), start(t, t.TempDir(), env...)}
	waitTogether(t, instances...)
	allowed, _, took := spendTogether(t, instances, clients, 0, func(since time.Duration, status int) bool { return since < burst || status != 429 })
	refilled := int64(limit * took / perTime)
	// A machine that delays the exchanges by as much as they take must not fail the short form. Without any exchange it would be
	// twice the limit.
	slack := int64(limit / 2)
	if long() {
		slack = limit / 10
	}
	for k := range allowed {
		if n := allowed[k].Load(); n < limit-slack || n > limit+slack+refilled {
			t.Errorf("client %d: %d requests allowed in %v, want %d and the %d that came free meanwhile, within %d", k, n, took, limit, refilled, slack)
		}
	}
	t.Logf("a limit of %d on two instances: %v, %v and %v ... allowed in %v", limit, allowed[0].Load(), allowed[1].Load(), allowed[2].Load(), took)
}

// TestRateLimitHoldsOnClocksApart has clients ask for more than they may have of two instances whose clocks are four seconds apart, which is
// four times the limit's period, for many periods. If the instances put what is spent into times of their own, neither would count what the
// other one gives.
func TestRateLimitHoldsOnClocksApart(t *testing.T) {
	const (
		clients = 10
		limit   = 30
		perTime = time.Second
		during  = 10 * perTime
		// pace is four times what is allowed, over both instances.
		pace = perTime / limit / 2
	)
	env := []string{
		onDatabase(services.Database(t, "", nil)), onBus(services.RedisURL(t)), ownBus(t),
		fmt.Sprintf("CAROM_RATE_LIMIT_API=%d/s", limit),
	}
	instances := []*instance{
		startFailpoint(t, t.TempDir(), append(env, "CAROM_FAILPOINT_CLOCK=+2s")...),
		startFailpoint(t, t.TempDir(), append(env, "CAROM_FAILPOINT_CLOCK=-2s")...),
	}
	waitTogether(t, instances...)
	wantClocksApart(t, instances, 4*time.Second)
	allowed, asked, took := spendTogether(t, instances, clients, pace, func(since time.Duration, _ int) bool { return since < during })
	// All of a limit is there at the beginning, and comes again in each period.
	want := limit + int64(limit*took/perTime)
	for k := range allowed {
		// Fewer are allowed where a machine stalls for longer than what came free meanwhile can be kept, and where it asks for fewer.
		least := int64(0)
		switch {
		case asked[k].Load() < 2*want:
		case long():
			least = want * 9 / 10
		default:
			least = want / 2
		}
		if n := allowed[k].Load(); n < least || n > want*11/10 {
			t.Errorf("client %d: %d of %d requests allowed in %v, want %d within a tenth", k, n, asked[k].Load(), took, want)
		}
	}
	t.Logf("a limit of %d a second on two clocks: %d, %d and %d ... allowed in %v, want %d", limit, allowed[0].Load(), allowed[1].Load(), allowed[2].Load(), took, want)
}

// wantClocksApart makes a link on each instance and looks when that was.
func wantClocksApart(t *testing.T, instances []*instance, apart time.Duration) {
	t.Helper()
	var at []time.Time
	for _, i := range instances {
		a, err := i.do(t.Context(), "POST", "/shorten", "application/json", `{"url":"https://example.com/when"}`)
		if err != nil || a.status != 201 {
			t.Fatalf("make a link: %v, %d %s", err, a.status, a.body)
		}
		var made struct {
			CreatedAt time.Time `json:"created_at"`
		}
		if err := json.Unmarshal(a.body, &made); err != nil {
			t.Fatal(err)
		}
		at = append(at, made.CreatedAt)
	}
	if got := at[0].Sub(at[1]); got <= 0 || got > apart {
		t.Fatalf("a link that was made earlier is said to be %v younger, want less than %v", got, apart)
	}
}

// spendTogether has clients ask all instances at once, each client with a key of its own and on a connection to each, one request in each pace
// (0: one behind the other) for as long as more says so of the time that has passed and the last status. It returns how many requests of each
// client were allowed, of how many, and how long it took.
func spendTogether(t *testing.T, instances []*instance, clients int, pace time.Duration, more func(since time.Duration, status int) bool) (allowed, asked []atomic.Int64, took time.Duration) {
	t.Helper()
	allowed, asked = make([]atomic.Int64, clients), make([]atomic.Int64, clients)
	requests := make([][]byte, clients)
	for k := range requests {
		requests[k] = keyed(t, instances[0], fmt.Sprint("client ", k))
	}
	var workers sync.WaitGroup
	began := time.Now()
	for k, request := range requests {
		for _, i := range instances {
			conn, err := client.Dial(i.Addr, patience)
			if err != nil {
				t.Fatal(err)
			}
			workers.Go(func() {
				defer conn.Close()
				var tick <-chan time.Time
				if pace > 0 {
					ticker := time.NewTicker(pace)
					defer ticker.Stop()
					tick = ticker.C
				}
				for status := 0; more(time.Since(began), status); {
					answer, err := conn.Do(request)
					if err != nil || answer.Status != 200 && answer.Status != 429 {
						t.Errorf("status %d, %v", answer.Status, err)
						return
					}
					asked[k].Add(1)
					if status = answer.Status; status == 200 {
						allowed[k].Add(1)
					}
					if tick != nil {
						<-tick
					}
				}
			})
		}
	}
	workers.Wait()
	return allowed, asked, time.Since(began)
}

// keyed makes a key, and a request with it. Who makes keys is limited, too, and to a part of the limit until the instances exchange what is
// spent.
func keyed(t *testing.T, i *instance, name string) []byte {
	t.Helper()
	var a answer
	untilEvery(t, 50*time.Millisecond, "a key is made", func() bool {
		var err error
		a, err = i.do(t.Context(), "POST", "/keys", "application/json", fmt.Sprintf(`{"name":%q,"scopes":["links:read"]}`, name))
		if err != nil || a.status != 201 && a.status != 429 {
			t.Fatalf("make a key: %v, %d %s", err, a.status, a.body)
		}
		return a.status == 201
	})
	var made struct{ Key string }
	if err := json.Unmarshal(a.body, &made); err != nil {
		t.Fatal(err)
	}
	request, err := client.Get(i.Addr, "/urls?limit=1", []client.Header{{Name: "Authorization", Value: "Bearer " + made.Key}})
	if err != nil {
		t.Fatal(err)
	}
	return request
}
