package redis

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/carom-dev/carom/engine"
)

// full is one message of each kind that goes over the wire.
func full(from, to engine.NodeID) []engine.BusMessage {
	return []engine.BusMessage{
		{Kind: engine.BusHeartbeat, From: from, Sequence: 7},
		{Kind: engine.BusChange, From: from, Sequence: 8, Changes: []engine.Change{
			{ID: 1 << 40, Link: 3, Key: engine.Key{Domain: 1 << 31, Code: "ab_C-9"}, Version: 1 << 63, Origin: from},
			{ID: 2, Link: 1<<63 - 1, Key: engine.Key{Domain: engine.DefaultDomain, Code: strings.Repeat("z", engine.CodeMaxLen)}, Version: 1, Origin: to},
		}},
		{Kind: engine.BusPoll, From: from, Sequence: 9},
		{Kind: engine.BusSpend, From: from, Spends: []engine.Spend{{Limiter: "api", Key: 1<<64 - 1, Units: 5}, {Limiter: "writes", Key: 0, Units: -1 << 63}}},
		{Kind: engine.BusRecall, From: from, Sequence: 9, Changes: []engine.Change{{Link: 3, Key: engine.Key{Domain: engine.DefaultDomain, Code: "few"}}}},
		{Kind: engine.BusAck, From: from, To: to, Sequence: 4},
	}
}

func TestAllMessagesArriveAtAllNodesButAcks(t *testing.T) {
	t.Parallel()
	cfg := Config{URL: services.RedisURL(t), ChannelPrefix: prefix()}
	busA, busB := openBus(t, cfg), openBus(t, cfg)
	a, b := listen(t, busA, "a"), listen(t, busB, "b")
	a.next(engine.BusSubscribed)
	b.next(engine.BusSubscribed)
	sent := full("a", "b")
	if err := busA.Publish(t.Context(), sent); err != nil {
		t.Fatal(err)
	}
	// b gets all of them in their order, a gets its own but the ack, then the closing heartbeat.
	for _, want := range sent {
		if got := b.any(); !reflect.DeepEqual(got, want) {
			t.Errorf("b heard %+v, want %+v", got, want)
		}
	}
	if err := busB.Publish(t.Context(), heartbeat("b", 99)); err != nil {
		t.Fatal(err)
	}
	var heard []engine.BusMessage
	for {
		m := a.any()
		if m.From == "b" {
			break
		}
		heard = append(heard, m)
	}
	if want := sent[:5]; !reflect.DeepEqual(heard, want) {
		t.Errorf("a heard %+v of its own, want %+v", heard, want)
	}
	if s := busA.Stats(); s.Published != 6 || s.Failed != 0 || s.Received != 6 || s.Reconnects != 0 || s.Away || s.Conns != 1 {
		t.Errorf("Stats = %+v", s)
	}
	if h := busA.Health(t.Context()); h.Status != engine.HealthPass || h.Latency <= 0 {
		t.Errorf("Health = %+v, want a pass with a latency", h)
	}
}

func TestOrderIsKept(t *testing.T) {
	t.Parallel()
	b := openBus(t, Config{URL: services.RedisURL(t), ChannelPrefix: prefix()})
	e := listen(t, b, "n")
	e.next(engine.BusSubscribed)
	checkOrder(t, b, e)
}

// checkOrder sends batches of mixed messages and wants them in their order.
func checkOrder(t *testing.T, b *Bus, e *ear) {
	t.Helper()
	kinds := []engine.BusKind{engine.BusHeartbeat, engine.BusSpend, engine.BusPoll, engine.BusAck}
	const batches, size = 20, 50
	sequence := uint64(0)
	for range batches {
		var messages []engine.BusMessage
		for range size {
			sequence++
			m := engine.BusMessage{Kind: kinds[sequence%4], From: "n", Sequence: sequence}
			if m.Kind == engine.BusAck {
				m.To = "n"
			}
			messages = append(messages, m)
		}
		if err := b.Publish(t.Context(), messages); err != nil {
			t.Fatal(err)
		}
	}
	for want := uint64(1); want <= sequence; want++ {
		if m := e.next(kinds[want%4]); m.Sequence != want {
			t.Fatalf("heard %d, want %d", m.Sequence, want)
		}
	}
}

