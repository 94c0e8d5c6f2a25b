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

	there  atomic.Bool           // prepared
	reason atomic.Pointer[error] // why a database that answers is not prepared; nil: not known, or it is
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
	// prepareSaid is how often it is said that there is no database.
	prepareSaid = time.Minute
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
		said := time.Now()
		for err != nil {
			select {
			case <-ctx.Done():
				return
			case <-retry.C:
			}
			if err = k.prepare(ctx, prepared); err != nil && time.Since(said) >= prepareSaid {
				said = time.Now()
				k.log.Warn("still without the database", "err", err)
			}
		}
		k.there.Store(true)
		k.log.Info("database is there")
		k.maintain(ctx)
	})
	err := k.await(stopped, first)
	switch {
	case errors.Is(err, errPrepareLate):
		k.log.Warn("database answers and is not prepared yet, as a migration or its lock takes long; starting without it")
	case stopped.Err() == nil && errors.Is(err, errNotPrepared):
		k.log.Error("database answers and can't be prepared; starting without it", "err", err)
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

var (
	errPrepareLate = errors.New("the database is not prepared yet")
	errNotPrepared = errors.New("the database answers and is not prepared")
)

func (k *databaseKeeper) prepare(ctx context.Context, prepared func(context.Context) error) error {
	err := k.store.Prepare(ctx)
	if err == nil {
		err = prepared(ctx)
	}
	if err == nil {
		k.reason.Store(nil)
		return nil
	}
	ask, cancel := context.WithTimeout(ctx, prepareWait/2)
	defer cancel()
	if k.store.Answers(ask) != nil {
		k.reason.Store(nil) // the store's health has a better one
		return err
	}
	err = fmt.Errorf("%w: %w", errNotPrepared, err)
	k.reason.Store(&err)
	return err
}

// health is the store's, and fails for a database that answers and lacks what the program needs.
func (k *databaseKeeper) health(ctx context.Context) engine.Health {
	if reason := k.reason.Load(); reason != nil {
		return engine.Health{Status: engine.HealthFail, Reason: (*reason).Error()}
	}
	return storeHealth(k.store)(ctx)
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
