package actors

import (
	"context"
	"fmt"
	"time"

	"github.com/carom-dev/carom/engine"
)

// The feed's reading of the change log.
const (
	// pollInterval bounds how late an edit can be seen when the bus lost it; the query reads one index entry.
	pollInterval = time.Second
	pollPage     = 1000
	pollTimeout  = 5 * time.Second
)

// polled is a page of the change log.
type polled struct {
	changes []engine.Change
	located bool // the position was found out, and is at
	at      engine.AuditID
	err     error
}

// appliedPage says that the shards have taken a page over.
type appliedPage struct {
	last engine.AuditID
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
	position, located := f.position, f.located
	f.stage.Go("feed", func() {
		f.stage.Failpoint("worker/poll/before")
		p := f.read(located, position)
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
	if !located {
		at, err := f.cfg.Changes.LastChange(ctx)
		if err != nil {
			return &polled{err: fmt.Errorf("find the end of the change log: %w", err)}
		}
		return &polled{located: true, at: at}
	}
	changes, err := f.cfg.Changes.ChangesSince(ctx, position, pollPage)
	if err != nil {
		return &polled{err: fmt.Errorf("read the change log: %w", err)}
	}
	return &polled{changes: changes}
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
	if p.located {
		// What was published before the position was known may be older than it.
		f.located, f.position = true, p.at
		f.distrust()
	}
	if len(p.changes) == 0 {
		f.pageApplied(&appliedPage{last: f.position})
		return
	}
	last, more := p.changes[len(p.changes)-1].ID, len(p.changes) == pollPage
	f.take(p.changes, func() {
		f.mailbox.Post(feedMessage{applied: &appliedPage{last: last, more: more}})
	})
}

func (f *feed) pageApplied(p *appliedPage) {
	f.polling = false
	f.position = max(f.position, p.last)
	if p.more || f.pollAgain {
		f.pollAgain = false
		f.poll()
	}
}
