package actors

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/carom-dev/carom/actors/stage"
	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/engine/latency"
)

// writer takes clicks from the journal to the store, batch by batch, exactly once: it owns the position of every lane, the
// batch and the retry clock. One flush is under way at a time, on a worker; while it is, the worker owns all that is marked so.
type writer struct {
	cfg     *Config
	stage   *stage.Stage
	mailbox *stage.Mailbox[writerMessage]
	// leasable is set when the node's old leases have been reclaimed, and the loader told.
	leasable *atomic.Bool
	tell     func()

	flushing  *flushed       // the flush under way, where its report goes; nil: none is
	began     time.Time      // when the latest flush did
	paused    bool           // before the latest flush
	drained   []chan<- error // who waits for an empty journal; each has room for the answer
	failures  int            // in a row
	notBefore time.Time      // of the next flush, after a failure or while much comes

	// Owned by the flush under way.
	known     bool              // positions are the store's
	positions []engine.Position // by lane: what the store has
	attempt   []engine.LaneMove // the batch whose fate is not known
	// tried are the moves from where the lanes stand that may still come true: a database can finish a batch after whoever sent it has
	// given up, and has asked where the lanes stand. There are as many at most as a batch has ends.
	tried    map[engine.LaneMove]struct{}
	first    int  // the lane to read first, in turn
	batchMax int  // grows while much comes
	behind   bool // the latest batch was full: what comes next is what it has left over
	limit    int  // below batchMax while a refused click is looked for; 0: none is
	clicks   []engine.Click

	batches   atomic.Int64
	rows      atomic.Int64
	errors    atomic.Int64
	setAside  atomic.Int64
	nanos     atomic.Int64
	time      latency.Histogram // of a batch that was stored
	lag       atomic.Int64      // nanoseconds from the oldest click of the latest batch to its being stored
	held      atomic.Int64      // clicks that were read and are not stored, which the journal no longer counts as unread
	heldSince atomic.Int64      // microseconds of Unix time: the oldest of them; 0: none
	fenced    atomic.Bool
	settled   once // at the end of the first flush
	lastError atomic.Pointer[string]
	notice    atomic.Pointer[string] // what an operator should know although clicks are stored
}

// writerMessage is what the writer's mailbox takes.
type writerMessage struct {
	tick    bool
	flushed *flushed     // the worker's report
	drain   chan<- error // gets nil when the journal is empty, or why it can't be emptied now
}

// flushed is what came of a flush.
type flushed struct {
	clicks int
	more   bool // the batch was full: there is more
	err    error
}

const (
	// flushTimeout bounds one transaction; a batch is stored in tens of milliseconds where the database is well.
	flushTimeout = 30 * time.Second
	retryMin     = 100 * time.Millisecond
	retryMax     = 5 * time.Second
	// drainTries failures in a row and a drain is given up: the journal keeps the clicks, and the store may be away for long.
	drainTries = 3
	// quickFlush is how fast a full batch must go for the next one to be twice as large.
	quickFlush   = 300 * time.Millisecond
	batchGrowMax = 16
	// busyIntervals of BatchInterval pass between two batches of BatchMax clicks or more: what comes meanwhile makes the next one larger, and
	// a click in it costs less (BenchmarkWriterBatch).
	busyIntervals = 3
	// batchLeast clicks are tried, however often larger batches failed.
	batchLeast = 100
)

// Receive implements stage.Behavior.
func (w *writer) Receive(m writerMessage) {
	switch {
	case m.drain != nil:
		w.drain(m.drain)
	case m.flushed != nil:
		w.ended(m.flushed)
		w.report(m.flushed)
		if m.flushed.err != nil || !m.flushed.more && len(w.drained) == 0 {
			return
		}
	}
	if w.flushing != nil || w.fenced.Load() || w.cfg.Now().Before(w.notBefore) {
		return
	}
	f := &flushed{}
	w.flushing, w.began = f, w.cfg.Now()
	w.stage.Go("writer", func() {
		*f = w.flush()
		w.mailbox.Post(writerMessage{flushed: f})
	}, func(err error) {
		w.known = false // what was read may have been stored, or not: the journal's readers stand behind it
		*f = flushed{err: err}
		w.mailbox.Post(writerMessage{flushed: f})
	})
}

// ended notes that a flush is over; once one that came behind it is under way, it no longer matters.
func (w *writer) ended(f *flushed) {
	if w.flushing == f {
		w.flushing = nil
	}
}

// Failed implements stage.Behavior. The next tick goes on.
func (w *writer) Failed(m writerMessage) {
	switch {
	case m.flushed != nil:
		w.ended(m.flushed)
	case m.drain != nil:
		w.drain(m.drain)
	}
}

