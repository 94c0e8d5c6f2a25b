package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"
)

// soakRows is the row that lasts.
func soakRows() []row {
	return []row{{
		id: "S1", fault: "soak: two instances on Postgres and Redis under load; kill -9, restarts, and services stopped, killed and restarted in turn",
		bar: "each answered click stored once; memory slope <= 1 MiB an hour after warm-up; goroutines and descriptors flat", short: true, run: soak,
		long: readTime(soakRequestsMax),
	}}
}

const (
	// soakRequestsMax bounds a soak, however long it is: the oracle keeps each request to the end, in 8 bytes (800 MB, and some 2 GB with what
	// the collector leaves), and Postgres keeps its click. Two hours are 13,888 a second, eight are 3,472.
	soakRequestsMax = 100_000_000
	// soakRequestsShort bounds the short form, so that reading clicks back takes less than a minute. Two minutes are 20,000 a second.
	soakRequestsShort = 2_400_000
	// soakClickBytes is the disk that a click is given: in Postgres with its index it takes 172 bytes. Of what is free, clicks may take
	// half: there is Postgres' log, of 1 GiB, and what waits in a journal while Postgres is slow. So 100 million clicks take 17 GB, and want
	// 50 GB to be free.
	soakClickBytes = 250
	// soakRecordBytes is what a click takes in a journal, with room to spare: 16 million with usual headers take 2 GiB.
	soakRecordBytes = 160
	// soakJournalMin is the least journal that an instance gets, as the search for saturation needs room too: what is usual.
	soakJournalMin = 2 << 30
	// soakReadMin is how many clicks a second are stored and read back at the least. Two cores that do nothing else read 100,000.
	soakReadMin = 20_000
	// soakConnectionLife is how soon a connection is replaced by one to the other instance: with connections that stay, all visitors of the
	// one that dies would be at the other one from its first death on, and its later deaths would meet nobody.
	soakConnectionLife = time.Second
	// soakSlopeMax is the bar on memory, in bytes an hour.
	soakSlopeMax = 1 << 20
	// soakSlopeFrom is how long a soak has to be for its slope to mean anything: in minutes, the collector's rhythm is all that it shows.
	// In a shorter one it is told and not judged.
	soakSlopeFrom = time.Hour
	// soakSlackMax is how many goroutines and descriptors more there may be at the end than at the beginning: connections come and go.
	soakSlackMax = 16
	// soakConnections are the visitors'. Half of them are at each instance, and come to the other one while theirs is away.
	soakConnections = 32
)

// soaked is what a soak has running. The first instance dies again and again, the second one is to live all the time, and is measured.
type soaked struct {
	env             *env
	postgres, redis *service
	mortal, steady  *instance
	pause           time.Duration // between two faults
	requests        int           // that the soak may send at most
	faults          map[string]int
}

// soak finds what both instances answer while nothing is wrong, sends half of that while it makes one fault after the other for the
// duration, heals everything, and judges.
func soak(ctx context.Context, e *env) (string, bool, error) {
	s := &soaked{env: e, faults: map[string]int{}, pause: min(max(e.soak/60, 2*time.Second), 30*time.Second)}
	if err := s.start(ctx); err != nil {
		return "", false, err
	}
	links, err := makeLinks(ctx, s.steady.api, "s", 256)
	if err != nil {
		return "", false, err
	}
	o := newOracle(links)
	saturation, err := s.saturate(ctx, o)
	if err != nil {
		return o.tally().String(), false, err
	}
	rate := soakRate(saturation, s.requests, e.soak)
	o.expect(int(float64(rate) * e.soak.Seconds()))
	l := s.load(ctx, o, rate)
	defer l.stop()

	watch := &watch{instance: s.steady}
	watching, enough := context.WithCancel(ctx)
	watched := make(chan error, 1)
	go func() { watched <- watch.run(watching, min(max(e.soak/200, time.Second), 10*time.Second)) }()
	err = s.disturb(ctx, time.Now().Add(e.soak))
	enough()
	err = errors.Join(err, <-watched)
	p := l.current.Load()
	l.stop()
	if err != nil {
		return o.tally().String(), false, err
	}
	// Each may hold clicks in its journal that a fault at the end has kept there.
	if err := s.mortal.start(ctx); err != nil {
		return o.tally().String(), false, err
	}
	t, err := o.check(ctx, s.steady.api, readTime(o.tally().answered))
	if err != nil {
		return t.String(), false, err
	}
	r := watch.result()
	figure := fmt.Sprintf("%v at %d a second, of %.0f that are answered without a fault, %s: %v; answers p99 %v; memory %.1f -> %.1f MiB, slope %+.2f MiB/h; goroutines %d -> %d, descriptors %d -> %d",
		e.soak, rate, saturation, s.told(), t, p.latency.quantile(0.99).Round(time.Millisecond), float64(r.first.anonymous)/(1<<20), float64(r.last.anonymous)/(1<<20), r.slope/(1<<20),
		r.first.goroutines, r.last.goroutines, r.first.descriptor, r.last.descriptor)
	flat := r.slope <= soakSlopeMax || e.soak < soakSlopeFrom
	held := flat && r.last.goroutines <= r.first.goroutines+soakSlackMax && r.last.descriptor <= r.first.descriptor+soakSlackMax+soakConnections/2
	return figure, held, errors.Join(s.mortal.stop(), s.steady.stop())
}

