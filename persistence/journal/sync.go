package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/carom-dev/carom/engine"
)

// flushInterval is how long records are written behind where memory needs flush.
const flushInterval = time.Millisecond

// round is one sync of everything, for the appenders that wait for it.
type round struct {
	done chan struct{} // closed when it is over
	err  error         // written before that
}

func newRound() *round { return &round{done: make(chan struct{})} }

// waitSynced returns when the record at slot start of s is on stable storage.
func (j *Journal) waitSynced(s *segment, start uint64) error {
	for {
		r := j.round.Load() // the next one to begin, so it begins after the commit
		if s.synced.Load() > start && !s.fresh.Load() {
			return nil
		}
		kick(j.syncKick)
		<-r.done
		if s.synced.Load() > start && !s.fresh.Load() {
			return nil
		}
		if s.failed.Load() || r.err != nil {
			return fmt.Errorf("append click: %w", engine.ErrNotDurable)
		}
	}
}

// syncLoop is the beat of the background: records become durable, are counted, and what could not be disposed of is tried
// again. One goroutine.
func (j *Journal) syncLoop(ctx context.Context) {
	tick := time.NewTicker(j.cfg.Sync.interval())
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-j.syncKick:
			j.syncAll()
		case <-tick.C:
			j.disposeZombies()
			j.syncAll()
			j.noteEnds()
		}
	}
}

// syncAll makes everything committed before the call durable, as far as the setting asks for that.
func (j *Journal) syncAll() {
	began := j.cfg.Now()
	r := j.round.Swap(newRound())
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	failed := false // a segment whose clicks never become durable; it is there until the store has them
	for _, l := range j.lanes {
		for _, s := range l.all() {
			failed = failed || s.failed.Load()
			if j.cfg.Sync != SyncOff && s.left.Load() {
				if err := j.syncLeft(s); err != nil {
					errs = append(errs, err)
				}
			}
			if j.cfg.Sync == SyncOff || !s.dirty() {
				s.settle()
				j.unref(l, s)
				continue
			}
			work := func() {
				defer j.unref(l, s)
				err := errors.Join(s.sync(), j.syncHeader(s))
				if err != nil {
					j.noteSync(s, err)
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
			if j.always { // somebody waits, and disks are good at doing many at once
				wg.Go(work)
			} else {
				work()
			}
		}
	}
	wg.Wait()
	if r.err = errors.Join(errs...); r.err == nil {
		j.syncedAt.Store(began.UnixNano())
		if !failed {
			j.syncErr.Store(nil)
		}
	}
	close(r.done)
}

// syncLeft makes a recovered segment durable, once: the process that died may have done so, or not.
func (j *Journal) syncLeft(s *segment) error {
	s.left.Store(false)
	f, err := j.disk.open(s.archive.path, os.O_RDWR)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err == nil {
		err = j.disk.syncDir(j.cfg.Dir)
	}
	if err != nil {
		j.noteSync(s, err)
	}
	return err
}

// noteSync takes a segment out of use whose sync failed: after that the system may have thrown the written pages away, and the
// next sync would succeed without them. Its records stay readable in this process.
func (j *Journal) noteSync(s *segment, err error) {
	j.syncErrors.Add(1)
	j.syncErr.Store(&err)
	if s.failed.Load() {
		s.seal()
		kick(j.prepareKick)
	}
	j.log.Error("journal segment could not be synced", "lane", s.lane, "segment", s.seq, "err", err)
}

// flushLoop writes records behind where memory needs it. One goroutine.
func (j *Journal) flushLoop(ctx context.Context) {
	wait := time.NewTimer(flushInterval)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-j.flushKick:
		}
		wait.Reset(flushInterval)
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		}
		j.flushAll()
	}
}

func (j *Journal) flushAll() {
	for _, l := range j.lanes {
		for _, s := range l.all() {
			if s.live() && !s.failed.Load() {
				if err := s.flush(); err != nil {
					s.failed.Store(true)
					j.noteSync(s, err)
				}
			}
			j.unref(l, s)
		}
	}
}

// endRounds answers those who wait for a sync after the last one.
func (j *Journal) endRounds() {
	r := newRound()
	r.err = engine.ErrJournalClosed
	close(r.done)
	last := j.round.Swap(r)
	last.err = engine.ErrJournalClosed
	close(last.done)
}
