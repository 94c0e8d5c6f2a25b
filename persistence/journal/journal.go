// Package journal is the crash-proof click journal: lanes of preallocated, memory-mapped segment files, in which a click is
// recorded without a lock, an allocation or a system call, and survives the death of the process from then on.
// docs/journal-format.md describes the files.
package journal

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/carom-dev/carom/engine"
)

var (
	_ engine.ClickAppender = (*Journal)(nil)
	_ engine.ClickSource   = (*Journal)(nil)
)

// Journal is an open journal directory. Safe for concurrent use. Made by Open, ended by Close. It gives up clicks, and counts
// them, when its bound on bytes or the disk is reached.
type Journal struct {
	cfg    Config
	disk   disk
	log    *slog.Logger
	node   [nodeBytes]byte
	lanes  []*lane
	always bool
	seed   maphash.Seed // of the keys that repeats are found by

	prepareKick chan struct{}
	syncKick    chan struct{}
	flushKick   chan struct{} // nil when memory needs no flush

	round    atomic.Pointer[round]
	bytes    atomic.Int64 // what the segment files take, the free ones included
	lastDrop atomic.Int64 // Unix nanoseconds; 0: never
	syncedAt atomic.Int64 // Unix nanoseconds: when the last sync that worked began
	syncErr  atomic.Pointer[error]

	holes, damagedRecords, damagedSegments, lostUserAgents, gaps, syncErrors atomic.Uint64
	drops                                                                    [dropReasons]atomic.Uint64

	mu      sync.Mutex // guards what is below
	free    []freeSegment
	zombies []*segment // released, but not yet disposed of

	lock io.Closer
	ends map[mark]uint32 // what the note of ends says; owned by who syncs, once the journal is open

	stop      context.CancelFunc
	running   sync.WaitGroup
	closed    atomic.Bool
	closeOnce sync.Once
	closeErr  error
}

// Open opens the directory, makes it when it is missing, and starts the background work. It reads no records, so that it is as
// fast with a long backlog as with none.
func Open(cfg Config) (*Journal, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	j := newJournal(cfg)
	if err := j.takeOver(); err != nil {
		return nil, err
	}
	j.start()
	return j, nil
}

// newJournal makes a journal that has touched nothing yet.
func newJournal(cfg Config) *Journal {
	cfg = cfg.withDefaults()
	j := &Journal{
		cfg: cfg, disk: cfg.disk, log: cfg.Logger, always: cfg.Sync == SyncAlways, seed: maphash.MakeSeed(),
		prepareKick: make(chan struct{}, 1), syncKick: make(chan struct{}, 1),
		stop: func() {},
	}
	if j.disk.buffered() {
		j.flushKick = make(chan struct{}, 1)
	}
	j.round.Store(newRound())
	j.syncedAt.Store(cfg.Now().UnixNano())
	return j
}

// takeOver locks the directory and reads what is in it.
func (j *Journal) takeOver() error {
	err := j.recover()
	if err == nil {
		return nil
	}
	if j.lock != nil {
		err = errors.Join(err, j.lock.Close())
	}
	return fmt.Errorf("open journal %q: %w", j.cfg.Dir, err)
}

// start begins the background work.
func (j *Journal) start() {
	ctx, cancel := context.WithCancel(context.Background())
	j.stop = cancel
	j.running.Go(func() { j.prepareLoop(ctx) })
	j.running.Go(func() { j.syncLoop(ctx) })
	if j.flushKick != nil {
		j.running.Go(func() { j.flushLoop(ctx) })
	}
}

// Node implements engine.ClickSource.
func (j *Journal) Node() engine.NodeID { return nodeID(j.node) }

// Lanes implements engine.ClickSource: the configured lanes, and more when the directory has clicks in more.
func (j *Journal) Lanes() int { return len(j.lanes) }

// Recovered implements engine.ClickSource.
func (j *Journal) Recovered(lane int) engine.Position { return j.lanes[lane].recovered }

// Promise is one sentence on what a recorded click survives here.
func (j *Journal) Promise() string {
	s := j.disk.promise() + "; a power loss costs "
	switch j.cfg.Sync {
	case SyncAlways:
		return s + "none"
	case SyncOff:
		return s + "what the operating system has not written"
	}
	return s + "at most the last " + j.cfg.Sync.String()
}

// Close ends the journal: later appends return ErrJournalClosed, those under way are waited for, and everything is synced as
// the setting asks. What was not read stays for the next Open. Calling it again returns the same.
func (j *Journal) Close() error {
	j.closeOnce.Do(func() { j.closeErr = j.close() })
	return j.closeErr
}

func (j *Journal) close() error {
	j.closed.Store(true)
	j.stop()
	for _, l := range j.lanes {
		l.reading.Lock()   // Read, Seek and Release under way end; later ones see closed
		l.reading.Unlock() //nolint:staticcheck // see above
	}
	j.running.Wait()
	var errs []error
	reason := &blocked{answer: fmt.Errorf("append click: %w", engine.ErrJournalClosed), cause: engine.ErrJournalClosed}
	for _, l := range j.lanes {
		l.grow.Lock()
		l.blocked.Store(reason)
		l.current.Load().seal()
		if s := l.next; s != nil {
			l.next = nil
			s.seal()
			j.unref(l, s)
		}
		l.grow.Unlock()
		for _, s := range l.all() {
			if s.live() {
				j.awaitSettled(s)
				if err := s.flush(); err != nil {
					errs = append(errs, err)
				}
			}
			j.unref(l, s)
		}
	}
	j.syncAll()
	j.noteEnds()
	if err := j.syncErr.Load(); err != nil {
		errs = append(errs, *err)
	}
	j.endRounds()
	j.disposeZombies()
	for _, l := range j.lanes {
		errs = append(errs, j.closeLane(l))
	}
	errs = append(errs, j.closeFree(), j.lock.Close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close journal %q: %w", j.cfg.Dir, err)
	}
	return nil
}

// closeLane ends the lane's segments; those without a record that the store still needs leave the disk.
func (j *Journal) closeLane(l *lane) error {
	l.reading.Lock()
	defer l.reading.Unlock()
	for _, s := range l.detach(l.floor) {
		j.unref(l, s)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	kept := l.segments[:0]
	for _, s := range l.segments {
		if s.live() && s.end.Load() == firstSlot {
			j.unref(l, s)
			continue
		}
		kept = append(kept, s)
		if s.archive != nil {
			errs = append(errs, s.archive.close())
		}
		// One that an appender is still in stays mapped: it has been reserved, so it may still be written.
		if m, _ := s.takeMemory(); m != nil {
			errs = append(errs, m.close())
		}
	}
	l.segments = kept
	return errors.Join(errs...)
}
