package actors

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/carom-dev/carom/engine"
)

// Announce implements engine.Announcer.
func (a *Actors) Announce(ctx context.Context, l engine.Link, c engine.Change) engine.Propagation {
	if c.ID == 0 {
		// Not by l itself: a repeat is answered with the link as it was the first time.
		return a.announce(ctx, []engine.Change{{Link: l.ID, Key: l.Key(), Version: l.Version, Origin: a.cfg.Journal.Node()}}, nil)
	}
	return a.announce(ctx, []engine.Change{c}, &l)
}

// AnnounceMany implements engine.Announcer.
func (a *Actors) AnnounceMany(ctx context.Context, changes []engine.Change) engine.Propagation {
	return a.announce(ctx, slices.DeleteFunc(slices.Clone(changes), func(c engine.Change) bool { return c.ID == 0 }), nil)
}

// announce has the shards here and the other instances take changes over, and waits for both, all in all for a bounded time.
// link is the new state of the one that changed; without it a link is read again when it is asked for.
func (a *Actors) announce(ctx context.Context, changes []engine.Change, link *engine.Link) engine.Propagation {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), announceTimeout)
	defer cancel()
	here := make(chan struct{})
	a.apply(changes, link, func() { close(here) })
	told := a.tell(changes)
	p := engine.Propagation{Live: 1}
	if await(ctx, here) {
		p.Applied = 1
	}
	if told != nil {
		await(ctx, told.settled.done)
		p.Applied, p.Live = p.Applied+int(told.applied.Load()), int(told.live.Load())
	}
	return p
}

// apply has the shards of changed links take the changes over, and calls then, on a shard's goroutine, when all are in force.
func (a *Actors) apply(changes []engine.Change, link *engine.Link, then func()) {
	left := &atomic.Int64{}
	left.Store(int64(len(changes)) + 1)
	taken := func() {
		if left.Add(-1) == 0 {
			then()
		}
	}
	for _, c := range changes {
		taken := sync.OnceFunc(taken) // one that panics behind it is told of by Failed, too
		// Over the mailbox's bound: an edit must not be lost, and edits are bounded by the API's own limits.
		if !a.shardOf(c.Key).mailbox.Post(shardMessage{kind: kindChanged, change: c, link: link, then: taken}) {
			taken()
		}
	}
	taken()
}

// tell has the feed send changes to the other instances; it returns nil when there can be none.
func (a *Actors) tell(changes []engine.Change) *announcement {
	if a.feed == nil {
		return nil
	}
	told := newAnnouncement(changes)
	told.live.Store(a.feed.live.Load())
	if len(changes) == 0 {
		told.applied.Store(told.live.Load() - 1)
		told.settled.close()
	} else if !a.feed.mailbox.Post(feedMessage{announce: told}) { // over the bound, as in apply
		told.settled.close()
	}
	return told
}