func TestUnreadableMessagesAreSkippedAndCounted(t *testing.T) {
	t.Parallel()
	b := openBus(t, Config{URL: services.RedisURL(t), ChannelPrefix: prefix()})
	e := listen(t, b, "n")
	e.next(engine.BusSubscribed)
	foreign, err := encode(&engine.BusMessage{Kind: engine.BusAck, From: "x", To: "somebody else", Sequence: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	send := func(client redis.Cmdable, payload string) error {
		return client.Publish(ctx, b.channel(changesChannel), payload).Err()
	}
	for _, payload := range []string{"", "{}", "\x02\x01", string([]byte{format, byte(engine.BusSubscribed), 0, 0, 0, 0, 0}), string(foreign)} {
		if err := b.call(ctx, func(_ context.Context, client redis.Cmdable) error { return send(client, payload) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Publish(ctx, heartbeat("x", 1)); err != nil {
		t.Fatal(err)
	}
	if m := e.any(); m.Kind != engine.BusHeartbeat {
		t.Errorf("heard %+v, want nothing but the heartbeat", m)
	}
	if s := b.Stats(); s.Undecodable != 4 || s.Received != 1 {
		t.Errorf("Stats = %+v, want 4 skipped and 1 received", s)
	}
}

func TestPublishRefusesWhatCannotBeEncoded(t *testing.T) {
	t.Parallel()
	b := openBus(t, Config{URL: services.RedisURL(t), ChannelPrefix: prefix()})
	for range 2 * breakerFailures { // a caller's fault is no outage
		err := b.Publish(t.Context(), append(heartbeat("n", 1), engine.BusMessage{Kind: engine.BusSubscribed}))
		if !errors.Is(err, errKind) {
			t.Errorf("Publish = %v, want %v", err, errKind)
		}
	}
	if err := b.Publish(t.Context(), nil); err != nil {
		t.Errorf("Publish of nothing = %v", err)
	}
	if s := b.Stats(); s.Published != 0 || s.Failed != 4*breakerFailures || s.Away {
		t.Errorf("Stats = %+v, want that nothing was sent and the breaker is closed", s)
	}
}

func TestCancelledCallersDoNotOpenTheBreaker(t *testing.T) {
	t.Parallel()
	b := openBus(t, Config{URL: services.RedisURL(t), ChannelPrefix: prefix()})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 2 * breakerFailures {
		if err := b.Publish(ctx, heartbeat("n", 1)); !errors.Is(err, context.Canceled) {
			t.Errorf("Publish = %v, want %v", err, context.Canceled)
		}
	}
	if err := b.Publish(t.Context(), heartbeat("n", 1)); err != nil {
		t.Errorf("Publish = %v", err)
	}
}

func TestCloseEndsCallsAndQuietsListen(t *testing.T) {
	t.Parallel()
	b := openBus(t, Config{URL: services.RedisURL(t), ChannelPrefix: prefix()})
	ctx, cancel := context.WithCancel(t.Context())
	subscribed, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		b.Listen(ctx, "n", func(engine.BusMessage) { close(subscribed) })
	}()
	<-subscribed
	for range 2 {
		if err := b.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	}
	if err := b.Publish(t.Context(), heartbeat("n", 1)); !errors.Is(err, ErrClosed) {
		t.Errorf("Publish = %v, want %v", err, ErrClosed)
	}
	if h := b.Health(t.Context()); h.Status != engine.HealthWarn || !strings.Contains(h.Reason, "closed") {
		t.Errorf("Health = %+v, want a warning that it is closed", h)
	}
	b.Reconnect()
	select {
	case <-done:
		t.Error("Listen returned before its context ended")
	default:
	}
	cancel()
	<-done
	b.Listen(ctx, "n", func(engine.BusMessage) { t.Error("delivered after the end") }) // returns at once
}

func TestReconnectSubscribesAgain(t *testing.T) {
	t.Parallel()
	b := openBus(t, Config{URL: services.RedisURL(t), ChannelPrefix: prefix()})
	e := listen(t, b, "n")
	e.next(engine.BusSubscribed)
	for want := uint64(1); want <= 3; want++ {
		b.Reconnect()
		e.next(engine.BusSubscribed)
		if s := b.Stats(); s.Reconnects != want {
			t.Errorf("Reconnects = %d, want %d", s.Reconnects, want)
		}
		if err := b.Publish(t.Context(), heartbeat("n", want)); err != nil {
			t.Fatal(err)
		}
		if m := e.next(engine.BusHeartbeat); m.Sequence != want {
			t.Errorf("heard %d, want %d", m.Sequence, want)
		}
	}
}

func TestListenWithADeadline(t *testing.T) {
	t.Parallel()
	b := openBus(t, Config{URL: services.RedisURL(t), ChannelPrefix: prefix()})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	b.Listen(ctx, "n", func(engine.BusMessage) {})
	if ctx.Err() == nil {
		t.Error("Listen returned before its context ended")
	}
}