// drain has whoever waits at done told when the journal is empty.
func (w *writer) drain(done chan<- error) {
	if !slices.Contains(w.drained, done) {
		w.drained = append(w.drained, done)
	}
	w.notBefore, w.failures = time.Time{}, 0
	if w.fenced.Load() {
		w.settle(engine.ErrFenced)
	}
}

func (w *writer) report(f *flushed) {
	if f.err == nil {
		if w.failures > 0 {
			w.cfg.Logger.Info("clicks are being stored again", "failures", w.failures)
		}
		w.failures = 0
		w.lastError.Store(nil)
		if f.more {
			return
		}
		if f.clicks == 0 {
			w.settle(nil)
		}
		w.pause(f.clicks)
		return
	}
	w.errors.Add(1)
	w.failures++
	w.lastError.Store(new(f.err.Error()))
	delay := min(retryMin<<min(w.failures-1, 10), retryMax)
	delay = delay/2 + rand.N(delay/2)
	w.notBefore = w.cfg.Now().Add(delay)
	if w.failures == 1 || w.fenced.Load() {
		w.cfg.Logger.Warn("clicks can't be stored; the journal keeps them", "retry_in", delay, "err", f.err)
	}
	if w.failures >= drainTries || w.fenced.Load() {
		w.settle(f.err)
	}
}

// pause lets the next batch wait for more while at least BatchMax clicks come in each BatchInterval.
func (w *writer) pause(clicks int) {
	much := w.cfg.BatchMax
	if w.paused {
		much *= busyIntervals
	}
	if w.paused = clicks >= much && len(w.drained) == 0; w.paused {
		w.notBefore = w.began.Add(busyIntervals*w.cfg.BatchInterval - w.cfg.BatchInterval/2) // between two ticks
	}
}

// settle tells those who wait for an empty journal that it is, or why it is not.
func (w *writer) settle(err error) {
	for _, done := range w.drained {
		select {
		case done <- err:
		default: // there has been an answer already
		}
	}
	w.drained = nil
}

// flush stores one batch.
func (w *writer) flush() flushed {
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	defer w.settled.close()
	if !w.known {
		if err := w.locate(ctx); err != nil {
			return flushed{err: err}
		}
	}
	if !w.leasable.Load() && w.recovered() {
		if err := w.cfg.Clicks.ReclaimVisits(ctx, w.cfg.Journal.Node()); err != nil {
			return flushed{err: fmt.Errorf("reclaim leased visits: %w", err)}
		}
		w.leasable.Store(true)
		w.tell()
	}
	batch, full, err := w.read()
	if err != nil {
		w.known = false // some lanes have been read
		return flushed{err: err}
	}
	if len(batch.Moves) == 0 {
		w.batchMax = w.cfg.BatchMax
		return flushed{}
	}
	start := time.Now()
	narrowed, err := w.write(ctx, batch)
	if err != nil || narrowed {
		return flushed{more: narrowed, err: err}
	}
	took := time.Since(start)
	w.nanos.Add(int64(took))
	w.adapt(len(batch.Clicks), full, took)
	// A batch that moved without clicks, or one of a search, says nothing about what comes behind it.
	return flushed{clicks: len(batch.Clicks), more: full || w.limit > 0 || len(batch.Clicks) == 0}
}

// hold notes which clicks are read and not stored: they may be in hand for as long as the store is away.
func (w *writer) hold(clicks []engine.Click) {
	since := int64(0)
	for i := range clicks {
		if i == 0 || clicks[i].At < since {
			since = clicks[i].At
		}
	}
	w.heldSince.Store(since)
	w.held.Store(int64(len(clicks)))
}

// read takes the next batch from the lanes, each in turn the first one.
func (w *writer) read() (batch *engine.ClickBatch, full bool, err error) {
	most := w.batchMax
	if w.limit > 0 {
		most = w.limit
	}
	batch = &engine.ClickBatch{Node: w.cfg.Journal.Node(), Clicks: w.clicks[:0]}
	lanes := len(w.positions)
	moved := make([]engine.Position, lanes)
	for i := range lanes {
		lane := (w.first + i) % lanes
		moved[lane] = w.positions[lane]
		if len(batch.Clicks) >= most {
			continue
		}
		if batch.Clicks, moved[lane], err = w.cfg.Journal.Read(lane, most-len(batch.Clicks), batch.Clicks); err != nil {
			w.hold(batch.Clicks)
			return nil, false, fmt.Errorf("read lane %d: %w", lane, err)
		}
	}
	w.clicks = batch.Clicks
	w.hold(batch.Clicks)
	for lane, to := range moved {
		if to != w.positions[lane] {
			batch.Moves = append(batch.Moves, engine.LaneMove{Lane: lane, From: w.positions[lane], To: to})
		}
	}
	return batch, len(batch.Clicks) >= most, nil
}

