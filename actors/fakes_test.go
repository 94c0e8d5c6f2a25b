package actors

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/engine/limit"
)

var errAway = errors.New("the store is away")

// fakeStore is a store in memory whose answers a test can hold back, fail, or lose after the commit.
type fakeStore struct {
	mu      sync.Mutex
	links   map[engine.Key]engine.Link
	queries int
	asked   int
	// onLoad runs before a query is answered, without the lock.
	onLoad func() error

	stored      []engine.Click
	checkpoints map[int]engine.Position
	// onWrite is asked before a batch: it may fail it, before or (commit true) after it took effect.
	onWrite   func(b *engine.ClickBatch) (commit bool, err error)
	leased    map[engine.LinkID]int64
	holders   map[engine.LinkID]map[engine.NodeID]int64 // leased, by node
	returned  int64
	reclaimed int
	onLease   func() error
	onReturn  func() // before visits are taken back, without the lock
}

func newFakeStore(links ...engine.Link) *fakeStore {
	f := &fakeStore{links: map[engine.Key]engine.Link{}, checkpoints: map[int]engine.Position{}, leased: map[engine.LinkID]int64{}, holders: map[engine.LinkID]map[engine.NodeID]int64{}}
	for _, l := range links {
		f.links[l.Key()] = l
	}
	return f
}

func (f *fakeStore) set(l engine.Link) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.links[l.Key()] = l
}

func (f *fakeStore) LoadLinks(_ context.Context, keys []engine.Key) ([]engine.Link, error) {
	f.mu.Lock()
	f.queries++
	f.asked += len(keys)
	hook := f.onLoad
	var found []engine.Link
	for _, k := range keys {
		if l, ok := f.links[k]; ok {
			found = append(found, l)
		}
	}
	f.mu.Unlock()
	if hook != nil {
		if err := hook(); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func (f *fakeStore) Checkpoints(context.Context, engine.NodeID) (map[int]engine.Position, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	cps := map[int]engine.Position{}
	for lane, pos := range f.checkpoints {
		cps[lane] = pos
	}
	return cps, nil
}

func (f *fakeStore) WriteClicks(_ context.Context, b *engine.ClickBatch) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var failure error
	if f.onWrite != nil {
		commit, err := f.onWrite(b)
		if err != nil && !commit {
			return err
		}
		failure = err
	}
	for _, m := range b.Moves {
		if f.checkpoints[m.Lane] != m.From {
			return engine.ErrFenced
		}
	}
	for _, m := range b.Moves {
		f.checkpoints[m.Lane] = m.To
	}
	f.stored = append(f.stored, slices.Clone(b.Clicks)...)
	return failure
}

func (f *fakeStore) LeaseVisits(_ context.Context, node engine.NodeID, link engine.LinkID, need, want int64) (engine.VisitLease, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.onLease != nil {
		if err := f.onLease(); err != nil {
			return engine.VisitLease{}, err
		}
	}
	for _, l := range f.links {
		if l.ID == link {
			n := max(min(max(need, want), l.MaxVisits-f.leased[link]), 0)
			f.hold(node, link, n)
			got := engine.VisitLease{Visits: n}
			for other, held := range f.holders[link] {
				got.Elsewhere = got.Elsewhere || n == 0 && other != node && held > 0
			}
			return got, nil
		}
	}
	return engine.VisitLease{}, engine.Errorf(engine.CodeNotFound, "no link %d", link)
}

// hold is called with the lock.
func (f *fakeStore) hold(node engine.NodeID, link engine.LinkID, n int64) {
	f.leased[link] += n
	if f.holders[link] == nil {
		f.holders[link] = map[engine.NodeID]int64{}
	}
	f.holders[link][node] += n
}

func (f *fakeStore) ReturnVisits(_ context.Context, node engine.NodeID, link engine.LinkID, n int64) error {
	if f.onReturn != nil {
		f.onReturn()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hold(node, link, -n)
	f.returned += n
	return nil
}

func (f *fakeStore) ReclaimVisits(context.Context, engine.NodeID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reclaimed++
	return nil
}

func (f *fakeStore) VisitorSalt(_ context.Context, day time.Time) ([16]byte, error) {
	return [16]byte{byte(day.Day()), 1, 2, 3}, nil
}

func (f *fakeStore) clicks() []engine.Click {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.stored)
}

// fakeJournal is a journal in memory: a slice a lane, whose index+1 is the position behind a click.
type fakeJournal struct {
	mu        sync.Mutex
	lanes     [][]engine.Click
	at        []int
	recovered []engine.Position
}

func newFakeJournal(lanes int) *fakeJournal {
	return &fakeJournal{lanes: make([][]engine.Click, lanes), at: make([]int, lanes), recovered: make([]engine.Position, lanes)}
}

func (f *fakeJournal) append(lane int, c engine.Click) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lanes[lane] = append(f.lanes[lane], c)
}

