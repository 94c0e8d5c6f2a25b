package faults_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/carom-dev/carom/loadtest/client"
	"github.com/carom-dev/carom/loadtest/program"
)

// userAgent is followed by the name of each request.
const userAgent = "Mozilla/5.0 (X11; Linux x86_64) click/"

const (
	// hotPace and coldPace are how often a worker asks; it is an open loop only as long as the answers are faster.
	hotPace  = 3 * time.Millisecond
	coldPace = 100 * time.Millisecond
	// coldWorkers ask about 5 % of what hotWorkers do.
	hotWorkers  = 4
	coldWorkers = 8
)

// load is visitors, each request under a name of its own. What they were answered is kept by the phase of the test.
type load struct {
	t     *testing.T
	phase atomic.Pointer[string]
	names atomic.Int64
	quit  chan struct{}
	done  sync.WaitGroup
	once  sync.Once

	mu         sync.Mutex // guards what is below
	redirected map[string]bool
	tallies    map[string]*tally
}

// tally is what one kind of visitor was answered in one phase.
type tally struct {
	statuses  map[int]int // 0: no answer
	latencies []time.Duration
	wrong     string // the latest answer that nobody should get
}

func startLoad(t *testing.T) *load {
	t.Helper()
	l := &load{t: t, quit: make(chan struct{}), redirected: map[string]bool{}, tallies: map[string]*tally{}}
	l.enter("before")
	t.Cleanup(l.stop)
	return l
}

// enter begins a phase; requests that are under way count in it.
func (l *load) enter(phase string) { l.phase.Store(&phase) }

// during lets the load run for some time.
func (l *load) during(phase string, d time.Duration) {
	l.t.Helper()
	l.enter(phase)
	select {
	case <-time.After(d):
	case <-l.t.Context().Done():
		l.t.Fatal(context.Cause(l.t.Context()))
	}
}

// stop ends the visitors.
func (l *load) stop() {
	l.once.Do(func() { close(l.quit) })
	l.done.Wait()
}

func (l *load) note(kind, name string, status int, took time.Duration, wrong string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := kind + " " + *l.phase.Load()
	c := l.tallies[key]
	if c == nil {
		c = &tally{statuses: map[int]int{}}
		l.tallies[key] = c
	}
	c.statuses[status]++
	c.latencies = append(c.latencies, took)
	if wrong != "" {
		c.wrong = wrong
	}
	if status == 302 {
		l.redirected[name] = true
	}
}

// worker asks at a pace until the load ends or ask says that it has nothing more.
func (l *load) worker(pace time.Duration, ask func() bool) {
	l.done.Go(func() {
		tick := time.NewTicker(pace)
		defer tick.Stop()
		for ask() {
			select {
			case <-tick.C:
			case <-l.quit:
				return
			}
		}
	})
}

// hot has workers ask for codes that are in memory.
func (l *load) hot(i *instance, codes []string) {
	for range hotWorkers {
		var conn *client.Conn
		n := 0
		l.worker(hotPace, func() bool {
			n++
			name := fmt.Sprint(l.names.Add(1))
			status, took, err := hotVisit(&conn, i.Addr, codes[n%len(codes)], name)
			wrong := ""
			if err != nil {
				wrong = err.Error()
			}
			l.note("hot", name, status, took, wrong)
			return true
		})
		l.t.Cleanup(func() {
			if l.stop(); conn != nil {
				conn.Close()
			}
		})
	}
}

func hotVisit(conn **client.Conn, addr, code, name string) (status int, took time.Duration, err error) {
	request, err := client.Get(addr, "/"+code, []client.Header{{Name: "User-Agent", Value: userAgent + name}})
	if err != nil {
		return 0, 0, err
	}
	if *conn == nil {
		if *conn, err = client.Dial(addr, patience); err != nil {
			return 0, 0, err
		}
	}
	began := time.Now()
	r, err := (*conn).Do(request)
	took = time.Since(began)
	if err != nil || r.Close {
		(*conn).Close()
		*conn = nil
	}
	return r.Status, took, err
}

