package actors

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carom-dev/carom/engine"
)

// TestAnnouncementIsBoundedAsAWhole announces many changes of links whose shard does nothing.
func TestAnnouncementIsBoundedAsAWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startWith(t, newFakeStore(), newFakeJournal(1), func(cfg *Config) { cfg.Shards, cfg.Changes = 1, &fakeLog{} }, nil)
		release := make(chan struct{})
		a.shards[0].mailbox.Post(shardMessage{kind: kindRelease, then: func() { <-release }})
		var changes []engine.Change
		for n := range 60 {
			l := makeLink(fmt.Sprint("link", n), 1)
			changes = append(changes, engine.Change{ID: engine.AuditID(n + 1), Link: l.ID, Key: l.Key(), Version: 1})
		}
		l := makeLink("link0", 1)
		for what, announce := range map[string]func() engine.Propagation{
			"one edit": func() engine.Propagation { return a.Announce(t.Context(), l, changes[0]) },
			"many":     func() engine.Propagation { return a.AnnounceMany(t.Context(), changes) },
		} {
			from := time.Now()
			if p := announce(); p != (engine.Propagation{Applied: 0, Live: 1}) {
				t.Errorf("%s: Propagation = %+v while the shard does nothing, want 0 of 1", what, p)
			}
			if took := time.Since(from); took != announceTimeout {
				t.Errorf("%s: answered after %v, want %v", what, took, announceTimeout)
			}
		}
		close(release)
		if p := a.AnnounceMany(t.Context(), changes); p != (engine.Propagation{Applied: 1, Live: 1}) {
			t.Errorf("Propagation = %+v, want 1 of 1", p)
		}
	})
}

// TestStuckShardHereDoesNotKeepAnEditFromOthers edits a link whose shard does nothing on the instance that takes the edit.
func TestStuckShardHereDoesNotKeepAnEditFromOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &fakeBus{listeners: map[engine.NodeID]func(engine.BusMessage){}}
		journal := namedJournal{newFakeJournal(1), "here"}
		a := startWith(t, newFakeStore(), journal.fakeJournal, func(cfg *Config) {
			cfg.Journal, cfg.Changes, cfg.Bus, cfg.Shards = journal, &fakeLog{}, bus, 1
		}, nil)
		time.Sleep(2 * heartbeatInterval) //nolint:forbidigo // the bubble's clock: the bus is well when it has brought the own heartbeat
		bus.mu.Lock()
		bus.tamper = func(messages []engine.BusMessage) []engine.BusMessage {
			for _, m := range messages {
				if m.Kind == engine.BusChange {
					bus.listeners["here"](engine.BusMessage{Kind: engine.BusAck, From: "other", To: "here", Sequence: m.Sequence})
				}
			}
			return messages
		}
		bus.listeners["here"](engine.BusMessage{Kind: engine.BusHeartbeat, From: "other"})
		bus.mu.Unlock()
		synctest.Wait()
		release := make(chan struct{})
		defer close(release)
		a.shards[0].mailbox.Post(shardMessage{kind: kindRelease, then: func() { <-release }})
		l := makeLink("a", 1)
		from := time.Now()
		if p := a.Announce(t.Context(), l, engine.Change{ID: 1, Link: l.ID, Key: l.Key(), Version: 1}); p != (engine.Propagation{Applied: 1, Live: 2}) {
			t.Errorf("Propagation = %+v, want 1 of 2, which is the other one", p)
		}
		if took := time.Since(from); took != announceTimeout {
			t.Errorf("answered after %v, want %v", took, announceTimeout)
		}
	})
}

// TestRepeatTellsHowFarTheFirstTimeHasGot repeats an edit whose announcement was lost.
func TestRepeatTellsHowFarTheFirstTimeHasGot(t *testing.T) {
	c := startCluster(t, 2, true)
	c.bus.mu.Lock()
	c.bus.tamper = func(messages []engine.BusMessage) []engine.BusMessage {
		var kept []engine.BusMessage
		for _, m := range messages {
			if m.Kind != engine.BusChange {
				kept = append(kept, m)
			}
		}
		return kept
	}
	c.bus.mu.Unlock()
	want := engine.Propagation{Applied: 1, Live: 2}
	if p := c.edit(0, "a", 1); p != want {
		t.Fatalf("Propagation of a lost edit = %+v, want %+v", p, want)
	}
	repeat := func() engine.Propagation {
		return c.instances[0].Announce(t.Context(), makeLink("a", 1), engine.Change{})
	}
	if p := repeat(); p != want {
		t.Errorf("Propagation of a lost repeat = %+v, want %+v", p, want)
	}
	c.bus.mu.Lock()
	c.bus.tamper = nil
	c.bus.mu.Unlock()
	until(t, "a repeat says that both have it", func() bool { return repeat() == engine.Propagation{Applied: 2, Live: 2} })
}
