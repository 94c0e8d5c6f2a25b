package actors

import (
	"testing"

	"github.com/carom-dev/carom/engine"
)

// panicsOf is how many messages of an actor panicked.
func panicsOf(a *Actors, name string) int64 {
	for _, s := range a.Stats().Stage.Actors {
		if s.Name == name {
			return s.Panics
		}
	}
	return -1
}

// TestPanicsOfTheFeedLeaveEditsArriving sends a thousand broken announcements, whose failing can't be told either.
func TestPanicsOfTheFeedLeaveEditsArriving(t *testing.T) {
	c := startCluster(t, 2, true)
	c.edit(0, "a", 1)
	before := panicsOf(c.instances[0], "feed")
	for range 1000 {
		c.instances[0].feed.mailbox.Post(feedMessage{announce: &announcement{}})
	}
	c.edit(0, "a", 2)
	until(t, "the edit is on the other instance", func() bool { return target(c.instances[1], "a") == "https://example.com/a/2" })
	until(t, "the panics are counted", func() bool { return panicsOf(c.instances[0], "feed") >= before+1000 })
	if h := c.instances[0].supervisor.health(); h.Status == engine.HealthPass {
		t.Error("health passes after panics")
	}
}

// TestPanickingWritesLoseNoClick lets the driver panic before and behind the commit.
func TestPanickingWritesLoseNoClick(t *testing.T) {
	const panics, clicks = 3, 100
	store, journal := newFakeStore(), newFakeJournal(1)
	tries := 0
	store.onWrite = func(*engine.ClickBatch) (bool, error) {
		if tries++; tries <= panics {
			panic("driver bug")
		}
		return true, nil
	}
	for i := 1; i <= clicks; i++ {
		journal.append(0, engine.Click{Link: engine.LinkID(i)})
	}
	a := start(t, store, journal, nil)
	until(t, "all clicks are stored", func() bool {
		store.mu.Lock()
		defer store.mu.Unlock()
		return len(store.stored) >= clicks
	})
	wantOnce(t, store, clicks)
	if got := a.Stats().Stage.WorkerPanics; got != panics {
		t.Errorf("%d panics of workers are counted, want %d", got, panics)
	}
	if got := a.Stats().Writer.Errors; got != panics {
		t.Errorf("%d failed tries are counted, want %d", got, panics)
	}
}
