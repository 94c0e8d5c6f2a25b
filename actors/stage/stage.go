// Package stage is the one wrapper around the actor library: it runs our actors so that none of the library's rough edges
// reaches them. It is the only package that imports Hollywood.
//
// What it does about each of them: messages wait in a bounded mailbox of ours and the library's unbounded inbox carries only a
// wake-up; a panic is caught per message, so that no other message is lost, no state is thrown away and no restart is needed;
// restarts are unlimited all the same; an actor is drained before it is stopped, and stopped once; one permanent monitor
// listens to the library's events.
package stage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anthdm/hollywood/actor"
)

// Config is what a Stage needs. The zero value works.
type Config struct {
	Logger *slog.Logger // nil: slog.Default
	// OnFault is called for each panic of an actor and each restart, on the actor's goroutine. It must not block. nil: nobody.
	OnFault func(actorName string)
}

const (
	// inboxSize is the library's ring for wake-ups. It holds one a mailbox, and a drain; 64 keeps an actor at 2.5 kB.
	inboxSize = 64
	// restartDelay is how long the library pauses an actor that it restarts; its default of 500 ms would shed for as long.
	restartDelay = 10 * time.Millisecond
)

// Stage runs actors. Made by New, ended by Stop. Safe for concurrent use.
type Stage struct {
	sys     *actor.Engine
	log     *slog.Logger
	onFault func(string)
	monitor *actor.PID

	mu      sync.Mutex
	players []player // guarded by mu; in the order of their spawning
	stopped bool     // guarded by mu

	workers     sync.WaitGroup
	jobs        chan job      // to a worker that rests
	resting     atomic.Int64  // workers
	ended       chan struct{} // closed by Stop: workers that rest go
	deadLetters atomic.Int64
	restarts    atomic.Int64
	panics      atomic.Int64 // of workers
}

type player interface {
	Drain(ctx context.Context) error
	Stats() ActorStats
}

// New makes a stage without actors.
func New(cfg Config) (*Stage, error) {
	sys, err := actor.NewEngine(actor.NewEngineConfig())
	if err != nil {
		return nil, fmt.Errorf("make the actor engine: %w", err)
	}
	s := &Stage{sys: sys, log: cfg.Logger, onFault: cfg.OnFault, jobs: make(chan job), ended: make(chan struct{})}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.onFault == nil {
		s.onFault = func(string) {}
	}
	declareEvents(s)
	s.monitor = sys.SpawnFunc(s.observe, "monitor", options("monitor")...)
	sys.Subscribe(s.monitor)
	return s, nil
}

func options(name string) []actor.OptFunc {
	return []actor.OptFunc{
		actor.WithID(name), actor.WithInboxSize(inboxSize), actor.WithRestartDelay(restartDelay),
		// The library kills the process at the restart that reaches this number; it never reaches -1.
		actor.WithMaxRestarts(-1),
	}
}

// observe is the monitor's Receive. It is subscribed for as long as the stage lives: the library floods itself with dead
// letters when a subscriber is gone.
func (s *Stage) observe(c *actor.Context) {
	observing(s, c.Message(), "before")
	s.note(c.Message())
	observing(s, c.Message(), "behind")
}

// note counts what the library tells.
func (s *Stage) note(message any) {
	switch event := message.(type) {
	case actor.DeadLetterEvent:
		s.deadLetters.Add(1)
	case actor.ActorRestartedEvent:
		s.restarts.Add(1)
		s.onFault(event.PID.GetID())
	case actor.ActorDuplicateIdEvent:
		s.log.Error("two actors have one name", "actor", event.PID.GetID())
	}
}

// job is what a worker is given.
type job struct {
	name   string
	work   func()
	failed func(err error)
}

// restingMax workers stay for the next job. The stack of a new goroutine is grown and copied several times on its way down to a socket, which
// costs as much as a small query (BenchmarkColdLinks).
const restingMax = 8

