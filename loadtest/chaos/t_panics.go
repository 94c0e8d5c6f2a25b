package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// panicEvery message of each kind panics before it is handled, and as many do behind it. It is odd, so that of two kinds that come in
	// turns each has its own.
	panicEvery = 25
	// panicsBefore and panicsBehind are what comes behind that number.
	panicsBefore, panicsBehind = "", ",behind"
	// panicTTL is the shortest time to live that there is.
	panicTTL = 10 * time.Second
	// panicsMin are counted in the full form at the least.
	panicsMin = 1000
)

// The kinds of links.
const (
	panicHot    = 64    // in memory all the time
	panicEdited = 32    // visited and edited
	panicFew    = 100   // with so few visits that at their end one instance holds what the other one has visitors for
	panicCold   = 5_000 // visited one after the other

	panicVisits = 12
)

// Where visitors come from. Each has a rate limit of its own, which the crowd exceeds.
const (
	addrHot      = "198.51.100.1"
	addrCrowd    = "203.0.113.1"
	addrUnknown  = "192.0.2.1"
	panicLimit   = 100 // a second
	panicHotRate = 60
	panicRate    = 300
)

// panicking are instances on one set of links, each of which panics at all its places again and again.
type panicking struct {
	env       *env
	said      *panicked
	store     string
	began     time.Time
	instances []*instance
	logged    []*atomic.Int64 // panics that each process has logged
	postgres  *service        // nil: SQLite
	oracle    *oracle         // of links of each kind, in their order
	paths     []string        // of those that are edited, and of those with few visits
	cold      atomic.Int64    // how many of the cold ones have been asked for
	counted   float64         // panics in /metrics
	crowd     [600]int64      // its answers
	unknown   [600]int64      // and those to unknown codes
}

// panicEverywhere has processes panic in every kind of message of every actor, before it is handled and behind it, and in the work that
// actors give to others, on SQLite and on Postgres and Redis.
func panicEverywhere(ctx context.Context, e *env) (figure string, held bool, err error) {
	binary, err := e.failpointCarom(ctx)
	if err != nil {
		return "", false, err
	}
	said := &panicked{at: map[string]int{}}
	alone, together := &panicking{env: e, said: said, store: "SQLite"}, &panicking{env: e, said: said, store: "Postgres and Redis"}
	counted := 0.0
	var figures []string
	for _, step := range []struct {
		p   *panicking
		run func(ctx context.Context, binary string) error
	}{{alone, alone.begin}, {together, together.together}, {alone, alone.alone}} {
		if err := errors.Join(step.run(ctx, binary), said.judge()); err != nil {
			return strings.Join(figures, "; "), false, fmt.Errorf("panics on %s: %w", step.p.store, err)
		}
	}
	for _, p := range []*panicking{alone, together} {
		counted += p.counted
		figures = append(figures, fmt.Sprintf("%s: %v; who asked for what is not in memory: %d redirects, %d times 503, %d 410, %d 429; unknown codes: %d 404, %d 503, %d 429",
			p.store, p.oracle.tally(), p.crowd[302], p.crowd[503], p.crowd[410], p.crowd[429], p.unknown[404], p.unknown[503], p.unknown[429]))
	}
	places, times, without := said.told()
	figure = fmt.Sprintf("panics of processes: %d at %d places, %.0f of them read in /metrics; no error for codes in memory, each visit of a budget had once; %s", times, places, counted, strings.Join(figures, "; "))
	if len(without) > 0 {
		return figure, false, fmt.Errorf("no panic at %d places: %s", len(without), strings.Join(without, ", "))
	}
	if want := pick(e, 1, panicsMin); counted < float64(want) {
		return figure, false, fmt.Errorf("%.0f panics were counted, want %d", counted, want)
	}
	return figure, true, nil
}

// begin starts an instance on SQLite and has links be in memory that are past their time to live when more comes.
func (p *panicking) begin(ctx context.Context, binary string) error {
	i, err := p.instance(binary)
	if err == nil {
		err = p.start(ctx, i, panicsBefore)
	}
	if err == nil {
		err = p.makeLinks(ctx)
	}
	if err == nil {
		err = p.warm(ctx)
	}
	p.began = time.Now()
	return err
}

