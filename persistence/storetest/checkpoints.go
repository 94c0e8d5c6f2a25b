package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"

	"github.com/carom-dev/carom/engine"
)

func checkpointRules() []rule {
	return []rule{
		{"checkpoints move with their clicks, lane by lane and node by node", func(t *testing.T, s engine.Store) {
			wantCheckpoints(t, s, nodeA, nil)
			high := engine.MakePosition(1<<40-1, 1<<24-1) // the last there is
			must(t, s.WriteClicks(t.Context(), &engine.ClickBatch{Node: nodeA, Moves: []engine.LaneMove{{Lane: 0, To: 5}, {Lane: 3, To: high - 1}}}))
			must(t, s.WriteClicks(t.Context(), batch(nodeB, 0, 0, 9, click(1, 0))))
			must(t, s.WriteClicks(t.Context(), batch(nodeA, 3, high-1, high, click(1, 0))))
			wantCheckpoints(t, s, nodeA, map[int]engine.Position{0: 5, 3: high})
			wantCheckpoints(t, s, nodeB, map[int]engine.Position{0: 9})
			must(t, s.WriteClicks(t.Context(), &engine.ClickBatch{Node: nodeA}))
		}},
		{"a batch whose lane stands elsewhere is fenced, and nothing of it is stored", func(t *testing.T, s engine.Store) {
			l := create(t, s, link("fenced"))
			lost := click(l.ID, 0)
			lost.Flags = engine.ClickBudgeted
			must(t, s.WriteClicks(t.Context(), &engine.ClickBatch{Node: nodeA, Moves: []engine.LaneMove{{Lane: 0, To: 5}, {Lane: 1, To: 7}}}))
			for name, moves := range map[string][]engine.LaneMove{
				"a replay from the start": {{Lane: 0, From: 0, To: 5}},
				"a lane that is behind":   {{Lane: 0, From: 4, To: 9}},
				"a lane that is ahead":    {{Lane: 0, From: 6, To: 9}},
				"a lane without any":      {{Lane: 2, From: 1, To: 2}},
				"one of two lanes":        {{Lane: 0, From: 5, To: 6}, {Lane: 1, From: 6, To: 9}},
			} {
				err := s.WriteClicks(t.Context(), &engine.ClickBatch{Node: nodeA, Moves: moves, Clicks: []engine.Click{lost}})
				if !errors.Is(err, engine.ErrFenced) {
					t.Errorf("WriteClicks with %s = %v, want ErrFenced", name, err)
				}
			}
			wantCheckpoints(t, s, nodeA, map[int]engine.Position{0: 5, 1: 7})
			if got := readClicks(t, s, engine.ClickQuery{}); len(got) != 0 {
				t.Errorf("Clicks = %d after fenced batches, want 0", len(got))
			}
			stats, err := s.Stats(t.Context(), engine.StatsQuery{Link: l.ID})
			must(t, err)
			if got, err := s.Link(t.Context(), l.ID); err != nil || got.Clicks != 0 || stats.Clicks != 0 {
				t.Errorf("after fenced batches: link %+v, %v, stats %+v, want no clicks", got, err, stats)
			}
		}},
		{"of two writers with one batch one is fenced", func(t *testing.T, s engine.Store) {
			const n = 6
			l := create(t, s, link("twins"))
			errs := make([]error, n)
			parallel(n, func(i int) {
				errs[i] = s.WriteClicks(t.Context(), batch(nodeA, 0, 0, 3, click(l.ID, 0), click(l.ID, 1)))
			})
			won := 0
			for _, err := range errs {
				if err == nil {
					won++
				} else if !errors.Is(err, engine.ErrFenced) {
					t.Errorf("WriteClicks = %v, want nil or ErrFenced", err)
				}
			}
			if got := readClicks(t, s, engine.ClickQuery{}); won != 1 || len(got) != 2 {
				t.Errorf("%d writers won, %d clicks, want 1, 2", won, len(got))
			}
		}},
		{"nodes that write the same links at once lose nothing", func(t *testing.T, s engine.Store) {
			const nodes, batches, each = 4, 6, 20
			var ids []engine.LinkID
			for i := range 5 {
				ids = append(ids, create(t, s, link(fmt.Sprint("shared", i))).ID)
			}
			parallel(nodes, func(n int) {
				for b := range batches {
					clicks := make([]engine.Click, each)
					for i := range clicks {
						clicks[i] = click(ids[(i+n)%len(ids)], i)
					}
					if err := s.WriteClicks(t.Context(), batch(engine.NodeID(fmt.Sprint("node", n)), 0, engine.Position(b), engine.Position(b+1), clicks...)); err != nil {
						t.Errorf("WriteClicks: %v", err)
					}
				}
			})
			for _, id := range ids {
				stats, err := s.Stats(t.Context(), engine.StatsQuery{Link: id, Referrers: 1})
				must(t, err)
				l, err := s.Link(t.Context(), id)
				must(t, err)
				if want := int64(nodes * batches * each / len(ids)); stats.Clicks != want || l.Clicks != want || stats.Referrers[0].Clicks != want {
					t.Errorf("link %d: %d clicks in stats, %d on the link, want %d", id, stats.Clicks, l.Clicks, want)
				}
			}
		}},
		{"a batch whose outcome is unknown is stored once by asking where its lane stands", proveUnknownOutcome},
	}
}

// proveUnknownOutcome cancels writes at every moment, and sends each again unless its checkpoint has moved.
func proveUnknownOutcome(t *testing.T, s engine.Store) {
	const batches, each = 25, 40
	l := create(t, s, link("unknown"))
	clicks := make([]engine.Click, each)
	for i := range clicks {
		clicks[i] = click(l.ID, i)
	}
	for b := range batches {
		ctx, cancel := context.WithCancel(t.Context())
		cancelled := make(chan struct{})
		go func() {
			defer close(cancelled)
			for range b * 2000 { // a little later with each batch
				if ctx.Err() != nil {
					break
				}
			}
			cancel()
		}()
		from, to := engine.Position(b), engine.Position(b+1)
		err := s.WriteClicks(ctx, batch(nodeA, 0, from, to, clicks...))
		<-cancelled
		if err == nil {
			continue
		}
		positions, err := s.Checkpoints(t.Context(), nodeA)
		must(t, err)
		if positions[0] == from {
			must(t, s.WriteClicks(t.Context(), batch(nodeA, 0, from, to, clicks...)))
		}
	}
	wantCheckpoints(t, s, nodeA, map[int]engine.Position{0: batches})
	got, err := s.Link(t.Context(), l.ID)
	must(t, err)
	if stored := len(readClicks(t, s, engine.ClickQuery{})); stored != batches*each || got.Clicks != batches*each {
		t.Errorf("%d clicks stored, %d counted, want %d", stored, got.Clicks, batches*each)
	}
}

func wantCheckpoints(t *testing.T, s engine.Store, node engine.NodeID, want map[int]engine.Position) {
	t.Helper()
	got, err := s.Checkpoints(t.Context(), node)
	must(t, err)
	if !maps.Equal(got, want) {
		t.Errorf("Checkpoints(%q) = %v, want %v", node, got, want)
	}
}
