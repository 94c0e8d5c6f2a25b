package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/carom-dev/carom/engine"
)

// sealInterval is how often days that are over are looked for; a day of a link that has few clicks is sealed with later ones.
const sealInterval = time.Hour

// daySealer has a store seal the days that are over, at once and then from time to time. Started and stopped once.
type daySealer struct {
	store engine.Sealer
	log   *slog.Logger

	cancel context.CancelFunc
	done   sync.WaitGroup
}

// start returns at once. It goes on beyond the end of ctx, until it is stopped.
func (s *daySealer) start(ctx context.Context) {
	ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.done.Go(func() {
		tick := time.NewTicker(sealInterval)
		defer tick.Stop()
		for {
			s.seal(ctx, time.Now())
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
}

func (s *daySealer) seal(ctx context.Context, now time.Time) {
	began := time.Now()
	if err := s.store.SealDays(ctx, engine.SealUntil(now), engine.SealClicks); err != nil {
		if ctx.Err() == nil {
			s.log.Warn("days were not sealed, so figures take longer to read; the next try is in an hour", "err", err)
		}
		return
	}
	s.log.Debug("days sealed", "duration", time.Since(began))
}

// stop ends it and waits.
func (s *daySealer) stop() {
	s.cancel()
	s.done.Wait()
}
