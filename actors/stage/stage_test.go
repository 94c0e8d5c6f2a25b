package stage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anthdm/hollywood/actor"
)

// probe is a behavior made of functions.
type probe struct{ receive, failed func(int) }

func (p probe) Receive(m int) { p.receive(m) }

func (p probe) Failed(m int) {
	if p.failed != nil {
		p.failed(m)
	}
}

func newStage(t *testing.T, onFault func(string)) *Stage {
	t.Helper()
	s, err := New(Config{Logger: slog.New(slog.DiscardHandler), OnFault: onFault})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Errorf("Stop = %v", err)
		}
	})
	return s
}

func TestMessagesArriveOnceInOrder(t *testing.T) {
	s := newStage(t, nil)
	var got []int
	m := Spawn(s, "a", 1<<20, probe{receive: func(i int) { got = append(got, i) }})
	const n = 50_000
	for i := range n {
		if !m.TrySend(i) {
			t.Fatal("TrySend refused below the bound")
		}
	}
	if err := m.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(got) != n {
		t.Fatalf("%d messages arrived, want %d", len(got), n)
	}
	for i, v := range got {
		if v != i {
			t.Fatalf("message %d arrived in place %d", v, i)
		}
	}
}

func TestAFullMailboxRefuses(t *testing.T) {
	s := newStage(t, nil)
	entered, release := make(chan struct{}), make(chan struct{})
	var handled atomic.Int64
	m := Spawn(s, "a", 3, probe{receive: func(i int) {
		if i == 0 {
			close(entered)
			<-release
		}
		handled.Add(1)
	}})
	m.TrySend(0)
	<-entered
	for i := range 3 {
		if !m.TrySend(i + 1) {
			t.Fatalf("message %d was refused below the bound", i+1)
		}
	}
	if m.TrySend(4) {
		t.Error("a message over the bound was taken")
	}
	if !m.Post(5) {
		t.Error("Post was refused by the bound")
	}
	if st := m.Stats(); st.Depth != 4 || st.Shed != 1 || st.Max != 3 {
		t.Errorf("Stats = %+v, want depth 4, shed 1, max 3", st)
	}
	close(release)
	if err := m.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if handled.Load() != 5 {
		t.Errorf("%d messages were handled, want 5", handled.Load())
	}
	if m.TrySend(6) || m.Post(7) {
		t.Error("a drained mailbox takes messages")
	}
}

// TestPoisonMessages sends 1,000 messages whose handling panics among 1,000 others: without the wrapper the library ends the
// process at the fourth.
func TestPoisonMessages(t *testing.T) {
	var faults atomic.Int64
	s := newStage(t, func(string) { faults.Add(1) })
	state, failed := 0, map[int]bool{}
	m := Spawn(s, "a", 1<<20, probe{
		receive: func(i int) {
			if i%2 == 0 {
				panic(fmt.Sprint("poison ", i))
			}
			state++
		},
		failed: func(i int) {
			failed[i] = true
			if i%4 == 0 {
				panic("and so does its undertaker")
			}
		},
	})
	for i := range 2000 {
		m.TrySend(i)
	}
	if err := m.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if state != 1000 || len(failed) != 1000 {
		t.Errorf("%d good messages handled and %d failures told, want 1000 and 1000", state, len(failed))
	}
	if st := m.Stats(); st.Panics != 1500 || st.Messages != 2000 || faults.Load() != 1500 {
		t.Errorf("Stats = %+v and %d faults, want 1500 panics, 2000 messages, 1500 faults", st, faults.Load())
	}
}

// TestDeadSubscriberDoesNotFlood subscribes an actor to the library's events and lets it die without unsubscribing.
func TestDeadSubscriberDoesNotFlood(t *testing.T) {
	s := newStage(t, nil)
	pid := s.sys.SpawnFunc(func(*actor.Context) {}, "subscriber", options("subscriber")...)
	s.sys.Subscribe(pid)
	<-s.sys.Poison(pid).Done()
	var handled atomic.Int64
	m := Spawn(s, "a", 16, probe{receive: func(int) { handled.Add(1) }})
	m.TrySend(1)
	if err := m.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if handled.Load() != 1 {
		t.Error("the actor does not answer")
	}
	s.sys.Unsubscribe(pid)
}

func TestConcurrentSendersLoseNothing(t *testing.T) {
	s := newStage(t, nil)
	var sum atomic.Int64
	m := Spawn(s, "a", 64, probe{receive: func(i int) { sum.Add(int64(i)) }})
	var senders sync.WaitGroup
	var want atomic.Int64
	for range 8 {
		senders.Go(func() {
			for i := range 5000 {
				if m.TrySend(i) {
					want.Add(int64(i))
				}
			}
		})
	}
	senders.Wait()
	if err := m.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if sum.Load() != want.Load() {
		t.Errorf("sum = %d, want %d", sum.Load(), want.Load())
	}
}

func TestDrainAndStopAreBounded(t *testing.T) {
	s, err := New(Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	release, entered := make(chan struct{}), make(chan struct{})
	m := Spawn(s, "stuck", 4, probe{receive: func(int) { close(entered); <-release }})
	m.TrySend(1)
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Drain(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "stuck") {
		t.Errorf("Drain of a stuck actor = %v, want the actor's name and the context's error", err)
	}
	if err := m.Drain(ctx); err != nil {
		t.Errorf("second Drain = %v, want nil", err)
	}
	close(release)
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("Stop = %v", err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("second Stop = %v", err)
	}
}

func TestWorkerPanicIsToldAndLogged(t *testing.T) {
	var log bytes.Buffer
	s, err := New(Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan error, 1)
	s.Go("bad", func() { panic("boom") }, func(err error) { told <- err })
	if err := <-told; !strings.Contains(err.Error(), "boom") {
		t.Errorf("failed is told %v", err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.Stats().WorkerPanics != 1 || !strings.Contains(log.String(), "worker panicked") {
		t.Errorf("panics = %d, log = %q", s.Stats().WorkerPanics, log.String())
	}
}

func TestEveryTicksUntilItsContextEnds(t *testing.T) {
	s := newStage(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	ticks := make(chan struct{})
	s.Every(ctx, time.Millisecond, func() {
		select {
		case ticks <- struct{}{}:
		case <-ctx.Done():
		}
	})
	for range 3 {
		<-ticks
	}
	cancel()
}

func TestTwoActorsOfOneNameAreABug(t *testing.T) {
	s := newStage(t, nil)
	Spawn(s, "a", 1, probe{})
	defer func() {
		if v := recover(); v == nil || !strings.Contains(fmt.Sprint(v), "BUG") {
			t.Errorf("second Spawn recovered %v, want a BUG panic", v)
		}
	}()
	Spawn(s, "a", 1, probe{})
}
