package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/carom-dev/carom/engine"
)

// hourly does something at once, and then every hour. Started and stopped once.
type hourly struct {
	do func(ctx context.Context, now time.Time)

	cancel context.CancelFunc
	done   sync.WaitGroup
}

// start returns at once. It goes on beyond the end of ctx, until it is stopped.
func (h *hourly) start(ctx context.Context) {
	ctx, h.cancel = context.WithCancel(context.WithoutCancel(ctx))
	h.done.Go(func() {
		tick := time.NewTicker(time.Hour)
		defer tick.Stop()
		for {
			h.do(ctx, time.Now())
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
}

// stop ends it and waits.
func (h *hourly) stop() {
	h.cancel()
	h.done.Wait()
}

// sealDays has a store seal the days that are over by now; one of a link that has few clicks is sealed with later ones.
func sealDays(ctx context.Context, store engine.Sealer, now time.Time, log *slog.Logger) {
	began := time.Now()
	if err := store.SealDays(ctx, engine.SealUntil(now), engine.SealClicks); err != nil {
		if ctx.Err() == nil {
			log.Warn("days were not sealed, so figures take longer to read; the next try is in an hour", "err", err)
		}
		return
	}
	log.Debug("days sealed", "duration", time.Since(began))
}

// forgetter is a store that does not drop old clicks by itself.
type forgetter interface {
	ForgetClicks(ctx context.Context, now time.Time) error
}

// upkeepOf is what the embedded store needs every hour.
func upkeepOf(store engine.Store, log *slog.Logger) func(ctx context.Context, now time.Time) {
	return func(ctx context.Context, now time.Time) {
		sealDays(ctx, store, now, log)
		if old, ok := store.(forgetter); ok {
			if err := old.ForgetClicks(ctx, now); err != nil && ctx.Err() == nil {
				log.Warn("clicks older than the retention were not all forgotten; the next try is in an hour", "err", err)
			}
		}
	}
}