// alone goes on with it, and starts it a second time.
func (p *panicking) alone(ctx context.Context, _ string) error {
	if err := wait(ctx, time.Until(p.began.Add(panicTTL+time.Second))); err != nil {
		return err
	}
	i := p.instances[0]
	err := p.endure(ctx, pick(p.env, time.Second, 30*time.Second))
	if err == nil {
		err = i.stop()
	}
	if err == nil {
		err = p.start(ctx, i, panicsBehind)
	}
	if err == nil {
		err = p.endure(ctx, pick(p.env, time.Second, 30*time.Second))
	}
	if err != nil {
		return err
	}
	return p.recover(ctx)
}

// together are two instances that share everything; one panics at first before the first message of each kind, the other one behind it.
func (p *panicking) together(ctx context.Context, binary string) (err error) {
	if p.postgres, err = p.env.startPostgres(ctx); err != nil {
		return err
	}
	redis, err := p.env.startRedis(ctx)
	if err != nil {
		return err
	}
	for _, order := range []string{panicsBefore, panicsBehind} {
		i, err := p.instance(binary, "DATABASE_URL="+p.postgres.url, "REDIS_URL="+redis.url)
		if err == nil {
			err = p.start(ctx, i, order)
		}
		if err != nil {
			return err
		}
	}
	if err := p.makeLinks(ctx); err != nil {
		return err
	}
	// Whether one instance asks the other one for its visits is a matter of who has visitors for what is left of them.
	if err := p.endure(ctx, pick(p.env, 5*time.Second, time.Minute), "shard/recalled/before", "shard/recalled/behind"); err != nil {
		return err
	}
	return p.recover(ctx)
}

// start starts an instance that panics; order says where the first message of each kind does.
func (p *panicking) start(ctx context.Context, i *instance, order string) error {
	p.logged[slices.Index(p.instances, i)].Store(0)
	return i.start(ctx, fmt.Sprintf("CAROM_FAILPOINT_PANIC=%d%s", panicEvery, order))
}

// instance makes one.
func (p *panicking) instance(binary string, vars ...string) (*instance, error) {
	i, err := p.env.newInstance(append(vars, fmt.Sprintf("CAROM_CACHE_TTL=%v", panicTTL), "CAROM_TRUSTED_PROXIES=127.0.0.1/32",
		fmt.Sprintf("CAROM_RATE_LIMIT_REDIRECTS=%d/s", panicLimit), fmt.Sprintf("CAROM_RATE_LIMIT_UNKNOWN=%d/s", panicLimit))...)
	if err != nil {
		return nil, err
	}
	i.binary = binary
	logged := &atomic.Int64{}
	i.heed = func(line []byte) bool {
		place, asked := p.said.heed(line)
		if place != "" && !strings.HasPrefix(place, "monitor/") { // which is counted as a restart
			logged.Add(1)
		}
		return !asked
	}
	p.instances, p.logged = append(p.instances, i), append(p.logged, logged)
	return i, nil
}

func (p *panicking) makeLinks(ctx context.Context) error {
	few := linksOf("few", panicFew)
	for k := range few {
		few[k].visits = panicVisits
	}
	links := slices.Concat(linksOf("hot", panicHot), linksOf("edited", panicEdited), few, linksOf("cold", pick(p.env, 400, 5_000)))
	api := p.instances[0].api
	if _, err := storeLinks(ctx, api, links); err != nil {
		return err
	}
	p.oracle = newOracle(links)
	p.oracle.limited = true
	p.paths = make([]string, panicEdited+panicFew)
	stored, err := api.Links(ctx)
	if err != nil {
		return err
	}
	for _, l := range stored {
		if at := p.oracle.index[l.Code] - panicHot; at >= 0 && at < len(p.paths) {
			p.paths[at] = l.Path()
		}
	}
	return nil
}

// warm has the hot links be in memory. They stay there, and have no panic to fear.
func (p *panicking) warm(ctx context.Context) error {
	for _, i := range p.instances {
		for k := range panicHot {
			if err := p.have(ctx, i, k); err != nil {
				return err
			}
		}
	}
	return nil
}

// have visits a link until it leads there.
func (p *panicking) have(ctx context.Context, i *instance, index int) error {
	code := p.oracle.links[index].code
	return until(ctx, code+" is answered", patience, func() (bool, error) {
		status, err := p.visit(i, index)
		return status == 302, err
	})
}

// next is another request's number, which the oracle does not look at.
func (p *panicking) next() int { return p.oracle.send(0) }

