package redis

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

// BenchmarkRoundTrip is one heartbeat from Publish to deliver on a server of this machine; with 100 a batch, the time is
// that of the whole batch.
func BenchmarkRoundTrip(b *testing.B) {
	for name, size := range map[string]int{"1": 1, "100": 100} {
		b.Run(name, func(b *testing.B) {
			bus, err := Open(Config{URL: services.RedisURL(b), ChannelPrefix: prefix()})
			if err != nil {
				b.Fatal(err)
			}
			defer bus.Close()
			ctx, cancel := context.WithCancel(b.Context())
			heard, done := make(chan engine.BusMessage, size), make(chan struct{})
			go func() {
				defer close(done)
				bus.Listen(ctx, "n", func(m engine.BusMessage) { heard <- m })
			}()
			<-heard // BusSubscribed
			var messages []engine.BusMessage
			for range size {
				messages = append(messages, heartbeat("n", 1)...)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := bus.Publish(ctx, messages); err != nil {
					b.Fatal(err)
				}
				for range size {
					<-heard
				}
			}
			cancel()
			<-done
		})
	}
}

// BenchmarkPublishWhileAway is what an outage costs a caller: the breaker's refusal.
func BenchmarkPublishWhileAway(b *testing.B) {
	bus, err := Open(Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer bus.Close()
	far := time.Now().Add(time.Hour)
	for range breakerFailures {
		bus.brake.report(false, errors.New("no answer"), far)
	}
	messages := heartbeat("n", 1)
	b.ReportAllocs()
	for b.Loop() {
		if err := bus.Publish(b.Context(), messages); err == nil {
			b.Fatal("Publish returned no error")
		}
	}
}
