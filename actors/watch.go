package actors

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/carom-dev/carom/engine"
)

const (
	// watchMin is how long checkpoints are watched at the least, and watchIntervals of BatchInterval where that is longer: a busy process
	// moves them each busyIntervals.
	watchMin       = 500 * time.Millisecond
	watchIntervals = busyIntervals + 1
	// watchMoves of the checkpoints tell a living process from the last batch of one that has just died.
	watchMoves = 2
)

// watch looks, before the first batch, whether another process writes under this node's id: with an empty journal, as a clean stop
// leaves it and as one has that was given a copy of the id, checkpoints that move by themselves are another's. Taking them over
// would fence off the process whose they are, and give the visits away that it has leased. A process that has no visitors
// meanwhile is not noticed; then it is the one that is fenced off, at its next click.
func (w *writer) watch(ctx context.Context, stored map[int]engine.Position) (map[int]engine.Position, error) {
	if w.cfg.Changes == nil || len(stored) == 0 { // the embedded store has one process; a new node has no other
		return stored, nil
	}
	for lane := range w.cfg.Journal.Lanes() {
		if w.cfg.Journal.Recovered(lane) != 0 {
			return stored, nil
		}
	}
	node := w.cfg.Journal.Node()
	for range watchMoves {
		quiet := time.NewTimer(max(watchIntervals*w.cfg.BatchInterval, watchMin))
		select {
		case <-quiet.C:
		case <-ctx.Done():
			quiet.Stop()
			return nil, fmt.Errorf("watch checkpoints: %w", context.Cause(ctx))
		}
		now, err := w.cfg.Clicks.Checkpoints(ctx, node)
		if err != nil {
			return nil, fmt.Errorf("read checkpoints: %w", err)
		}
		if maps.Equal(stored, now) {
			return now, nil
		}
		stored = now
	}
	return nil, fmt.Errorf("checkpoints of node %s move: %w; give each instance a data directory of its own", node, engine.ErrFenced)
}

// once closes a channel at the first of several occasions. The zero value has none.
type once struct {
	once sync.Once
	done chan struct{}
}

func (o *once) close() { o.once.Do(func() { close(o.done) }) }

// Settled is closed when the writer has found its place in the store, or could not at its first try. Until then, links with a visit
// budget are unavailable; who starts the actors may wait a moment for it before visitors come.
func (a *Actors) Settled() <-chan struct{} { return a.writer.settled.done }
