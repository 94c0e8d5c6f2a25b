package stage

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anthdm/hollywood/actor"
)

// Behavior is what an actor is: how it takes messages of type M. Its methods run one at a time, never concurrently. Its state
// lives in it, outside the library's receiver, so nothing that the library does to an actor can lose it.
type Behavior[M any] interface {
	// Receive handles one message. It must not block: no I/O, no waiting. A panic costs this message alone.
	Receive(m M)
	// Failed is told of a message whose Receive panicked, so that whoever waits for it can be answered.
	Failed(m M)
}

// Settler is a Behavior that has something to do once for all the messages that were at hand together, such as asking one question
// instead of many. Settle is called like Receive, after the last of them, also when one of them panicked; once more when it panics itself.
type Settler interface {
	Settle()
}

// Mailbox is an actor and the bounded queue in front of it. Safe for concurrent use.
type Mailbox[M any] struct {
	stage    *Stage
	name     string
	pid      *actor.PID
	labels   context.Context // the actor's name, for profiles
	max      int
	behavior Behavior[M]
	settler  Settler // nil: the behavior is none

	mu     sync.Mutex
	queue  []M  // guarded by mu
	awake  bool // guarded by mu: a wake-up is on its way or being handled
	rests  bool // guarded by mu: awake, and waits for more
	closed bool // guarded by mu

	more  chan struct{} // ends a rest; capacity 1
	spare []M           // owned by the actor

	depth    atomic.Int64
	messages atomic.Int64
	panics   atomic.Int64
	shed     atomic.Int64
	busy     atomic.Int64 // nanoseconds in Receive
	since    atomic.Int64 // when the batch at hand was taken up, Unix nanoseconds; 0: idle
}

// What the library's inbox carries.
type (
	wake  struct{}
	drain struct{ done chan struct{} }
)

// Spawn starts an actor whose mailbox takes up to max messages by TrySend. The name is unique on the stage.
func Spawn[M any](s *Stage, name string, max int, behavior Behavior[M]) *Mailbox[M] {
	m := &Mailbox[M]{stage: s, name: name, labels: labelled("actor", name), max: max, behavior: behavior, more: make(chan struct{}, 1)}
	m.settler, _ = behavior.(Settler)
	s.enlist(name, m)
	declareMailbox[M](s, name, m.settler != nil)
	// Nothing is sent before pid is set: the caller has no Mailbox yet.
	m.pid = s.sys.SpawnFunc(m.run, name, options(name)...)
	return m
}

// TrySend queues msg and returns true; false when the mailbox is full or closed, and msg is still the caller's.
func (m *Mailbox[M]) TrySend(msg M) bool { return m.put(msg, m.max) }

// Post queues msg over the bound: for messages whose number another bound holds already, such as answers to what this actor asked
// for. false only when the mailbox is closed.
func (m *Mailbox[M]) Post(msg M) bool { return m.put(msg, int(^uint(0)>>1)) }

func (m *Mailbox[M]) put(msg M, max int) bool {
	m.mu.Lock()
	if m.closed || len(m.queue) >= max {
		m.mu.Unlock()
		m.shed.Add(1)
		return false
	}
	m.queue = append(m.queue, msg)
	m.depth.Store(int64(len(m.queue)))
	wakeUp, rested := !m.awake, m.rests
	m.awake, m.rests = true, false
	m.mu.Unlock()
	switch {
	case rested:
		m.more <- struct{}{}
	case wakeUp:
		m.stage.sys.Send(m.pid, wake{})
	}
	return true
}

// run is the library's Receive.
func (m *Mailbox[M]) run(c *actor.Context) {
	switch msg := c.Message().(type) {
	case actor.Started:
		// It comes after a restart too, which lost the wake-up that it interrupted. At first it comes on the goroutine that spawns
		// the actor, so it leaves that one's labels alone and does not stay.
		m.work(false)
	case wake:
		pprof.SetGoroutineLabels(m.labels)
		m.work(true)
	case drain:
		pprof.SetGoroutineLabels(m.labels)
		m.work(false)
		close(msg.done)
	}
}

