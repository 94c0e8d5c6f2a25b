package redis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/carom-dev/carom/engine"
)

const (
	// connectTimeout bounds each step of a new subscription: it may take longer than a call, as nobody waits for it.
	connectTimeout = time.Second
	// Between two attempts. A subscription that lived for backoffMax starts over from nothing.
	backoffMin = 50 * time.Millisecond
	backoffMax = time.Second
)

// session is one connection of a Listen. It has a client of its own, which asks DNS, the Sentinels or the Cluster anew: what
// was right for the connection before may be the reason why it ended.
type session struct {
	bus     *Bus
	node    engine.NodeID
	deliver func(engine.BusMessage)
	lived   time.Duration // since it was subscribed; 0: it never was
}

// Listen delivers what is published until ctx ends; see engine.Bus. The strings of a message share its payload's memory.
func (b *Bus) Listen(ctx context.Context, node engine.NodeID, deliver func(m engine.BusMessage)) {
	subscribed := 0
	delay := backoffMin
	lost := false // logged already
	for ctx.Err() == nil {
		s := &session{bus: b, node: node, deliver: func(m engine.BusMessage) {
			if m.Kind == engine.BusSubscribed {
				if subscribed++; subscribed > 1 {
					b.reconnects.Add(1)
				}
				lost = false
				b.log.Info("subscribed to redis")
			}
			deliver(m)
		}}
		err := s.run(ctx)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, ErrClosed) {
			<-ctx.Done()
			return
		}
		if !lost {
			lost = true
			b.log.Warn("subscription to redis is lost", "error", err)
		}
		if s.lived >= backoffMax {
			delay = backoffMin
		}
		if !wait(ctx, delay/2+rand.N(delay/2)) {
			return
		}
		delay = min(2*delay, backoffMax)
	}
}

// Reconnect makes each Listen drop its connection at once and make a new one. It does not wait for either.
func (b *Bus) Reconnect() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dropSessionsLocked()
}

func (b *Bus) dropSessionsLocked() {
	for _, cancel := range b.sessions {
		cancel()
	}
}

// enter makes s known to Reconnect and Close.
func (b *Bus) enter(s *session, cancel context.CancelFunc) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return ErrClosed
	}
	b.sessions[s] = cancel
	return nil
}

func (b *Bus) leave(s *session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.sessions, s)
}

// run connects, subscribes and delivers until the connection ends or ctx does; it leaves nothing behind.
func (s *session) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := s.bus.enter(s, cancel); err != nil {
		return err
	}
	defer s.bus.leave(s)

	client := s.bus.newClient(connectTimeout)
	defer func() { _ = client.Close() }() // nothing is under way on it
	sub := client.Subscribe(ctx)          // without channels it does not connect yet
	// A read from the server does not heed the context, so its end closes the connection under it.
	closed := make(chan struct{})
	context.AfterFunc(ctx, func() {
		defer close(closed)
		_ = sub.Close()
	})
	defer func() {
		cancel()
		<-closed
	}()

	if err := sub.Subscribe(ctx, s.bus.channelsFor(s.node)...); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	return s.receive(ctx, sub)
}

// receive delivers until an error. On an error the library has tried once to connect again, in vain or not: a new session
// does it by the rules above, so that connections that are cut again and again are not made without a pause.
func (s *session) receive(ctx context.Context, sub *redis.PubSub) error {
	channels := len(s.bus.channelsFor(s.node))
	timeout := connectTimeout // a server that never confirms is no server
	var since time.Time
	for {
		msg, err := sub.ReceiveTimeout(ctx, timeout)
		if err != nil {
			if !since.IsZero() {
				s.lived = time.Since(since)
			}
			return fmt.Errorf("receive: %w", err)
		}
		switch msg := msg.(type) {
		case *redis.Subscription:
			if msg.Count == channels && timeout != 0 {
				timeout, since = 0, time.Now()
				s.deliver(engine.BusMessage{Kind: engine.BusSubscribed})
			}
		case *redis.Message:
			s.hear(msg.Payload)
		}
	}
}

// hear delivers a message that is for this node.
func (s *session) hear(payload string) {
	m, err := decode(payload)
	if err != nil {
		s.bus.undecodable.Add(1)
		return
	}
	if m.To != "" && m.To != s.node {
		return
	}
	s.bus.received.Add(1)
	s.deliver(m)
}

// wait lets d pass; false when ctx ended before.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