func (s *soaked) start(ctx context.Context) (err error) {
	if s.postgres, err = s.env.startPostgres(ctx); err != nil {
		return err
	}
	if s.redis, err = s.env.startRedis(ctx); err != nil {
		return err
	}
	free, err := s.env.freeBytes()
	if err != nil {
		return err
	}
	s.requests = min(pick(s.env, soakRequestsShort, soakRequestsMax), int(free/2/soakClickBytes))
	// Either journal has room for all clicks: one that is dropped would be one that is lost, however slow the machine's Postgres is.
	room := max(s.requests*soakRecordBytes, soakJournalMin)
	vars := []string{"DATABASE_URL=" + s.postgres.url, "REDIS_URL=" + s.redis.url, fmt.Sprintf("CAROM_JOURNAL_BYTES=%d", room)}
	if s.steady, err = s.env.startInstance(ctx, vars...); err != nil {
		return err
	}
	s.mortal, err = s.env.startInstance(ctx, vars...)
	return err
}

// load begins to send to both instances.
func (s *soaked) load(ctx context.Context, o *oracle, rate int) *load {
	var turn atomic.Uint64
	return startLoad(ctx, o, loadConfig{rate: rate, connections: soakConnections, life: soakConnectionLife, addr: func() string {
		if turn.Add(1)%2 == 0 {
			return s.mortal.addr
		}
		return s.steady.addr
	}})
}

// saturate finds how many answers a second both instances give to the load that a soak sends, and waits until all clicks of that are stored.
func (s *soaked) saturate(ctx context.Context, o *oracle) (float64, error) {
	search := &overload{e: s.env, i: s.steady, status: 302, long: pick(s.env, 500*time.Millisecond, 5*time.Second), start: func(rate int) *load {
		return s.load(ctx, o, rate)
	}}
	most, _, err := search.saturate(ctx)
	if err != nil {
		return 0, fmt.Errorf("look for saturation: %w", err)
	}
	return most, o.await(ctx, s.steady.api, readTime(o.tally().answered))
}

// soakRate is how many requests a second a soak of d sends: half of what is answered, but no more than make requests in that time.
func soakRate(saturation float64, requests int, d time.Duration) int {
	return max(int(min(saturation/2, float64(requests)/d.Seconds())), 1)
}

// readTime is how long so many clicks may take until they are stored and have been read back.
func readTime(clicks int) time.Duration {
	return patience + time.Duration(clicks/soakReadMin)*time.Second
}

// disturb makes all faults in turn until the end, and leaves everything healed.
func (s *soaked) disturb(ctx context.Context, end time.Time) error {
	again := func(err error) error { return errors.Join(err, s.mortal.start(ctx)) }
	stopFor := func(one *service) func() error {
		return func() error {
			if err := one.signal(syscall.SIGSTOP); err != nil {
				return err
			}
			return errors.Join(wait(ctx, s.pause), one.signal(syscall.SIGCONT))
		}
	}
	killFor := func(one *service) func() error {
		return func() error {
			if err := one.kill(); err != nil {
				return err
			}
			return errors.Join(wait(ctx, s.pause), one.start(ctx))
		}
	}
	faults := []struct {
		what string
		make func() error
	}{
		{"kill -9", func() error { return again(s.mortal.kill()) }},
		{"Redis stopped", stopFor(s.redis)},
		{"restart", func() error { return again(s.mortal.stop()) }},
		{"Postgres stopped", stopFor(s.postgres)},
		{"kill -9 while Postgres is away", func() error {
			if err := errors.Join(s.postgres.stop(), s.mortal.kill(), wait(ctx, s.pause)); err != nil {
				return err
			}
			return again(s.postgres.start(ctx))
		}},
		{"Redis killed", killFor(s.redis)},
		{"Postgres killed", killFor(s.postgres)},
	}
	for n := 0; time.Now().Before(end); n++ {
		if err := wait(ctx, min(s.pause, time.Until(end))); err != nil {
			return err
		}
		f := faults[n%len(faults)]
		if err := f.make(); err != nil {
			return fmt.Errorf("fault %q: %w", f.what, err)
		}
		s.faults[f.what]++
		if !s.steady.running() {
			return fmt.Errorf("fault %q: the instance that was left alone is gone", f.what)
		}
	}
	return nil
}

func (s *soaked) told() string {
	sum := 0
	for _, n := range s.faults {
		sum += n
	}
	return fmt.Sprintf("%d faults of %d kinds", sum, len(s.faults))
}
