package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/postgres"
)

// databaseKeeper looks after a shared store while a server runs: it prepares the database as soon as that answers, makes and drops its
// partitions as days pass, and has these sealed. Started and stopped once.
type databaseKeeper struct {
	store *postgres.Store
	log   *slog.Logger

	there  atomic.Bool // prepared
	cancel context.CancelFunc
	done   sync.WaitGroup
}

const (
	// prepareWait is how long a start waits for the database before it asks whether that answers at all, and again after each such time.
	prepareWait = time.Second
	// prepareWaitMax is how long a start waits for a database that answers. A migration that takes longer goes on beside the server.
	prepareWaitMax = 15 * time.Second
	// prepareRetry is how often a database that is away is tried.
	prepareRetry = time.Second
	// maintainInterval is how often partitions are looked at; they are made days ahead.
	maintainInterval = time.Hour
)

// start prepares the database and calls prepared when that is done, on the keeper's own goroutine, as often as it takes until both
// return nil. It waits for the first try while the database answers, and reports whether all was done by then.
func (k *databaseKeeper) start(ctx context.Context, prepared func(context.Context) error) bool {
	stopped := ctx
	ctx, k.cancel = context.WithCancel(context.WithoutCancel(ctx))
	first := make(chan error, 1)
	k.done.Go(func() {
		err := k.prepare(ctx, prepared)
		first <- err
		retry := time.NewTicker(prepareRetry)
		defer retry.Stop()
		for err != nil {
			select {
			case <-ctx.Done():
				return
			case <-retry.C:
			}
			err = k.prepare(ctx, prepared)
		}
		k.there.Store(true)
		k.log.Info("database is there")
		k.maintain(ctx)
	})
	err := k.await(stopped, first)
	switch {
	case errors.Is(err, errPrepareLate):
		k.log.Warn("database answers and is not prepared yet, as a migration or its lock takes long; starting without it")
	case stopped.Err() == nil && err != nil:
		k.log.Warn("database is away; starting without it", "err", err)
	}
	return err == nil
}

// await waits for the first try, or the end of ctx.
func (k *databaseKeeper) await(ctx context.Context, first <-chan error) error {
	began := time.Now()
	late := time.NewTicker(prepareWait)
	defer late.Stop()
	for {
		select {
		case err := <-first:
			return err
		case <-ctx.Done():
			return fmt.Errorf("wait for the database: %w", context.Cause(ctx))
		case <-late.C:
		}
		ask, cancel := context.WithTimeout(ctx, prepareWait/2)
		err := k.store.Answers(ask)
		cancel()
		if err != nil {
			return fmt.Errorf("it has not answered in time: %w", err)
		}
		if time.Since(began) >= prepareWaitMax {
			return errPrepareLate
		}
	}
}

var errPrepareLate = errors.New("the database is not prepared yet")

func (k *databaseKeeper) prepare(ctx context.Context, prepared func(context.Context) error) error {
	if err := k.store.Prepare(ctx); err != nil {
		return err
	}
	return prepared(ctx)
}

func (k *databaseKeeper) maintain(ctx context.Context) {
	days := &hourly{do: func(ctx context.Context, now time.Time) { sealDays(ctx, k.store, now, k.log) }}
	days.start(ctx)
	defer days.stop()
	tick := time.NewTicker(maintainInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := k.store.MaintainPartitions(ctx, time.Now()); err != nil {
				k.log.Warn("partitions of clicks could not be looked after; the next try is in an hour", "err", err)
			}
		}
	}
}

// stop ends it and waits.
func (k *databaseKeeper) stop(context.Context) error {
	k.cancel()
	k.done.Wait()
	return nil
}

// preparedKeys is the store's keys. A key that is not found in a database that is not prepared yet may be about to be stored.
type preparedKeys struct {
	engine.KeyStore
	keeper *databaseKeeper
}

// KeyByHash implements engine.KeyStore.
func (p *preparedKeys) KeyByHash(ctx context.Context, hash [32]byte) (engine.APIKey, error) {
	there := p.keeper.there.Load() // before the question
	key, err := p.KeyStore.KeyByHash(ctx, hash)
	if engine.ErrorCodeOf(err) == engine.CodeNotFound && !there {
		return key, engine.Errorf(engine.CodeUnavailable, "the database is not prepared yet; try again in a moment")
	}
	return key, err //nolint:wrapcheck // the store's own error
}