// visit asks for a link once.
func (p *panicking) visit(i *instance, index int) (status int, err error) {
	id := p.oracle.send(index)
	r, err := i.ask(p.oracle.links[index].code, id)
	if err != nil {
		return 0, err
	}
	p.oracle.answer(id, r.Status, string(r.Location))
	return r.Status, nil
}

// endure lets visitors of all kinds come, links be edited and the database halt, for d and until all was counted that is to be, and
// until there was a panic at each of the places, or for patience. Only who asks for what is not in memory may be asked to come again.
func (p *panicking) endure(ctx context.Context, d time.Duration, places ...string) error {
	if err := p.warm(ctx); err != nil {
		return err
	}
	var turn atomic.Uint64
	addr := func() string { return p.instances[turn.Add(1)%uint64(len(p.instances))].addr }
	hot := startLoad(ctx, p.oracle, loadConfig{addr: addr, rate: panicHotRate, connections: 8, from: addrHot, choose: func(n int) int { return n % panicHot }})
	defer hot.stop()
	crowd := startLoad(ctx, p.oracle, loadConfig{addr: addr, rate: panicRate, connections: 64, from: addrCrowd, choose: p.choose})
	defer crowd.stop()
	unknown := startLoad(ctx, p.oracle, loadConfig{
		addr: addr, rate: panicRate, connections: 64, from: addrUnknown, code: func(n int) string { return fmt.Sprintf("unknown-%d", n) },
	})
	defer unknown.stop()
	hits, asked, scanned := hot.current.Load(), crowd.current.Load(), unknown.current.Load()

	began := time.Now()
	for n := 0; time.Since(began) < d || time.Since(began) < patience && p.said.lack(places); n++ {
		if err := p.disturb(ctx, n); err != nil {
			return err
		}
	}
	hot.stop()
	crowd.stop()
	unknown.stop()
	for status := range p.crowd {
		p.crowd[status] += asked.status(status)
		p.unknown[status] += scanned.status(status)
	}
	if n := hits.failed.Load() + asked.failed.Load() + scanned.failed.Load(); n > 0 {
		return fmt.Errorf("%d requests got no answer", n)
	}
	if n := hits.status(503); n > 0 {
		return fmt.Errorf("of those who asked for what was in memory, %d were redirected and %d got 503", hits.status(302), n)
	}
	return p.settled(ctx)
}

// choose is the n-th link that the crowd asks for.
func (p *panicking) choose(n int) int {
	switch {
	case n%8 == 0:
		const first = panicHot + panicEdited + panicFew
		return first + int(p.cold.Add(1)-1)%(len(p.oracle.links)-first)
	case n%4 == 1:
		return panicHot + panicEdited + n/128%panicFew // the same from both instances, until it is used up
	}
	return panicHot + n%panicEdited
}

// disturb edits links, many at once from time to time, and lets the database halt for a moment, so that queries are late.
func (p *panicking) disturb(ctx context.Context, n int) error {
	api := p.instances[n%len(p.instances)].api
	if err := api.Edit(ctx, p.paths[n%len(p.paths)], map[string]any{"title": fmt.Sprint("edit ", n)}); err != nil {
		return fmt.Errorf("edit: %w", err)
	}
	if n%5 == 0 {
		if err := p.borrow(ctx, n/5); err != nil {
			return err
		}
	}
	if n%20 == 0 {
		if _, err := storeLinks(ctx, api, linksOf(fmt.Sprintf("more%d-%d-", n, p.oracle.tally().sent), 300)); err != nil {
			return err
		}
	}
	if p.postgres != nil && n%10 == 0 {
		if err := p.postgres.signal(syscall.SIGSTOP); err != nil {
			return err
		}
		if err := errors.Join(wait(ctx, 50*time.Millisecond), p.postgres.signal(syscall.SIGCONT)); err != nil {
			return err
		}
	}
	return wait(ctx, 20*time.Millisecond)
}

// borrow has an instance lease visits, and give what is left of them back as the link is edited.
func (p *panicking) borrow(ctx context.Context, n int) error {
	i, few := p.instances[n%len(p.instances)], n%panicFew
	if _, err := p.visit(i, panicHot+panicEdited+few); err != nil {
		return err
	}
	return i.api.Edit(ctx, p.paths[panicEdited+few], map[string]any{"title": fmt.Sprint("borrowed ", n)})
}
