package actors

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/carom-dev/carom/engine"
)

// locate reads the checkpoints and puts the journal's readers there: at the start, and when a batch's fate is not known.
func (w *writer) locate(ctx context.Context) error {
	err := w.locateOnce(ctx)
	if !errors.Is(err, engine.ErrFenced) {
		return err
	}
	if w.cfg.Names == nil {
		w.fenced.Store(true)
		return err
	}
	if err := w.rename(); err != nil {
		return err
	}
	return w.locateOnce(ctx)
}

func (w *writer) locateOnce(ctx context.Context) error {
	node := w.cfg.Journal.Node()
	stored, err := w.cfg.Clicks.Checkpoints(ctx, node)
	if err != nil {
		return fmt.Errorf("read checkpoints: %w", err)
	}
	lanes := w.cfg.Journal.Lanes()
	if w.positions == nil {
		if stored, err = w.watch(ctx, stored); err != nil {
			return err
		}
		if err := w.begin(ctx, stored); err != nil {
			return err
		}
	} else if lane, back, ok := w.foreign(stored); ok && back {
		w.regressed(lane, w.positions[lane], stored[lane])
	} else if ok {
		return fmt.Errorf("lane %d of node %s: %w; give each instance a data directory of its own", lane, node, engine.ErrFenced)
	}
	for lane := range lanes {
		if err := w.cfg.Journal.Seek(lane, stored[lane]); err != nil {
			return fmt.Errorf("seek lane %d: %w", lane, err)
		}
	}
	// All of them or none: lanes at 0 would look as if somebody else had moved them.
	w.positions = make([]engine.Position, lanes)
	for lane := range lanes {
		w.stand(lane, stored[lane])
	}
	w.known, w.attempt = true, nil
	w.hold(nil)
	return nil
}

// stand notes where a lane stands.
func (w *writer) stand(lane int, at engine.Position) {
	w.positions[lane] = at
	maps.DeleteFunc(w.tried, func(m engine.LaneMove, _ struct{}) bool { return m.Lane == lane && m.From != at })
}

// foreign finds a lane that another process has moved: its checkpoint is neither where this writer knew it, nor where a batch of it was to take
// it, nor within what the process before this one left, whose last batch the database may have finished after this one had asked. back says
// that no such lane is ahead of this writer: processes move checkpoints forward, so it is the store that went back.
func (w *writer) foreign(stored map[int]engine.Position) (lane int, back, ok bool) {
	for at, known := range w.positions {
		now := stored[at]
		if _, tried := w.tried[engine.LaneMove{Lane: at, From: known, To: now}]; tried || now == known {
			continue
		}
		if now > known {
			if now <= w.cfg.Journal.Recovered(at) {
				continue
			}
			return at, false, true
		}
		lane, back, ok = at, true, true
	}
	return lane, back, ok
}

// recovered reports whether the store has all that the process before this one left in the journal.
func (w *writer) recovered() bool {
	for lane, pos := range w.positions {
		if pos < w.cfg.Journal.Recovered(lane) {
			return false
		}
	}
	return true
}
