package actors

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carom-dev/carom/engine"
)

// pacedStore has something done before each batch.
type pacedStore struct {
	*fakeStore
	before func(clicks int)
}

func (s *pacedStore) WriteClicks(ctx context.Context, b *engine.ClickBatch) error {
	s.before(len(b.Clicks))
	return s.fakeStore.WriteClicks(ctx, b)
}

// TestBatchesGrowWhileTheWriterCatchesUp holds that full batches double up to a bound while the store is quick, stay as they are
// while it is slow, and are as before once the writer has caught up.
func TestBatchesGrowWhileTheWriterCatchesUp(t *testing.T) {
	const most, backlog = 10, 500
	for _, store := range []struct {
		name string
		took time.Duration // by a batch
		want []int         // the first sizes
	}{
		{"quick", quickFlush - 1, []int{10, 20, 40, 80, 160}},
		{"slow", quickFlush, []int{10, 10, 10, 10, 10}},
	} {
		t.Run(store.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake, journal := newFakeStore(), newFakeJournal(1)
				var sizes []int
				paced := &pacedStore{fake, func(clicks int) {
					time.Sleep(store.took) //nolint:forbidigo // the bubble's clock
					sizes = append(sizes, clicks)
				}}
				for n := range backlog {
					journal.append(0, engine.Click{Link: engine.LinkID(n + 1)})
				}
				cfg := Config{
					Journal: journal, Clicks: paced, Changes: &fakeLog{}, BatchMax: most, BatchInterval: time.Second,
					Shards: 1, CacheBytes: 1 << 20, Links: fake, SetAside: func(engine.Click, error) error { return nil },
				}
				a, err := New(cfg)
				if err != nil {
					t.Fatal(err)
				}
				stored := func(n int) {
					for len(fake.clicks()) < n {
						time.Sleep(time.Second) //nolint:forbidigo // the bubble's clock
					}
				}
				a.Start(t.Context())
				stored(backlog)
				if len(sizes) < len(store.want) || !slices.Equal(sizes[:len(store.want)], store.want) {
					t.Errorf("batches of %v clicks, want them to begin with %v", sizes, store.want)
				}
				if biggest := slices.Max(sizes); biggest > most*batchGrowMax {
					t.Errorf("a batch of %d clicks, want at most %d", biggest, most*batchGrowMax)
				}
				time.Sleep((busyIntervals+1)*time.Second + time.Second/2) //nolint:forbidigo // the bubble's clock: a round with nothing to store, to between two ticks
				caughtUp := len(sizes)
				for n := range 2 * most {
					journal.append(0, engine.Click{Link: engine.LinkID(n + 1)})
				}
				stored(backlog + 2*most)
				if sizes[caughtUp] != most {
					t.Errorf("the first batch after catching up has %d clicks, want %d", sizes[caughtUp], most)
				}
				if err := a.Stop(context.Background()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestMuchComesInLargeBatches has more than a batch come in each interval, and then less.
func TestMuchComesInLargeBatches(t *testing.T) {
	const most = 10
	synctest.Test(t, func(t *testing.T) {
		fake, journal := newFakeStore(), newFakeJournal(1)
		var mu sync.Mutex
		var sizes []int // guarded by mu
		paced := &pacedStore{fake, func(clicks int) {
			mu.Lock()
			defer mu.Unlock()
			sizes = append(sizes, clicks)
		}}
		take := func() []int {
			mu.Lock()
			defer mu.Unlock()
			taken := sizes
			sizes = nil
			return taken
		}
		a, err := New(Config{
			Journal: journal, Clicks: paced, Changes: &fakeLog{}, BatchMax: most, BatchInterval: time.Second,
			Shards: 1, CacheBytes: 1 << 20, Links: fake, SetAside: func(engine.Click, error) error { return nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		a.Start(t.Context())
		time.Sleep(time.Second / 2) //nolint:forbidigo // the bubble's clock: what comes does so between two ticks
		comes := 0
		come := func(clicks, intervals int) []int {
			take()
			for range intervals {
				for range clicks {
					comes++
					journal.append(0, engine.Click{Link: engine.LinkID(comes)})
				}
				time.Sleep(time.Second) //nolint:forbidigo // the bubble's clock
			}
			return take()
		}
		come(most+2, 10) // until batches have grown
		for _, n := range come(most+2, 9) {
			if n != busyIntervals*(most+2) {
				t.Errorf("a batch of %d clicks while much comes, want all those of %d intervals, %d", n, busyIntervals, busyIntervals*(most+2))
			}
		}
		come(most-2, 10)
		for _, n := range come(most-2, 9) {
			if n != most-2 {
				t.Errorf("a batch of %d clicks while little comes, want those of one interval, %d", n, most-2)
			}
		}
		come(most+2, 10)
		began := time.Now()
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 0 || len(fake.clicks()) != comes {
			t.Errorf("%d of %d clicks are stored %v after the stop, want all at once", len(fake.clicks()), comes, took)
		}
	})
}

// TestBatchesThatFailGetSmaller has a store that takes no more than a few clicks in the time that a batch has.
func TestBatchesThatFailGetSmaller(t *testing.T) {
	const clicks, most = 4 * batchLeast, 3 * batchLeast / 2
	store, journal := newFakeStore(), newFakeJournal(1)
	store.onWrite = func(b *engine.ClickBatch) (bool, error) {
		if len(b.Clicks) > most {
			return false, context.DeadlineExceeded
		}
		return true, nil
	}
	for i := range clicks {
		journal.append(0, engine.Click{Link: engine.LinkID(i + 1)})
	}
	start(t, store, journal, func(c *Config) { c.BatchMax = clicks })
	until(t, "all clicks are stored", func() bool { return len(store.clicks()) == clicks })
	wantOnce(t, store, clicks)
}