// work handles messages until none is left, or, where it is to stay, until the mailbox is closed. The library runs an actor on a new
// goroutine whenever it wakes it up, whose stack is grown and copied anew on its way down: more than most messages cost (BenchmarkColdLinks).
func (m *Mailbox[M]) work(stay bool) {
	for {
		if m.settler != nil {
			// Who is about to send does so first, and more is settled at once. With nobody about, this returns at once.
			runtime.Gosched()
		}
		m.mu.Lock()
		batch := m.queue
		m.queue = m.spare[:0]
		m.depth.Store(0)
		if len(batch) == 0 {
			m.spare = batch
			m.rests = stay && !m.closed
			m.awake = m.rests
			rests := m.rests
			m.mu.Unlock()
			if !rests {
				return
			}
			<-m.more
			continue
		}
		m.mu.Unlock()
		start := time.Now()
		m.since.Store(start.UnixNano())
		for i := range batch {
			m.receive(batch[i])
		}
		if m.settler != nil && !m.settle() {
			// What waits would wait for the next message, which may never come.
			m.settle()
		}
		m.busy.Add(int64(time.Since(start)))
		m.since.Store(0)
		m.messages.Add(int64(len(batch)))
		clear(batch)
		if m.spare = batch; cap(batch) > spareMax {
			m.spare = nil
		}
	}
}

// spareMax messages of room are kept between bursts; a flood's queue is given back to the collector.
const spareMax = 4096

func (m *Mailbox[M]) receive(msg M) {
	defer func() {
		if v := recover(); v != nil {
			m.panicked(v)
			m.failed(msg)
		}
	}()
	before(m.stage, m.name, msg)
	m.behavior.Receive(msg)
	behind(m.stage, m.name, msg)
}

// settle reports whether Settle did not panic.
func (m *Mailbox[M]) settle() (settled bool) {
	defer func() {
		if v := recover(); v != nil {
			m.panicked(v)
		}
	}()
	settling(m.stage, m.name, "before")
	m.settler.Settle()
	settling(m.stage, m.name, "behind")
	return true
}

func (m *Mailbox[M]) panicked(v any) {
	m.panics.Add(1)
	m.stage.log.Error("actor panicked", "actor", m.name, "panic", fmt.Sprint(v), "stack", stack())
	m.stage.onFault(m.name)
}

func (m *Mailbox[M]) failed(msg M) {
	defer func() {
		if v := recover(); v != nil {
			m.panicked(v)
		}
	}()
	m.behavior.Failed(msg)
}

// Drain refuses new messages, waits until those queued are handled, and ends the actor. ctx bounds the wait. A second call
// returns at once.
func (m *Mailbox[M]) Drain(ctx context.Context) error {
	m.mu.Lock()
	closed, rested := m.closed, m.rests
	m.closed, m.rests = true, false
	m.mu.Unlock()
	if closed {
		return nil
	}
	if rested {
		m.more <- struct{}{}
	}
	done := make(chan struct{})
	m.stage.sys.Send(m.pid, drain{done})
	select {
	case <-done:
	case <-ctx.Done():
		return fmt.Errorf("drain actor %s: %w", m.name, ctx.Err())
	}
	if err := wait(ctx, m.stage.sys.Poison(m.pid)); err != nil {
		return fmt.Errorf("stop actor %s: %w", m.name, err)
	}
	return nil
}

// ActorStats are one actor's figures.
type ActorStats struct {
	Name     string
	Depth    int64 // messages waiting
	Max      int
	Messages int64 // handled
	Panics   int64
	Shed     int64         // refused
	Busy     time.Duration // in Receive, altogether
	Stuck    time.Duration // that the batch at hand has taken up to now; 0: idle
}

// Stats reads the figures. Safe for concurrent use.
func (m *Mailbox[M]) Stats() ActorStats {
	st := ActorStats{
		Name: m.name, Depth: m.depth.Load(), Max: m.max, Messages: m.messages.Load(), Panics: m.panics.Load(), Shed: m.shed.Load(),
		Busy: time.Duration(m.busy.Load()),
	}
	if since := m.since.Load(); since != 0 {
		st.Stuck = max(time.Since(time.Unix(0, since)), 0)
	}
	return st
}

// stack is the panicking goroutine's stack, cut to what a log line should hold.
func stack() string {
	s := debug.Stack()
	return string(s[:min(len(s), 4096)])
}
