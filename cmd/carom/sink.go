package main

import (
	"context"
	"fmt"
	"time"

	"github.com/carom-dev/carom/cmd/carom/internal/client"
	"github.com/carom-dev/carom/engine"
)

// linkSink is where an import puts links.
type linkSink interface {
	// Store stores a first part of links, at least one, in one step, and returns a result for each of that part.
	Store(ctx context.Context, links []engine.Link) ([]client.ImportResult, error)
	Close()
}

// storeSink puts links into a store at rest.
type storeSink struct {
	store    engine.Store
	conflict engine.OnConflict
}

func (s *storeSink) Store(ctx context.Context, links []engine.Link) ([]client.ImportResult, error) {
	stored, err := s.store.ImportLinks(ctx, links, s.conflict, engine.Author{At: time.Now()})
	if err != nil {
		return nil, fmt.Errorf("store the links: %w", err)
	}
	results := make([]client.ImportResult, len(stored))
	for i, r := range stored {
		results[i].Outcome = r.Outcome
	}
	return results, nil
}

func (s *storeSink) Close() {
	// Everything is committed; an error here loses nothing.
	_ = s.store.Close()
}

// serverSink puts links into a running Carom.
type serverSink struct {
	server   *client.Client
	conflict string
}

func (s *serverSink) Store(ctx context.Context, links []engine.Link) ([]client.ImportResult, error) {
	return s.server.ImportLinks(ctx, links, s.conflict)
}

func (s *serverSink) Close() { s.server.Close() }

// dryStoreSink says what storing would do. A code that the file has twice counts as created each time.
type dryStoreSink struct {
	store    engine.Store
	conflict engine.OnConflict
}

func (s *dryStoreSink) Store(ctx context.Context, links []engine.Link) ([]client.ImportResult, error) {
	keys := make([]engine.Key, len(links))
	for i := range links {
		keys[i] = links[i].Key()
	}
	found, err := s.store.LoadLinks(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("read the links that are there: %w", err)
	}
	there := make(map[engine.Key]*engine.Link, len(found))
	for i := range found {
		there[found[i].Key()] = &found[i]
	}
	taken := map[engine.OnConflict]engine.ImportOutcome{
		engine.ConflictSkip: engine.ImportSkipped, engine.ConflictOverwrite: engine.ImportUpdated, engine.ConflictError: engine.ImportConflict,
	}[s.conflict]
	results := make([]client.ImportResult, len(links))
	for i := range links {
		switch old := there[keys[i]]; {
		case old == nil:
			results[i].Outcome = engine.ImportCreated
		case old.Same(&links[i]):
			results[i].Outcome = engine.ImportUnchanged
		default:
			results[i].Outcome = taken
		}
	}
	return results, nil
}

func (s *dryStoreSink) Close() { _ = s.store.Close() }

// checkSink takes every link that has come this far.
type checkSink struct{}

func (checkSink) Store(_ context.Context, links []engine.Link) ([]client.ImportResult, error) {
	return make([]client.ImportResult, len(links)), nil
}

func (checkSink) Close() {}