// cold has workers ask for codes that are not in memory, each once.
func (l *load) cold(i *instance, codes []string) {
	var next atomic.Int64
	for range coldWorkers {
		l.worker(coldPace, func() bool {
			n := int(next.Add(1)) - 1
			if n >= len(codes) {
				return false
			}
			name := fmt.Sprint(l.names.Add(1))
			began := time.Now()
			a, err := i.visit(context.Background(), codes[n], name)
			took := time.Since(began)
			wrong := ""
			switch {
			case err != nil:
				wrong = err.Error()
			case a.status == 503 && a.header.Get("Retry-After") == "":
				wrong = "503 without Retry-After"
			case a.status != 302 && a.status != 503:
				wrong = fmt.Sprint(codes[n], ": ", a.status, " ", string(a.body))
			}
			l.note("cold", name, a.status, took, wrong)
			return true
		})
	}
}

// wantHits checks that nobody who asked for what is in memory noticed anything.
func (l *load) wantHits() {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, c := range l.tallies {
		if strings.HasPrefix(key, "hot") && (len(c.statuses) != 1 || c.statuses[302] == 0) {
			l.t.Errorf("%s: statuses %v, want 302 alone; %s", key, c.statuses, c.wrong)
		}
	}
}

// wantCold checks that who asked for what is not in memory got his target, or was asked to come again.
func (l *load) wantCold() {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, c := range l.tallies {
		if strings.HasPrefix(key, "cold") && c.wrong != "" {
			l.t.Errorf("%s: statuses %v; %s", key, c.statuses, c.wrong)
		}
	}
}

// count is how often a kind of visitor got a status in a phase.
func (l *load) count(kind, phase string, status int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.tallies[kind+" "+phase]
	if c == nil {
		return 0
	}
	return c.statuses[status]
}

// slowest is how long a kind of visitor waited for an answer in a phase at most.
func (l *load) slowest(kind, phase string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.tallies[kind+" "+phase]
	if c == nil {
		return 0
	}
	return percentile(c.latencies, 1)
}

// log shows what was answered, and how fast.
func (l *load) log() {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, c := range l.tallies {
		l.t.Logf("%s: statuses %v, %s", key, c.statuses, percentiles(c.latencies))
	}
}

// percentile is the time that a part p of latencies, which it sorts, does not exceed; 0 of none.
func percentile(latencies []time.Duration, p float64) time.Duration {
	if len(latencies) == 0 {
		return 0
	}
	slices.Sort(latencies)
	return latencies[int(p*float64(len(latencies)-1))]
}

// percentiles writes a distribution down.
func percentiles(latencies []time.Duration) string {
	if len(latencies) == 0 {
		return "nothing measured"
	}
	at := func(p float64) time.Duration { return percentile(latencies, p).Round(10 * time.Microsecond) }
	return fmt.Sprintf("p50 %v, p99 %v, max %v of %d", at(0.5), at(0.99), at(1), len(latencies))
}

// wantStoredOnce waits until the instances have nothing more to store, and compares what is stored with what was answered: each
// redirect once, and nothing twice, in the single clicks and in the links' totals.
func (l *load) wantStoredOnce(instances ...*instance) {
	t := l.t
	t.Helper()
	for _, i := range instances {
		until(t, "the journal is drained", func() bool {
			age, err := i.api.Metric(t.Context(), "carom_journal_oldest_unread_seconds")
			if err != nil {
				t.Fatal(err)
			}
			return age == 0
		})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var stored map[string]int
	var raw []program.Click
	lost := 0
	// What was read from the journal may still be on its way to the store.
	until(t, "all answered clicks are stored", func() bool {
		var err error
		if raw, err = instances[0].api.Clicks(t.Context()); err != nil {
			t.Fatal(err)
		}
		stored = map[string]int{}
		for _, c := range raw {
			_, name, _ := strings.Cut(c.UserAgent, "click/")
			stored[name]++
		}
		lost = 0
		for name := range l.redirected {
			if stored[name] == 0 {
				lost++
			}
		}
		return lost == 0
	})
	twice := 0
	for name, n := range stored {
		if n > 1 && name != "" {
			twice++
		}
	}
	links, err := instances[0].api.Links(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var totals int64
	for _, link := range links {
		totals += link.Clicks
	}
	t.Logf("%d redirects answered, %d clicks stored, %d counted twice", len(l.redirected), len(raw), twice)
	if twice > 0 || totals != int64(len(raw)) {
		t.Errorf("%d clicks stored twice, want none; the links count %d clicks, %d are stored", twice, totals, len(raw))
	}
}
