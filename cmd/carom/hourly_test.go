package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carom-dev/carom/engine"
)

// sealCalls notes when days were sealed, and up to when.
type sealCalls struct {
	ended bool // the last call met the end of its context
	block bool // calls wait for it

	mu     sync.Mutex
	untils []time.Time // guarded by mu
}

// calls are the ends of what was to be sealed, so far.
func (s *sealCalls) calls() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.untils)
}

func (s *sealCalls) SealDays(ctx context.Context, until time.Time, least int64) error {
	s.mu.Lock()
	s.untils = append(s.untils, until)
	s.mu.Unlock()
	if s.block {
		<-ctx.Done()
		s.ended = true
		return ctx.Err()
	}
	if least != engine.SealClicks {
		return errors.New("not as few clicks as it should")
	}
	return nil
}

func TestDaysAreSealedAtOnceAndThenHourly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &sealCalls{}
		days := &hourly{do: func(ctx context.Context, now time.Time) { sealDays(ctx, store, now, slog.New(slog.DiscardHandler)) }}
		days.start(t.Context())
		synctest.Wait()
		first := len(store.calls())
		time.Sleep(25 * time.Hour) //nolint:forbidigo // the clock of synctest
		synctest.Wait()
		days.stop()
		untils := store.calls()
		if first != 1 || len(untils) != 26 {
			t.Fatalf("sealed %d times at the start and %d times in 25 hours, want 1 and 26", first, len(untils))
		}
		if got := untils[24].Sub(untils[0]); got != 24*time.Hour {
			t.Errorf("a day later it seals %v more, want a day", got)
		}
	})
}

func TestSealingEndsWithTheProgram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := &sealCalls{block: true}
		days := &hourly{do: func(ctx context.Context, now time.Time) { sealDays(ctx, calls, now, slog.New(slog.DiscardHandler)) }}
		days.start(t.Context())
		synctest.Wait()
		days.stop()
		if !calls.ended {
			t.Error("stop did not end the sealing that was under way, or did not wait for it")
		}
	})
}
