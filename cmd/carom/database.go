package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/carom-dev/carom/persistence/postgres"
)

// databaseKeeper looks after a shared store while a server runs: it prepares the database as soon as that answers, and makes
// and drops its partitions as days pass. Started and stopped once.
type databaseKeeper struct {
	store *postgres.Store
	log   *slog.Logger

	cancel context.CancelFunc
	done   sync.WaitGroup
}

const (
	// prepareTimeout is how long a start waits for the database before it goes on without it.
	prepareTimeout = 5 * time.Second
	// prepareRetry is how often a database that is away is tried.
	prepareRetry = time.Second
	// maintainInterval is how often partitions are looked at; they are made days ahead.
	maintainInterval = time.Hour
)

// start prepares the database and calls prepared when that is done: before it returns, when the database answers, else on the
// keeper's own goroutine, as often as it takes until prepared returns nil, too.
func (k *databaseKeeper) start(ctx context.Context, prepared func(context.Context) error) {
	try := func(ctx context.Context) error {
		if err := k.store.Prepare(ctx); err != nil {
			return err
		}
		return prepared(ctx)
	}
	first, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	err := try(first)
	if err != nil {
		k.log.Warn("database is away; starting without it", "err", err)
	}
	ctx, k.cancel = context.WithCancel(context.WithoutCancel(ctx))
	k.done.Go(func() {
		retry := time.NewTicker(prepareRetry)
		defer retry.Stop()
		for err != nil {
			select {
			case <-ctx.Done():
				return
			case <-retry.C:
			}
			if err = try(ctx); err == nil {
				k.log.Info("database is there")
			}
		}
		k.maintain(ctx)
	})
}

func (k *databaseKeeper) maintain(ctx context.Context) {
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
