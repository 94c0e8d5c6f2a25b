package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/carom-dev/carom/loadtest/client"
)

// load is visitors that come at a fixed rate, whether they are answered or not (an open loop), over connections that stay. A latency
// counts from the moment at which the request should have been sent, so that a stall of the server or of a connection shows in all
// requests that had to wait for it. Visitors beyond what may be outstanding are not sent, and counted as missed.
type load struct {
	oracle  *oracle
	cfg     loadConfig
	arrived chan arrival
	workers sync.WaitGroup
	cancel  context.CancelFunc
	current atomic.Pointer[phase]
}

// loadConfig says what is asked, of whom and how often.
type loadConfig struct {
	addr        func() string           // asked for each new connection
	rate        int                     // requests a second
	connections int                     // 0: 32
	outstanding int                     // requests waiting for a connection; 0: 4096
	timeout     time.Duration           // of an answer; 0: 10 s
	life        time.Duration           // of a connection, which is replaced then; 0: as long as it can be used
	choose      func(n int) (index int) // the link of the n-th request, as its index in the oracle; nil: each in turn
	code        func(n int) string      // nil, or the code of the n-th request, which the oracle then knows nothing of
	from        string                  // the visitors' address, where the instance trusts this host as a proxy
}

// phase is what came of the requests that were due while it was the current one.
type phase struct {
	latency  histogram // of redirects (without an oracle: of all but 503), from the moment they were due
	refusal  histogram // of 503, from the moment of sending or connecting
	statuses [600]atomic.Int64
	failed   atomic.Int64 // without a complete answer
	missed   atomic.Int64 // never sent
}

// status is how often a status was answered.
func (p *phase) status(code int) int64 { return p.statuses[code].Load() }

// String is the phase in short.
func (p *phase) String() string {
	return fmt.Sprintf("%v; 302: %d, 503: %d, no answer: %d, not sent: %d", &p.latency, p.status(302), p.status(503), p.failed.Load(), p.missed.Load())
}

type arrival struct {
	link  int    // in the oracle
	code  string // or: of no link in the oracle
	due   time.Time
	phase *phase
}

// startLoad begins to send. Stop it.
func startLoad(ctx context.Context, o *oracle, cfg loadConfig) *load {
	if cfg.connections == 0 {
		cfg.connections = 32
	}
	if cfg.outstanding == 0 {
		cfg.outstanding = 4096
	}
	if cfg.timeout == 0 {
		cfg.timeout = 10 * time.Second
	}
	if cfg.choose == nil {
		cfg.choose = func(n int) int { return n % len(o.links) }
	}
	ctx, cancel := context.WithCancel(ctx)
	l := &load{oracle: o, cfg: cfg, arrived: make(chan arrival, cfg.outstanding), cancel: cancel}
	l.enter()
	for range cfg.connections {
		l.workers.Go(func() { l.work(ctx) })
	}
	l.workers.Go(func() { l.schedule(ctx) })
	return l
}

// enter begins a new phase and returns it; requests that are due from now on count in it.
func (l *load) enter() *phase {
	p := &phase{}
	l.current.Store(p)
	return p
}

// during enters a phase that lasts for d.
func (l *load) during(ctx context.Context, d time.Duration) (*phase, error) {
	p := l.enter()
	return p, wait(ctx, d)
}

// stop ends the load; requests under way are waited for. Twice is fine.
func (l *load) stop() {
	l.cancel()
	l.workers.Wait()
}

// schedule lets visitors come. What a late timer has kept back comes at once, each with the time at which it was due.
func (l *load) schedule(ctx context.Context) {
	defer close(l.arrived)
	began := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n := 0; ; {
		now := time.Now()
		p := l.current.Load()
		for {
			due := began.Add(time.Duration(float64(n) / float64(l.cfg.rate) * float64(time.Second)))
			if due.After(now) {
				break
			}
			select {
			case l.arrived <- l.arrival(n, due, p):
			default:
				p.missed.Add(1)
			}
			n++
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (l *load) arrival(n int, due time.Time, p *phase) arrival {
	a := arrival{due: due, phase: p}
	if l.cfg.code != nil {
		a.code = l.cfg.code(n)
	} else {
		a.link = l.cfg.choose(n)
	}
	return a
}

// work sends on one connection, and on another one when that is broken.
func (l *load) work(ctx context.Context) {
	var conn *client.Conn
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	var request []byte
	var dialed time.Time
	for a := range l.arrived {
		if ctx.Err() != nil {
			continue // the queue is emptied; nobody waits for these any more
		}
		began := time.Now()
		if conn != nil && l.cfg.life > 0 && began.Sub(dialed) > l.cfg.life {
			conn.Close()
			conn = nil
		}
		if conn == nil {
			dialed = began
			var err error
			if conn, err = client.Dial(l.cfg.addr(), l.cfg.timeout); err != nil {
				a.phase.failed.Add(1)
				continue
			}
		}
		code, id := a.code, 0
		if l.cfg.code == nil {
			code, id = l.oracle.links[a.link].code, l.oracle.send(a.link)
		}
		request = appendVisitFrom(request[:0], code, id, l.cfg.from)
		r, err := conn.Do(request)
		if err == nil {
			if l.cfg.code == nil {
				l.oracle.answer(id, r.Status, string(r.Location))
			}
			a.phase.statuses[min(max(r.Status, 0), 599)].Add(1)
			switch {
			case r.Status == 503:
				a.phase.refusal.record(time.Since(began))
			case r.Status == 302 || l.cfg.code != nil:
				a.phase.latency.record(time.Since(a.due))
			}
		} else {
			a.phase.failed.Add(1)
		}
		if err != nil || r.Close {
			conn.Close()
			conn = nil
		}
	}
}

// appendVisit writes a visitor's request with its id.
func appendVisit(b []byte, code string, id int) []byte { return appendVisitFrom(b, code, id, "") }

// appendVisitFrom writes that of a visitor who comes through a proxy from an address; "" for none.
func appendVisitFrom(b []byte, code string, id int, from string) []byte {
	b = append(append(append(b, "GET /"...), code...), " HTTP/1.1\r\nHost: carom.example\r\nUser-Agent: chaos\r\n"...)
	if from != "" {
		b = append(append(append(b, "X-Forwarded-For: "...), from...), "\r\n"...)
	}
	b = append(b, "Referer: "+referer...)
	return append(strconv.AppendInt(b, int64(id), 10), "\r\n\r\n"...)
}
