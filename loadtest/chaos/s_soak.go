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
	}}
}

const (
	// soakRate keeps every request in the oracle's memory for hours. It is far below half of what two cores answer: O7 and k6 have those rates.
	soakRate = 1000
	// soakSlopeMax is the bar on memory, in bytes an hour.
	soakSlopeMax = 1 << 20
	// soakSlopeFrom is how long a soak has to be for its slope to mean anything: in minutes, the collector's rhythm is all that it shows.
	// In a shorter one it is told and not judged.
	soakSlopeFrom = time.Hour
	// soakSlackMax is how many goroutines and descriptors more there may be at the end than at the beginning: connections come and go.
	soakSlackMax = 16
)

// soaked is what a soak has running. The first instance dies again and again, the second one is to live all the time, and is measured.
type soaked struct {
	env             *env
	postgres, redis *service
	mortal, steady  *instance
	pause           time.Duration // between two faults
	faults          map[string]int
}

// soak makes one fault after the other for the duration, heals everything, and judges.
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
	var turn atomic.Uint64
	addr := func() string {
		if turn.Add(1)%2 == 0 {
			return s.mortal.addr
		}
		return s.steady.addr
	}
	l := startLoad(ctx, o, loadConfig{addr: addr, rate: soakRate})
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
	t, err := o.check(ctx, s.steady.api, patience+e.soak/4)
	if err != nil {
		return t.String(), false, err
	}
	r := watch.result()
	figure := fmt.Sprintf("%v at %d a second, %s: %v; answers p99 %v; memory %.1f -> %.1f MiB, slope %+.2f MiB/h; goroutines %d -> %d, descriptors %d -> %d",
		e.soak, soakRate, s.told(), t, p.latency.quantile(0.99).Round(time.Millisecond), float64(r.first.anonymous)/(1<<20), float64(r.last.anonymous)/(1<<20), r.slope/(1<<20),
		r.first.goroutines, r.last.goroutines, r.first.descriptor, r.last.descriptor)
	flat := r.slope <= soakSlopeMax || e.soak < soakSlopeFrom
	held := flat && r.last.goroutines <= r.first.goroutines+soakSlackMax && r.last.descriptor <= r.first.descriptor+soakSlackMax
	return figure, held, errors.Join(s.mortal.stop(), s.steady.stop())
}

func (s *soaked) start(ctx context.Context) (err error) {
	if s.postgres, err = s.env.startPostgres(ctx); err != nil {
		return err
	}
	if s.redis, err = s.env.startRedis(ctx); err != nil {
		return err
	}
	vars := []string{"DATABASE_URL=" + s.postgres.url, "REDIS_URL=" + s.redis.url}
	if s.steady, err = s.env.startInstance(ctx, vars...); err != nil {
		return err
	}
	s.mortal, err = s.env.startInstance(ctx, vars...)
	return err
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
