package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/carom-dev/carom/engine"
)

// nodesStore keeps checkpoints by node, and may lose the answer of a batch.
type nodesStore struct {
	*fakeStore
	lanes map[engine.NodeID]map[int]engine.Position
	// after runs behind each batch, with the lock held; its error is the answer.
	after func(b *engine.ClickBatch) error
	// before is called with the lock.
	before func(b *engine.ClickBatch) error
}

func newNodesStore() *nodesStore {
	return &nodesStore{fakeStore: newFakeStore(), lanes: map[engine.NodeID]map[int]engine.Position{}}
}

func (s *nodesStore) Checkpoints(_ context.Context, node engine.NodeID) (map[int]engine.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lanes := map[int]engine.Position{}
	for lane, pos := range s.lanes[node] {
		lanes[lane] = pos
	}
	return lanes, nil
}

func (s *nodesStore) WriteClicks(_ context.Context, b *engine.ClickBatch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.before != nil {
		if err := s.before(b); err != nil {
			return err
		}
	}
	for _, m := range b.Moves {
		if s.lanes[b.Node][m.Lane] != m.From {
			return fmt.Errorf("lane %d: %w", m.Lane, engine.ErrFenced)
		}
	}
	if s.lanes[b.Node] == nil {
		s.lanes[b.Node] = map[int]engine.Position{}
	}
	for _, m := range b.Moves {
		s.lanes[b.Node][m.Lane] = m.To
	}
	s.stored = append(s.stored, slices.Clone(b.Clicks)...)
	if s.after != nil {
		return s.after(b)
	}
	return nil
}

// move is what another process, or a failover, does to a lane.
func (s *nodesStore) move(node engine.NodeID, lane int, pos engine.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lanes[node][lane] = pos
}

// renamedJournal takes names in memory.
type renamedJournal struct {
	*fakeJournal
	mu   sync.Mutex
	name engine.NodeID
	from []engine.Position
	fail error
}

func (j *renamedJournal) Node() engine.NodeID {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.name
}

func (j *renamedJournal) Rename(from []engine.Position) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.fail; err != nil {
		j.fail = nil
		return err
	}
	j.name += "+"
	j.from = slices.Clone(from)
	return nil
}

func (j *renamedJournal) From(lane int) engine.Position {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.from == nil {
		return 0
	}
	return j.from[lane]
}

// named starts actors over a journal of two lanes that can take another name.
func named(t *testing.T, s *nodesStore, j *renamedJournal, adjust func(*Config)) *Actors {
	t.Helper()
	return start(t, s.fakeStore, j.fakeJournal, func(c *Config) {
		c.Clicks, c.Journal, c.Names = s, j, j
		if adjust != nil {
			adjust(c)
		}
	})
}

func TestAWriterThatIsFencedOffGoesOnUnderAnotherName(t *testing.T) {
	s, j := newNodesStore(), &renamedJournal{fakeJournal: newFakeJournal(2), name: "own", fail: errors.New("disk is full")}
	a := named(t, s, j, nil)
	for i := 1; i <= 10; i++ {
		j.append(i%2, engine.Click{Link: engine.LinkID(i)})
	}
	until(t, "the first clicks are stored", func() bool { return len(s.clicks()) == 10 })
	s.move("own", 0, 77) // another process
	for i := 11; i <= 20; i++ {
		j.append(i%2, engine.Click{Link: engine.LinkID(i)})
	}
	until(t, "the others are stored under another name", func() bool { return len(s.clicks()) == 20 })
	wantOnce(t, s.fakeStore, 20)
	if own, other := s.lanes["own"], s.lanes["own+"]; own[0] != 77 || other[0] != 10 || other[1] != 10 {
		t.Errorf("checkpoints are %v and %v, want the other process's left alone, and 10 for both lanes", own, other)
	}
	until(t, "health warns with the new name", func() bool {
		h := a.writer.health()
		return h.Status == engine.HealthWarn && strings.Contains(h.Reason, "node own+")
	})
}