func (f *fakeJournal) Node() engine.NodeID { return "0123456789abcdef0123456789abcdef" }

func (f *fakeJournal) Lanes() int { return len(f.lanes) }

func (f *fakeJournal) Seek(lane int, pos engine.Position) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at[lane] = int(pos)
	return nil
}

func (f *fakeJournal) Read(lane, max int, dst []engine.Click) ([]engine.Click, engine.Position, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	from := f.at[lane]
	to := min(from+max, len(f.lanes[lane]))
	f.at[lane] = to
	return append(dst, f.lanes[lane][from:to]...), engine.Position(to), nil
}

func (f *fakeJournal) Release(int, engine.Position) error { return nil }

func (f *fakeJournal) Recovered(lane int) engine.Position { return f.recovered[lane] }

func makeLink(code string, version uint64) engine.Link {
	return engine.Link{
		ID: engine.LinkID(engine.HashKey(1, code)>>2 | 1), Domain: engine.DefaultDomain, Code: code, Target: "https://example.com/" + code, Active: true, RedirectStatus: 302, Version: version,
	}
}

// start runs actors on a fake store and journal; adjust may change the Config.
func start(t testing.TB, store *fakeStore, journal *fakeJournal, adjust func(*Config)) *Actors {
	t.Helper()
	return startWith(t, store, journal, adjust, nil)
}

// startWith is start with limiters to exchange.
func startWith(t testing.TB, store *fakeStore, journal *fakeJournal, adjust func(*Config), limiters map[string]*limit.Limiter) *Actors {
	t.Helper()
	cfg := Config{
		Links: store, Clicks: store, Journal: journal, SetAside: func(engine.Click, error) error { return nil },
		Shards: 4, CacheBytes: 64 << 20, BatchInterval: time.Millisecond, LookupTimeout: 30 * time.Second, LoadTimeout: time.Minute,
		Logger: slog.New(slog.DiscardHandler),
	}
	if adjust != nil {
		adjust(&cfg)
	}
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	a.ExchangeRates(limiters)
	a.Start(t.Context())
	t.Cleanup(func() {
		if err := a.Stop(context.Background()); err != nil {
			t.Errorf("Stop = %v", err)
		}
	})
	return a
}

// resolve is what the edge does with a code.
func resolve(a *Actors, code string, visit engine.Visit) engine.Resolution {
	now := time.Now().UnixMicro()
	res, ok := a.Lookup(engine.DefaultDomain, []byte(code), now, visit)
	if !ok {
		res = a.Load(res, engine.DefaultDomain, []byte(code), now, visit)
	}
	return res
}

// until waits for a condition that another goroutine brings about; the test's own deadline bounds it.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("never came true: %s", what)
		}
		runtime.Gosched()
	}
}

// count is how many of the outcomes are want.
func count(outcomes []engine.Outcome, want engine.Outcome) (n int) {
	for _, o := range outcomes {
		if o == want {
			n++
		}
	}
	return n
}

// together resolves a code n times at once.
func together(a *Actors, code string, n int) []engine.Outcome {
	outcomes := make([]engine.Outcome, n)
	var visitors sync.WaitGroup
	var gate atomic.Bool
	for i := range n {
		visitors.Go(func() {
			for !gate.Load() {
				runtime.Gosched()
			}
			outcomes[i] = resolve(a, code, engine.VisitCounted).Outcome
		})
	}
	gate.Store(true)
	visitors.Wait()
	return outcomes
}