// Go runs work on a goroutine that has nothing else to do meanwhile: for what would block an actor. It never blocks. Stop waits for the
// work. A panic in it is logged, counted and handed to failed, which may be nil.
func (s *Stage) Go(name string, work func(), failed func(err error)) {
	j := job{name, work, failed}
	select {
	case s.jobs <- j:
	default:
		s.workers.Go(func() { s.serve(j) })
	}
}

// serve does j, and what comes after it for as long as few enough others rest.
func (s *Stage) serve(j job) {
	labels := ""
	for {
		if j.name != labels {
			labels = j.name
			pprof.SetGoroutineLabels(labelled("worker", labels))
		}
		if v := s.guard(j.name, j.work); v != nil && j.failed != nil {
			s.guard(j.name, func() { j.failed(fmt.Errorf("worker %s panicked: %v", j.name, v)) })
		}
		j = job{} // what it holds is free while this rests
		if s.resting.Add(1) > restingMax {
			s.resting.Add(-1)
			return
		}
		select {
		case j = <-s.jobs:
			s.resting.Add(-1)
		case <-s.ended:
			return
		}
	}
}

// labelled carries a label for the profiles of the goroutine that it is set on. Shards are one kind: the label has few values.
func labelled(label, name string) context.Context {
	kind, _, _ := strings.Cut(name, "-")
	return pprof.WithLabels(context.Background(), pprof.Labels(label, kind))
}

// guard runs work and returns what it panicked with.
func (s *Stage) guard(name string, work func()) (panicked any) {
	defer func() {
		if panicked = recover(); panicked != nil {
			s.panics.Add(1)
			s.log.Error("worker panicked", "worker", name, "panic", fmt.Sprint(panicked), "stack", stack())
			s.onFault(name)
		}
	}()
	work()
	return nil
}

// Every calls tick each interval until ctx ends, on a goroutine of its own that Stop waits for; tick must not block.
func (s *Stage) Every(ctx context.Context, interval time.Duration, tick func()) {
	s.workers.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				tick()
			}
		}
	})
}

// Stop drains and ends the actors, the last one spawned first, and waits for the workers; ctx bounds all of it. A second call
// does nothing.
func (s *Stage) Stop(ctx context.Context) error {
	s.mu.Lock()
	players := s.players
	stopped := s.stopped
	s.stopped = true
	s.mu.Unlock()
	if stopped {
		return nil
	}
	var errs []error
	for i := len(players) - 1; i >= 0; i-- {
		if err := players[i].Drain(ctx); err != nil {
			errs = append(errs, err)
		}
	}
	close(s.ended)
	done := make(chan struct{})
	go func() {
		s.workers.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		errs = append(errs, fmt.Errorf("wait for workers: %w", ctx.Err()))
	}
	s.sys.Unsubscribe(s.monitor)
	if err := wait(ctx, s.sys.Poison(s.monitor)); err != nil {
		errs = append(errs, fmt.Errorf("stop the monitor: %w", err))
	}
	return errors.Join(errs...)
}

// enlist notes an actor, so that Stop finds it.
func (s *Stage) enlist(name string, p player) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, other := range s.players {
		if other.Stats().Name == name {
			panic("BUG: two actors are named " + name)
		}
	}
	s.players = append(s.players, p)
}

// wait waits for the library to say that an actor is gone, within ctx: the library itself would wait for ever.
func wait(ctx, gone context.Context) error {
	select {
	case <-gone.Done():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stats are a stage's figures.
type Stats struct {
	Actors       []ActorStats
	DeadLetters  int64
	Restarts     int64
	WorkerPanics int64
}

// Stats reads the figures. Safe for concurrent use.
func (s *Stage) Stats() Stats {
	s.mu.Lock()
	players := s.players
	s.mu.Unlock()
	st := Stats{DeadLetters: s.deadLetters.Load(), Restarts: s.restarts.Load(), WorkerPanics: s.panics.Load()}
	for _, p := range players {
		st.Actors = append(st.Actors, p.Stats())
	}
	return st
}
