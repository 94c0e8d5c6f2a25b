package actors

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/carom-dev/carom/engine"
)

// The feed's reading of the change log.
const (
	// pollInterval bounds how late an edit can be seen when the bus lost it; the query reads one index entry.
	pollInterval = time.Second
	pollPage     = 1000
	pollTimeout  = 5 * time.Second
	// unsettledMax times in a row the end of the log is looked for again, when the change there is not in it.
	unsettledMax = 3
	// heedlessFor after other instances were believed, the log is not missed a change for what they tell: it may be of another database.
	heedlessFor = 5 * time.Minute
)

// polled is a page of the change log, which begins with the change at the position, and what was known of the log before it was read.
type polled struct {
	changes []engine.Change
	from    engine.AuditID // the first id that was asked for
	known   landmarks
	located bool           // the position was found out, and is at
	at      engine.AuditID // the log's end, if it was to be found
	// unsettled: the change at its end was not in the log a moment later, as the store went back in between; or somebody took it out.
	unsettled bool
	err       error
}

// landmarks are changes that have been in the log; nil: none is known. Ids have no gaps and nothing is taken out of the log, so that one that
// is missing, or has another one in its place, is of a state that the store has gone back behind.
type landmarks struct {
	read  *engine.Change // the change at the position
	made  *engine.Change // the latest one of this instance
	heard *engine.Change // the latest one that another instance told of
}

// appliedPage says that the shards have taken a page over.
type appliedPage struct {
	last *engine.Change // nil: the page was empty
	more bool
}

// poll reads the change log behind the position; once more afterwards when it is being read already.
func (f *feed) poll() {
	if f.polling {
		f.pollAgain = true
		return
	}
	f.polling = true
	f.polledAt = f.cfg.Now()
	located, position, known := f.located, f.position, f.known
	f.stage.Go("feed", func() {
		f.stage.Failpoint("worker/poll/before")
		p := f.read(located, position)
		p.known = known
		f.stage.Failpoint("worker/poll/behind")
		f.mailbox.Post(feedMessage{polled: p})
	}, func(err error) { f.mailbox.Post(feedMessage{polled: &polled{err: err}}) })
}

// resync reads the change log out of turn: something may have been missed.
func (f *feed) resync() {
	f.resyncs.Add(1)
	f.poll()
}

func (f *feed) read(located bool, position engine.AuditID) *polled {
	ctx, cancel := context.WithTimeout(context.Background(), pollTimeout)
	defer cancel()
	f.polls.Add(1)
	p := &polled{located: !located, at: position}
	if p.located {
		at, err := f.cfg.Changes.LastChange(ctx)
		if err != nil {
			return &polled{err: fmt.Errorf("find the end of the change log: %w", err)}
		}
		p.at = at
	}
	p.from = max(p.at, 1)
	changes, err := f.cfg.Changes.ChangesSince(ctx, p.from-1, pollPage)
	if err != nil {
		return &polled{err: fmt.Errorf("read the change log: %w", err)}
	}
	p.changes = changes
	p.unsettled = p.located && p.at > 0 && (len(changes) == 0 || changes[0].ID != p.at)
	return p
}

// page applies a page of the change log.
func (f *feed) page(p *polled) {
	if p.err != nil {
		if f.logError.Swap(new(p.err.Error())) == nil {
			f.cfg.Logger.Warn("change log can't be read; published links are served as they are", "err", p.err)
		}
		f.polling = false
		return
	}
	if f.logError.Swap(nil) != nil {
		f.cfg.Logger.Info("change log is being read again")
	}
	if p.unsettled && f.unsettled < unsettledMax {
		f.unsettled++
		f.polling = false
		return // the next tick looks again
	}
	f.unsettled = 0
	switch {
	case p.located:
		// What was published before the position was known may be older than it.
		f.distrust(f.astray)
		regressed := f.astray != doubtMissed
		f.located, f.astray, f.position = true, doubtMissed, p.at
		if regressed {
			// Edits from before it was noticed may have taken versions that were published before, and were taken for known.
			f.position, f.polling = max(p.at-pollPage, 0), false
			f.poll()
			return
		}
	case p.lacks(p.known.read) || p.lacks(p.known.made):
		f.regressed(doubtRegressed, "the database went back to an earlier state at %s, as after a failover to a replica that lagged: every link is read again, and edits of the moments "+
			"before it are lost; compare what was edited then")
		return
	case p.lacks(p.known.heard) && f.cfg.Now().Sub(f.heedless) >= 0:
		f.heedless = f.cfg.Now().Add(heedlessFor)
		f.regressed(doubtHearsay, "another instance told at %s of an edit that is not in this database: the database went back to an earlier state, as after a failover to a replica that lagged, or "+
			"instances with another database use the same Redis and --redis-prefix; every link is read again")
		return
	}
	var last *engine.Change
	if n := len(p.changes); n > 0 {
		last = new(p.changes[n-1])
	}
	applied := &appliedPage{last: last, more: len(p.changes) == pollPage}
	if len(p.changes) > 0 && p.changes[0].ID == f.position {
		p.changes = p.changes[1:]
	}
	if len(p.changes) == 0 {
		f.pageApplied(applied)
		return
	}
	f.take(p.changes, func() { f.mailbox.Post(feedMessage{applied: applied}) })
}

// lacks reports whether c should be in the page and is not.
func (p *polled) lacks(c *engine.Change) bool {
	if c == nil || c.ID < p.from {
		return false
	}
	i, found := slices.BinarySearchFunc(p.changes, c.ID, func(c engine.Change, id engine.AuditID) int { return cmp.Compare(c.ID, id) })
	if !found {
		return i < pollPage // else it comes in a later page
	}
	is := p.changes[i]
	return is.Link != c.Link || is.Version != c.Version || is.Origin != c.Origin || c.At != 0 && is.At != 0 && is.At != c.At
}

// regressed finds the log's end anew, as the store went back in time, and has nothing trusted that is known of the state before. The notice
// has a place for the time.
func (f *feed) regressed(why doubt, notice string) {
	f.regressions.Add(1)
	notice = fmt.Sprintf(notice, f.cfg.Now().UTC().Format(time.RFC3339))
	f.notice.Store(&notice)
	f.cfg.Logger.Error("store went back in time; reading every link again that is asked for", "position", int64(f.position), "reason", notice)
	f.located, f.astray, f.known, f.polling = false, why, landmarks{}, false
	f.poll()
}

// latest is the later one of the change that is known and the last of changes, which are in the order of the log.
func latest(known *engine.Change, changes []engine.Change) *engine.Change {
	if n := len(changes); n > 0 && (known == nil || changes[n-1].ID > known.ID) {
		return new(changes[n-1])
	}
	return known
}

func (f *feed) pageApplied(p *appliedPage) {
	f.polling = false
	if p.last != nil && p.last.ID >= f.position {
		f.position, f.known.read = p.last.ID, p.last
	}
	if p.more || f.pollAgain {
		f.pollAgain = false
		f.poll()
	}
}