// write stores the batch, and tells the journal what it may forget. narrowed says that it was not stored, as a click in it is
// refused, and that the lanes stand where they stood, to be read again in smaller batches.
func (w *writer) write(ctx context.Context, batch *engine.ClickBatch) (narrowed bool, err error) {
	w.attempt = batch.Moves
	for _, m := range batch.Moves {
		w.tried[m] = struct{}{}
	}
	ctx, span := w.cfg.Tracer.Start(ctx, "store clicks")
	span.Set("carom.clicks", len(batch.Clicks))
	span.Set("carom.lanes", len(batch.Moves))
	start := time.Now()
	w.stage.Failpoint("worker/flush/before")
	err = w.cfg.Clicks.WriteClicks(ctx, batch)
	w.stage.Failpoint("worker/flush/behind")
	span.End(err)
	if _, refused := errors.AsType[*engine.RejectedError](err); refused {
		return w.isolate(ctx, batch, err)
	}
	if err != nil {
		w.known = false
		if errors.Is(err, engine.ErrFenced) {
			w.attempt = nil // nothing was stored, but perhaps by an earlier try
		}
		w.turn() // what fails in one lane must not keep the others' clicks
		// It may have been too much for the time that a batch has.
		w.batchMax = max(w.batchMax/2, min(w.cfg.BatchMax, batchLeast))
		return false, fmt.Errorf("write a batch of %d clicks: %w", len(batch.Clicks), err)
	}
	w.turn()
	w.batches.Add(1)
	w.rows.Add(int64(len(batch.Clicks)))
	w.time.Observe(time.Since(start))
	w.lag.Store(int64(w.lateness()))
	w.attempt = nil
	w.hold(nil)
	for _, m := range batch.Moves {
		w.stand(m.Lane, m.To)
		if err := w.cfg.Journal.Release(m.Lane, m.To); err != nil {
			return false, fmt.Errorf("release lane %d: %w", m.Lane, err)
		}
	}
	return false, nil
}

// turn lets another lane be the first. Not while a refused click is searched for, which has to be met again.
func (w *writer) turn() { w.first = (w.first + 1) % w.cfg.Journal.Lanes() }

// lateness is how long ago the oldest click in hand was.
func (w *writer) lateness() time.Duration {
	since := w.heldSince.Load()
	if since == 0 {
		return 0
	}
	return max(w.cfg.Now().Sub(time.UnixMicro(since)), 0)
}

// isolate finds the click that the store refuses by halving the batches, and sets it aside: the others go in.
func (w *writer) isolate(ctx context.Context, batch *engine.ClickBatch, refusal error) (narrowed bool, err error) {
	if len(batch.Clicks) > 1 {
		w.limit = len(batch.Clicks) / 2
		for _, m := range batch.Moves {
			if err := w.cfg.Journal.Seek(m.Lane, m.From); err != nil {
				w.known = false // some lanes stand behind what is not stored
				return false, fmt.Errorf("seek lane %d: %w", m.Lane, err)
			}
		}
		w.hold(nil)
		return true, nil
	}
	for _, c := range batch.Clicks {
		if err := w.cfg.SetAside(c, refusal); err != nil {
			w.known = false
			return false, fmt.Errorf("set a refused click aside: %w", err)
		}
		w.setAside.Add(1)
		w.cfg.Logger.Error("store refuses a click; it was set aside", "link", c.Link, "err", refusal)
	}
	if len(batch.Clicks) == 0 {
		w.known = false
		return false, fmt.Errorf("store refuses a batch without clicks: %w", refusal)
	}
	batch.Clicks = batch.Clicks[:0]
	w.hold(nil)
	w.limit = 0
	return w.write(ctx, batch)
}

// adapt ends a search that has found nothing more, and lets full batches grow while the store keeps up, until little comes.
func (w *writer) adapt(clicks int, full bool, took time.Duration) {
	leftover := w.behind
	w.behind = full
	switch {
	case w.limit > 0:
		if w.limit *= 2; w.limit >= w.batchMax {
			w.limit = 0
		}
	case full && took < quickFlush:
		w.batchMax = min(w.batchMax*2, w.cfg.BatchMax*batchGrowMax)
	case !full && !leftover && clicks < w.cfg.BatchMax:
		w.batchMax = w.cfg.BatchMax
	}
}
