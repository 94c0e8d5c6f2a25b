package actors

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/carom-dev/carom/actors/stage"
	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/engine/latency"
	"github.com/carom-dev/carom/engine/table"
)

// loader takes the shards' questions to the store, a bounded number at a time, on workers of its own. It keeps no answer.
// Its queues are bounded by those who ask: a code that visitors wait for is asked for once, and so is a lease.
type loader struct {
	cfg     *Config
	stage   *stage.Stage
	mailbox *stage.Mailbox[loaderMessage]
	// leasable is set once the node's leases from before its start have been reclaimed; until then none may be taken.
	leasable *atomic.Bool

	loads     []*load
	unasked   int // codes in loads
	leases    []*lease
	giveBacks map[engine.LinkID]int64
	queries   map[*query]struct{} // under way
	late      int                 // of queries: those that take longer than lateAfter
	leasing   int                 // workers
	giving    bool                // a worker gives visits back
	returned  []chan struct{}     // closed when there are no visits to give back any more

	answered atomic.Int64 // Unix nanoseconds of the latest answer of the store; 0 after a failure
	slow     atomic.Int64 // Unix nanoseconds of the latest answer that took long
	asked    atomic.Int64 // queries
	keys     atomic.Int64
	failures atomic.Int64      // of queries, in a row
	refusals atomic.Int64      // of leases, in a row
	errors   atomic.Int64      // queries and leases that failed
	leased   atomic.Int64      // visits
	time     latency.Histogram // of a query
	depth    atomic.Int64
}

// load is a batch of codes that a shard asks for.
type load struct {
	shard *stage.Mailbox[shardMessage]
	keys  []engine.Key
}

// query is a question to the store under way.
type query struct{ late bool }

// loadResult is the answer. With a nil err, a key without a link has none.
type loadResult struct {
	keys  []engine.Key
	links map[engine.Key]*engine.Link
	err   error
}

type lease struct {
	shard *stage.Mailbox[shardMessage]
	link  engine.LinkID
	ref   table.BudgetRef // of the account that asks
	era   uint32          // of the shard
	need  int64           // visitors who wait
	want  int64
}

// leaseResult is the answer: n visits, 0 when there are none left to lease, though some may be elsewhere, or once they have been taken.
type leaseResult struct {
	link      engine.LinkID
	ref       table.BudgetRef // of the account that asked
	era       uint32          // of the shard when it asked
	n         int64
	elsewhere bool
	err       error
}

// take returns the visits, once.
func (r *leaseResult) take() int64 {
	n := r.n
	r.n = 0
	return n
}

// giveBack is n visits to be returned; 0 once the loader has taken them over.
type giveBack struct {
	link engine.LinkID
	n    int64
}

// loaderMessage is what the loader's mailbox takes: exactly one of its parts is set.
type loaderMessage struct {
	load     *load
	lease    *lease
	giveBack *giveBack
	late     *query        // it takes long
	answered *query        // it is done
	ended    *worker       // it is done
	leasable bool          // leases may be taken from now on
	returned chan struct{} // to be closed when all visits are given back
}

// worker leases visits or gives some back.
type worker struct {
	kind  workerKind
	ended bool // and no longer counted
}

type workerKind uint8

const (
	workerLease workerKind = iota + 1
	workerGiveBack
)

const (
	// loadersMax queries run at once: two batches more than the cores that a small database has.
	loadersMax = 4
	// besideMin codes must wait for each query under way before another one is begun beside them: what comes while the store is at work
	// makes the next batch larger. With 128 visitors at once a query has half of them (BenchmarkColdLinks).
	besideMin = 64
	// lateAfter is when a query no longer holds others back: it may be one that is never answered.
	lateAfter = 20 * time.Millisecond
	// slowPart of a LookupTimeout is long for an answer, and makes a store a busy one for slowMemory.
	slowPart   = 4
	slowMemory = time.Minute
	// leasersMax leases are asked for at once.
	leasersMax = 4
)

// Receive implements stage.Behavior.
func (l *loader) Receive(m loaderMessage) {
	switch {
	case m.load != nil:
		if m.load.shard == nil || len(m.load.keys) == 0 {
			// Here, before it is joined with others whose answers it would take down with it.
			panic("BUG: a load without a shard or without codes")
		}
		l.loads = append(l.loads, m.load)
		l.unasked += len(m.load.keys)
	case m.lease != nil:
		l.leases = append(l.leases, m.lease)
	case m.giveBack != nil:
		l.collect(m.giveBack)
	case m.late != nil:
		if _, ok := l.queries[m.late]; ok { // else its answer has overtaken this
			m.late.late = true
			l.late++
		}
	case m.answered != nil:
		l.end(m.answered)
	case m.ended != nil:
		l.dismiss(m.ended)
	case m.returned != nil:
		l.returned = append(l.returned, m.returned)
	}
}

