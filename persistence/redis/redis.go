// Package redis is the bus between instances on Redis Pub/Sub: fast, without any promise, and never waited for longer than
// its timeout.
package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/carom-dev/carom/engine"
)

// Bus is engine.Bus on Redis: a single server, one behind Sentinel, or a Cluster. Safe for concurrent use. It keeps nothing:
// what is published while a subscriber is away is lost for that subscriber, who is told by a BusSubscribed message.
type Bus struct {
	cfg   Config        // with defaults in place
	url   redis.Options // what the URL says
	addrs []string
	log   *slog.Logger
	brake breaker

	mu       sync.Mutex                      // guards client's replacement, sessions and closed
	client   redis.UniversalClient           // publishes and pings; never nil
	sessions map[*session]context.CancelFunc // the connections that Listen holds
	closed   bool

	published   atomic.Uint64
	failed      atomic.Uint64
	received    atomic.Uint64
	undecodable atomic.Uint64
	reconnects  atomic.Uint64
}

var _ engine.Bus = (*Bus)(nil)

// ErrClosed is what a call gets after Close, or when its connection was closed under it because others had failed.
var ErrClosed = errors.New("connection to redis is closed")

// Open makes the bus. It connects when it is first used, so it does not need the server; an error means a wrong setting.
func Open(cfg Config) (*Bus, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("check the settings of redis: %w", err)
	}
	b := &Bus{cfg: cfg.withDefaults(), log: cfg.Logger, sessions: map[*session]context.CancelFunc{}}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if b.url, b.addrs, err = parseURL(b.cfg.URL); err != nil {
		return nil, err
	}
	// The library prints each failed dial to stderr. Outages are logged here, once each, and by the Logger.
	logging.Disable()
	b.client = b.newClient(b.cfg.Timeout)
	return b, nil
}

// Publish sends messages, in their order, in one round trip; see engine.Bus. While the breaker is open it returns an AwayError
// at once. A message that can't be encoded is a fault of the caller: nothing is sent, and the breaker does not count it.
func (b *Bus) Publish(ctx context.Context, messages []engine.BusMessage) error {
	if len(messages) == 0 {
		return nil
	}
	payloads, err := encodeAll(messages)
	if err == nil {
		err = b.call(ctx, func(ctx context.Context, client redis.Cmdable) error {
			_, err := client.Pipelined(ctx, func(p redis.Pipeliner) error {
				for i := range messages {
					p.Publish(ctx, b.channelOf(&messages[i]), payloads[i])
				}
				return nil
			})
			return err
		})
	}
	if err != nil {
		b.failed.Add(uint64(len(messages)))
		return fmt.Errorf("publish %d messages: %w", len(messages), err)
	}
	b.published.Add(uint64(len(messages)))
	return nil
}

// Health asks the server for an answer. It never fails, as nothing rests on the bus.
func (b *Bus) Health(ctx context.Context) engine.Health {
	start := time.Now()
	err := b.call(ctx, func(ctx context.Context, client redis.Cmdable) error { return client.Ping(ctx).Err() })
	if err != nil {
		return engine.Health{Status: engine.HealthWarn, Reason: "edits arrive late and limits are split: " + err.Error()}
	}
	return engine.Health{Status: engine.HealthPass, Latency: time.Since(start)}
}

// Close ends the bus: connections are closed, and calls return ErrClosed. Twice is fine. Listen delivers nothing more, but
// waits for its context like before.
func (b *Bus) Close() error {
	b.mu.Lock()
	client := b.client
	if b.closed {
		client = nil
	}
	b.closed = true
	b.dropSessionsLocked()
	b.mu.Unlock()
	if client == nil {
		return nil
	}
	if err := client.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
		return fmt.Errorf("close redis client: %w", err)
	}
	return nil
}

// call runs fn within the timeout, unless the breaker is open, and tells the breaker how it went.
func (b *Bus) call(ctx context.Context, fn func(context.Context, redis.Cmdable) error) error {
	b.mu.Lock()
	client, closed := b.client, b.closed
	b.mu.Unlock()
	if closed {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	probe, err := b.brake.admit(time.Now())
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, b.cfg.Timeout)
	defer cancel()
	err = b.onOneNode(limited, client, fn)
	switch {
	case errors.Is(err, redis.ErrClosed): // by Close, or renewed by another call's failure
		b.brake.forget(probe)
		return fmt.Errorf("%w: %w", ErrClosed, err)
	case err != nil && errors.Is(ctx.Err(), context.Canceled): // the caller went away, which says nothing about the server
		b.brake.forget(probe)
		return err
	}
	switch b.brake.report(probe, err, time.Now()) {
	case breakerOpened:
		b.log.Warn("redis does not answer", "error", err, "next_try", breakerPause)
		b.renew(client)
	case breakerReopened:
		b.renew(client)
	case breakerClosed:
		b.log.Info("redis answers again")
	case breakerSame:
	}
	return err
}

// onOneNode runs fn on one server. A Cluster's own pipeline spreads the commands over its nodes, which loses their order;
// any node takes a PUBLISH for all, so all instances use the one that the changes channel hashes to.
func (b *Bus) onOneNode(ctx context.Context, client redis.UniversalClient, fn func(context.Context, redis.Cmdable) error) error {
	cluster, ok := client.(*redis.ClusterClient)
	if !ok {
		return fn(ctx, client)
	}
	node, err := cluster.MasterForKey(ctx, b.channel(changesChannel))
	if err != nil {
		return fmt.Errorf("find cluster node: %w", err)
	}
	return fn(ctx, node)
}

// renew replaces a client that failed. The library's pool stops dialing after as many failures as it has places, and then
// looks only each second whether the server is back; a Cluster client remembers nodes that are gone. A new one knows nothing.
func (b *Bus) renew(failed redis.UniversalClient) {
	b.mu.Lock()
	if b.closed || b.client != failed {
		b.mu.Unlock()
		return
	}
	b.client = b.newClient(b.cfg.Timeout)
	b.mu.Unlock()
	_ = failed.Close() // its connections are as good as gone
}
