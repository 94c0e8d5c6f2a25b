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
	var (
		allowed [clients]atomic.Int64
		workers sync.WaitGroup
	)
	requests := make([][]byte, clients)
	for k := range requests {
		requests[k] = keyed(t, instances[0], fmt.Sprint("client ", k))
	}
	began := time.Now()
	for k, request := range requests {
		for _, i := range instances {
			conn, err := client.Dial(i.Addr, patience)
			if err != nil {
				t.Fatal(err)
			}
			workers.Go(func() {
				defer conn.Close()
				for status := 0; time.Since(began) < burst || status != 429; {
					answer, err := conn.Do(request)
					if err != nil || answer.Status != 200 && answer.Status != 429 {
						t.Errorf("status %d, %v", answer.Status, err)
						return
					}
					if status = answer.Status; status == 200 {
						allowed[k].Add(1)
					}
				}
			})
		}
	}
	workers.Wait()
	took := time.Since(began)
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

// keyed makes a key, and a request with it.
func keyed(t *testing.T, i *instance, name string) []byte {
	t.Helper()
	a, err := i.do(t.Context(), "POST", "/keys", "application/json", fmt.Sprintf(`{"name":%q,"scopes":["links:read"]}`, name))
	if err != nil || a.status != 201 {
		t.Fatalf("make a key: %v, %d %s", err, a.status, a.body)
	}
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