// Settle implements stage.Settler: all questions that came together are in one query.
func (l *loader) Settle() {
	l.start()
	l.depth.Store(int64(len(l.loads) + len(l.leases)))
}

// Failed implements stage.Behavior: whoever asked is told, and what has ended holds nothing back, however far Receive had come.
func (l *loader) Failed(m loaderMessage) {
	err := errors.New("the loader could not take the question")
	switch {
	case m.load != nil:
		if at := slices.Index(l.loads, m.load); at >= 0 {
			l.loads = slices.Delete(l.loads, at, at+1)
			l.unasked -= len(m.load.keys)
		}
		answerLoads([]*load{m.load}, nil, err)
	case m.lease != nil:
		l.leases = slices.DeleteFunc(l.leases, func(ask *lease) bool { return ask == m.lease })
		answerLease(m.lease, engine.VisitLease{}, err)
	case m.giveBack != nil:
		l.collect(m.giveBack)
	case m.answered != nil:
		l.end(m.answered)
	case m.ended != nil:
		l.dismiss(m.ended)
	case m.returned != nil && !slices.Contains(l.returned, m.returned):
		l.returned = append(l.returned, m.returned)
	}
}

// collect takes visits over, once.
func (l *loader) collect(g *giveBack) {
	if n := g.n; n > 0 {
		g.n = 0
		l.giveBacks[g.link] += n
	}
}

// end counts a query no longer.
func (l *loader) end(q *query) {
	if _, ok := l.queries[q]; !ok {
		return
	}
	delete(l.queries, q)
	if q.late {
		l.late--
	}
}

// dismiss counts a worker no longer.
func (l *loader) dismiss(w *worker) {
	if w.ended {
		return
	}
	w.ended = true
	if w.kind == workerLease {
		l.leasing--
	} else {
		l.giving = false
	}
}

func (l *loader) start() {
	for len(l.loads) > 0 && len(l.queries) < loadersMax && l.worthwhile() {
		batch, q := l.take(), &query{}
		l.queries[q] = struct{}{}
		l.stage.Go("loader", func() {
			late := time.AfterFunc(lateAfter, func() { l.mailbox.Post(loaderMessage{late: q}) })
			defer func() {
				late.Stop()
				l.mailbox.Post(loaderMessage{answered: q})
			}()
			l.load(batch)
		}, func(err error) { answerLoads(batch, nil, err) })
	}
	// Until the old leases are reclaimed the visitors wait, for as long as they do for any look-up.
	for len(l.leases) > 0 && l.leasing < leasersMax && l.leasable.Load() {
		ask := l.leases[0]
		l.leases = l.leases[1:]
		l.leasing++
		l.work(workerLease, func() { l.lease(ask) }, func(err error) { answerLease(ask, engine.VisitLease{}, err) })
	}
	if !l.giving && len(l.giveBacks) > 0 {
		returns := l.giveBacks
		l.giveBacks = map[engine.LinkID]int64{}
		l.giving = true
		l.work(workerGiveBack, func() {
			defer func() { // those that were not tried, after a panic; before the worker has ended
				for link, n := range returns {
					l.mailbox.Post(loaderMessage{giveBack: &giveBack{link, n}})
				}
			}()
			l.giveBack(returns)
		}, nil)
	}
	if !l.giving {
		for _, done := range l.returned {
			close(done)
		}
		l.returned = nil
	}
}

// worthwhile reports whether what waits is enough for a query beside those under way.
func (l *loader) worthwhile() bool { return l.unasked >= besideMin*(len(l.queries)-l.late) }

func (l *loader) work(kind workerKind, work func(), failed func(error)) {
	l.stage.Go("loader", func() {
		defer l.mailbox.Post(loaderMessage{ended: &worker{kind: kind}})
		work()
	}, failed)
}

// take joins waiting batches, of several shards, into one query of up to batchMax codes.
func (l *loader) take() []*load {
	n, keys := 1, len(l.loads[0].keys)
	for n < len(l.loads) && keys+len(l.loads[n].keys) <= batchMax {
		keys += len(l.loads[n].keys)
		n++
	}
	batch := append([]*load(nil), l.loads[:n]...)
	l.loads = append(l.loads[:0], l.loads[n:]...)
	l.unasked -= keys
	return batch
}