// TestABatchOfUnknownFateIsSetAside holds that what may be stored under the old name is not stored again under the new one.
func TestABatchOfUnknownFateIsSetAside(t *testing.T) {
	s, j := newNodesStore(), &renamedJournal{fakeJournal: newFakeJournal(1), name: "own"}
	lost := false
	s.after = func(b *engine.ClickBatch) error {
		if lost || b.Node != "own" {
			return nil
		}
		lost = true
		s.lanes["own"][0] += 5 // stored, and moved on by another process before anybody asks
		return errAway
	}
	var mu sync.Mutex
	var aside []engine.LinkID
	for i := 1; i <= 3; i++ {
		j.append(0, engine.Click{Link: engine.LinkID(i)})
	}
	named(t, s, j, func(c *Config) {
		c.SetAside = func(click engine.Click, _ error) error {
			mu.Lock()
			defer mu.Unlock()
			aside = append(aside, click.Link)
			return nil
		}
	})
	until(t, "the name is taken", func() bool { return j.Node() == "own+" })
	for i := 4; i <= 6; i++ {
		j.append(0, engine.Click{Link: engine.LinkID(i)})
	}
	until(t, "later clicks are stored", func() bool { return len(s.clicks()) >= 6 })
	wantOnce(t, s.fakeStore, 6)
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(aside, []engine.LinkID{1, 2, 3}) {
		t.Errorf("%v were set aside, want 1, 2 and 3", aside)
	}
}

// TestAStoreThatWentBackIsBroughtUpAgain holds that clicks which a failover took out of the store come back from the journal.
func TestAStoreThatWentBackIsBroughtUpAgain(t *testing.T) {
	s, j := newNodesStore(), &renamedJournal{fakeJournal: newFakeJournal(2), name: "own"}
	a := named(t, s, j, nil)
	for i := 1; i <= 10; i++ {
		j.append(i%2, engine.Click{Link: engine.LinkID(i)})
	}
	until(t, "the first clicks are stored", func() bool { return len(s.clicks()) == 10 })
	s.mu.Lock()
	s.lanes["own"] = map[int]engine.Position{0: 2} // lane 1 was never heard of
	s.stored = []engine.Click{{Link: 2}, {Link: 4}}
	s.mu.Unlock()
	for i := 11; i <= 12; i++ {
		j.append(i%2, engine.Click{Link: engine.LinkID(i)})
	}
	until(t, "all clicks are stored", func() bool { return len(s.clicks()) >= 12 })
	wantOnce(t, s.fakeStore, 12)
	until(t, "health warns", func() bool {
		h := a.writer.health()
		return h.Status == engine.HealthWarn && strings.Contains(h.Reason, "went back")
	})
	if j.Node() != "own" {
		t.Errorf("the node is %s, want its own name", j.Node())
	}
}

// TestANameWhoseBeginningComesTrueLateIsLeftWhereItBegan loses the answer to a new name's first checkpoints, which the store carries out later:
// what was stored under the first name is not stored again under the third.
func TestANameWhoseBeginningComesTrueLateIsLeftWhereItBegan(t *testing.T) {
	const clicks = 20
	store := newNodesStore()
	journal := &renamedJournal{fakeJournal: newFakeJournal(1), name: "n"}
	for i := range clicks / 2 {
		journal.append(0, engine.Click{Link: engine.LinkID(i + 1)})
	}
	lost := errors.New("connection lost")
	var late []engine.LaneMove // under the second name
	store.before = func(b *engine.ClickBatch) error {
		if b.Node != "n+" || len(b.Clicks) > 0 {
			return nil
		}
		if late == nil {
			late = b.Moves
			return lost
		}
		// It comes true now, before the second try.
		store.lanes[b.Node] = map[int]engine.Position{}
		for _, m := range late {
			store.lanes[b.Node][m.Lane] = m.To
		}
		store.before = nil
		return nil
	}
	a := named(t, store, journal, nil)
	until(t, "the first clicks are stored", func() bool { return len(store.clicks()) == clicks/2 })
	until(t, "the writer rests", func() bool { return a.Stats().Writer.Lag == 0 })
	store.move("n", 0, 1<<40) // another process
	for i := range clicks / 2 {
		journal.append(0, engine.Click{Link: engine.LinkID(clicks/2 + i + 1)})
	}
	until(t, "all clicks are stored", func() bool { return len(store.clicks()) >= clicks })
	until(t, "the third name is taken", func() bool { return journal.Node() == "n++" })
	if n := len(store.clicks()); n != clicks {
		t.Errorf("%d clicks are stored, want %d", n, clicks)
	}
}