func (l *loader) load(batch []*load) {
	n := 0
	for _, b := range batch {
		n += len(b.keys)
	}
	keys := make([]engine.Key, 0, n)
	for _, b := range batch {
		keys = append(keys, b.keys...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), l.cfg.LoadTimeout)
	defer cancel()
	l.asked.Add(1)
	l.keys.Add(int64(len(keys)))
	ctx, span := l.cfg.Tracer.Start(ctx, "load links")
	span.Set("carom.codes", len(keys))
	start := time.Now()
	l.stage.Failpoint("worker/load/before")
	links, err := l.cfg.Links.LoadLinks(ctx, keys)
	l.stage.Failpoint("worker/load/behind")
	took := time.Since(start)
	l.time.Observe(took)
	span.End(err)
	if err != nil {
		l.errors.Add(1)
		l.answered.Store(0)
		if n := l.failures.Add(1); n == 1 {
			l.cfg.Logger.Warn("store does not answer look-ups", "keys", len(keys), "err", err)
		}
	} else {
		now := l.cfg.Now().UnixNano()
		if took > l.cfg.LookupTimeout/slowPart {
			l.slow.Store(now)
		}
		l.answered.Store(now)
		if n := l.failures.Swap(0); n > 0 {
			l.cfg.Logger.Info("store answers look-ups again", "failures", n)
		}
	}
	answerLoads(batch, links, err)
}

// well reports whether the store has answered a look-up within the last LookupTimeout, or two where it is known to take its time: a silence
// that is usual for a busy store is an outage of one that has answered in milliseconds. Safe for concurrent use.
func (l *loader) well() bool {
	now, bound := l.cfg.Now().UnixNano(), int64(l.cfg.LookupTimeout)
	if now-l.slow.Load() < int64(slowMemory) {
		bound *= 2
	}
	return now-l.answered.Load() < bound
}

func answerLoads(batch []*load, links []engine.Link, err error) {
	byKey := make(map[engine.Key]*engine.Link, len(links))
	for i := range links {
		byKey[links[i].Key()] = &links[i]
	}
	for _, b := range batch {
		b.shard.Post(shardMessage{kind: kindLoaded, loaded: &loadResult{keys: b.keys, links: byKey, err: err}})
	}
}

func (l *loader) lease(ask *lease) {
	ctx, cancel := context.WithTimeout(context.Background(), l.cfg.LoadTimeout)
	defer cancel()
	l.stage.Failpoint("worker/lease/before")
	got, err := l.cfg.Clicks.LeaseVisits(ctx, l.cfg.Journal.Node(), ask.link, ask.need, ask.want)
	l.stage.Failpoint("worker/lease/behind")
	l.leased.Add(got.Visits)
	if err != nil {
		l.errors.Add(1)
		if l.refusals.Add(1) == 1 { // as often as visitors ask: once is enough
			l.cfg.Logger.Warn("visits could not be leased", "link", ask.link, "err", err)
		}
	} else if n := l.refusals.Swap(0); n > 0 {
		l.cfg.Logger.Info("visits can be leased again", "failures", n)
	}
	answerLease(ask, got, err)
}

func answerLease(ask *lease, got engine.VisitLease, err error) {
	ask.shard.Post(shardMessage{kind: kindLeased, leased: &leaseResult{link: ask.link, ref: ask.ref, era: ask.era, n: got.Visits, elsewhere: got.Elsewhere, err: err}})
}

// giveBack returns visits to the store.
func (l *loader) giveBack(returns map[engine.LinkID]int64) {
	for link, n := range returns {
		delete(returns, link) // tried
		// After an error that hides whether it was done, returning again could give back twice: the lease then keeps the visits
		// until the node starts again.
		if err := l.returnVisits(link, n); err != nil {
			l.cfg.Logger.Warn("visits stay leased until the next start", "link", link, "visits", n, "err", err)
		}
	}
}

func (l *loader) returnVisits(link engine.LinkID, n int64) error {
	ctx, cancel := context.WithTimeout(context.Background(), l.cfg.LoadTimeout)
	defer cancel()
	l.stage.Failpoint("worker/give-back/before")
	err := l.cfg.Clicks.ReturnVisits(ctx, l.cfg.Journal.Node(), link, n)
	l.stage.Failpoint("worker/give-back/behind")
	return err
}
