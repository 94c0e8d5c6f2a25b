package actors

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/carom-dev/carom/actors/stage"
	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/engine/latency"
)

// feed brings the edits of other instances to the shards, and this instance's edits to them. The bus only makes it fast: what it
// misses is read from the store's change log, which the feed reads every second whether the bus is well or not.
type feed struct {
	cfg     *Config
	node    engine.NodeID
	stage   *stage.Stage
	mailbox *stage.Mailbox[feedMessage]
	// apply has the shards take changes over and calls then when all are in force; distrust makes all that is published stale.
	apply    func(changes []engine.Change, then func())
	distrust func(why doubt)
	// recalled has the shards give back what they hold of the links' visits and do not use.
	recalled func(changes []engine.Change)

	// Owned by the actor.
	located   bool           // position is known
	position  engine.AuditID // of the change log: everything up to here has been applied
	known     landmarks      // by which a log of an earlier state is told
	unsettled int            // how often in a row the end of the log was not in it
	astray    doubt          // why the position is to be found anew
	heedless  time.Time      // until when other instances are not believed that the store went back
	polling   bool
	pollAgain bool
	polledAt  time.Time
	sequence  uint64 // of the latest change published; begins with the time, so that a restart is no step back to the others
	peers     map[engine.NodeID]*peer
	pending   map[uint64]*announcement // by sequence
	outbox    []engine.BusMessage
	sending   *sent     // what is on its way to the bus; nil: nothing is
	heardOwn  time.Time // when the bus last brought one of our own heartbeats back
	askedAt   time.Time // when a new connection was last asked for

	healthy  atomic.Bool  // the bus is
	live     atomic.Int64 // instances, this one included; as last known while the bus is away
	overflow atomic.Bool  // messages from the bus were lost for want of room
	logError atomic.Pointer[string]
	notice   atomic.Pointer[string] // what an operator should know although edits arrive

	regressions atomic.Int64 // how often the store was seen to have gone back in time

	published atomic.Int64
	received  atomic.Int64
	polls     atomic.Int64
	gaps      atomic.Int64
	recalls   atomic.Int64      // asked of the others
	lost      atomic.Int64      // messages that could not be sent
	resyncs   atomic.Int64      // readings of the change log out of turn, as something may have been missed
	applied   atomic.Int64      // changes of other instances that were applied; one may count twice, from the bus and from the log
	appliedAt atomic.Int64      // when the latest change was applied or announced, Unix nanoseconds; 0: none was
	unsure    atomic.Int64      // edits that were answered before all instances had confirmed them
	spread    latency.Histogram // from an edit's announcement to the last confirmation of it
}

// peer is another instance, as the bus shows it.
type peer struct {
	seen     time.Time
	sequence uint64
}

// announcement is an edit whose acknowledgements are waited for.
type announcement struct {
	changes []engine.Change
	waiting map[engine.NodeID]bool
	live    atomic.Int64
	applied atomic.Int64
	settled once // when nobody is waited for any more
	since   time.Time
}

func newAnnouncement(changes []engine.Change) *announcement {
	return &announcement{changes: changes, settled: once{done: make(chan struct{})}}
}

// feedMessage is what the feed's mailbox takes: exactly one of its parts is set.
type feedMessage struct {
	bus      *engine.BusMessage
	announce *announcement
	tick     bool
	polled   *polled
	applied  *appliedPage
	sent     *sent
	spends   []engine.Spend
	ack      *engine.BusMessage
	recall   *engine.Change // a link whose visits the other instances hold
}

// sent is what was given to the bus, and what came of it.
type sent struct {
	messages []engine.BusMessage
	err      error
}

const (
	// heartbeatInterval and busSilence bound how long a silent bus goes unnoticed.
	heartbeatInterval = 500 * time.Millisecond
	busSilence        = 1500 * time.Millisecond
	// peerGone without a heartbeat, and an instance counts as gone.
	peerGone = 3 * time.Second
	// feedMailboxMax messages from the bus may wait; more are dropped, and the change log is read instead.
	feedMailboxMax = 8192
	// outboxMax messages may wait for the bus; more are dropped, and the others find a gap in the sequence.
	outboxMax = 4096
	// listMax changes are listed in one message; of more the others are told to read the change log.
	listMax = 256
	// sendTimeout bounds one round trip to the bus.
	sendTimeout = time.Second
)

// Receive implements stage.Behavior.
func (f *feed) Receive(m feedMessage) {
	switch {
	case m.bus != nil:
		f.received.Add(1)
		f.heard(m.bus)
	case m.announce != nil:
		f.announce(m.announce)
	case m.tick:
		f.tick()
	case m.polled != nil:
		f.page(m.polled)
	case m.applied != nil:
		f.pageApplied(m.applied)
	case m.sent != nil:
		f.sent(m.sent)
	case m.spends != nil:
		f.post(engine.BusMessage{Kind: engine.BusSpend, Spends: m.spends})
	case m.ack != nil:
		f.post(*m.ack)
	case m.recall != nil:
		f.recalls.Add(1)
		f.post(engine.BusMessage{Kind: engine.BusRecall, Sequence: f.sequence, Changes: []engine.Change{*m.recall}})
	}
	f.send()
}

// Failed implements stage.Behavior. What a broken message should have done is done by the change log.
func (f *feed) Failed(m feedMessage) {
	switch {
	case m.announce != nil:
		m.announce.settled.close()
	case m.polled != nil, m.applied != nil:
		f.polling = false
	case m.sent != nil:
		f.delivered(m.sent)
	}
	f.poll()
}

// hear is given to the bus.
func (f *feed) hear(m engine.BusMessage) {
	if !f.mailbox.TrySend(feedMessage{bus: &m}) {
		f.overflow.Store(true)
	}
}

// heard takes a message of the bus.
func (f *feed) heard(m *engine.BusMessage) {
	now := f.cfg.Now()
	switch {
	case m.Kind == engine.BusSubscribed:
		// Whatever was said before this moment may not have been heard.
		f.heardOwn = now
		f.resync()
		return
	case m.From == f.node:
		if m.Kind == engine.BusHeartbeat {
			f.heardOwn = now
			f.healthy.Store(true)
		}
		return
	}
	p := f.peers[m.From]
	if p == nil {
		p = &peer{}
		if m.Kind != engine.BusAck { // which has a sequence of this instance
			p.sequence = m.Sequence
		}
		f.peers[m.From] = p
		f.resync()
	}
	p.seen = now
	f.countLive(now)
	switch m.Kind {
	case engine.BusHeartbeat:
		f.follow(p, m.Sequence, m.Sequence)
	case engine.BusChange:
		f.follow(p, m.Sequence, m.Sequence-1)
		f.known.heard = latest(f.known.heard, m.Changes)
		f.take(m.Changes, func() {
			f.mailbox.Post(feedMessage{ack: &engine.BusMessage{Kind: engine.BusAck, To: m.From, Sequence: m.Sequence}})
		})
	case engine.BusPoll:
		f.follow(p, m.Sequence, m.Sequence-1)
		f.poll()
	case engine.BusAck:
		f.acknowledged(m.From, m.Sequence)
	case engine.BusRecall:
		f.recalled(m.Changes)
	}
}

// recall asks the other instances for a link's idle visits; false while there are none, or the bus is away. Safe for concurrent use.
func (f *feed) recall(c engine.Change) bool {
	return f.healthy.Load() && f.live.Load() > 1 && f.mailbox.TrySend(feedMessage{recall: &c})
}

// follow notes that a peer's sequence stands at next; when it was not at expected before, something it said got lost.
func (f *feed) follow(p *peer, next, expected uint64) {
	if p.sequence != expected && p.sequence != next {
		f.gaps.Add(1)
		f.resync()
	}
	p.sequence = max(p.sequence, next)
}

// take has the shards take over changes that others made, and calls then, on a shard's goroutine, when all are in force.
func (f *feed) take(changes []engine.Change, then func()) {
	if len(changes) > 0 {
		f.applied.Add(int64(len(changes)))
		f.appliedAt.Store(f.cfg.Now().UnixNano())
	}
	f.apply(changes, then)
}

// announce sends an edit to the others and notes whom to wait for.
func (f *feed) announce(a *announcement) {
	now := f.cfg.Now()
	f.sequence++
	f.known.made = latest(f.known.made, a.changes)
	kind, changes := engine.BusChange, a.changes
	if len(changes) > listMax {
		kind, changes = engine.BusPoll, nil
	}
	f.post(engine.BusMessage{Kind: kind, Sequence: f.sequence, Changes: changes})
	f.appliedAt.Store(now.UnixNano())
	a.since, a.waiting = now, map[engine.NodeID]bool{}
	f.countLive(now) // whoever was heard of while the bus was silent
	a.live.Store(f.live.Load())
	if !f.healthy.Load() || kind == engine.BusPoll {
		a.settled.close()
		return
	}
	for node := range f.peers {
		a.waiting[node] = true
	}
	if len(a.waiting) == 0 {
		a.settled.close()
		return
	}
	f.pending[f.sequence] = a
}

// acknowledged notes that a peer has applied what was announced up to sequence.
func (f *feed) acknowledged(from engine.NodeID, sequence uint64) {
	a := f.pending[sequence]
	if a == nil || !a.waiting[from] {
		return
	}
	delete(a.waiting, from)
	a.applied.Add(1)
	if len(a.waiting) == 0 {
		f.spread.Observe(f.cfg.Now().Sub(a.since))
		f.settle(sequence, a)
	}
}

func (f *feed) settle(sequence uint64, a *announcement) {
	if len(a.waiting) > 0 {
		f.unsure.Add(1)
	}
	delete(f.pending, sequence)
	a.settled.close()
}

func (f *feed) tick() {
	now := f.cfg.Now()
	if f.cfg.Bus != nil {
		f.post(engine.BusMessage{Kind: engine.BusHeartbeat, Sequence: f.sequence})
		if now.Sub(f.heardOwn) > busSilence {
			if f.healthy.Swap(false) {
				f.cfg.Logger.Warn("bus is silent; edits arrive by reading the change log", "silence", now.Sub(f.heardOwn).String())
			}
			if now.Sub(f.askedAt) > busSilence {
				f.askedAt = now
				f.cfg.Bus.Reconnect()
			}
		}
		f.countLive(now)
	}
	for sequence, a := range f.pending {
		if now.Sub(a.since) > announceTimeout {
			f.settle(sequence, a)
		}
	}
	if f.overflow.Swap(false) {
		f.resync()
	} else if now.Sub(f.polledAt) >= pollInterval {
		f.poll()
	}
}

// countLive forgets peers that are gone, but not while the bus is away and nobody could be heard.
func (f *feed) countLive(now time.Time) {
	if !f.healthy.Load() {
		return
	}
	for node, p := range f.peers {
		if now.Sub(p.seen) > peerGone {
			delete(f.peers, node)
		}
	}
	f.live.Store(int64(len(f.peers)) + 1)
}

// post queues a message for the bus.
func (f *feed) post(m engine.BusMessage) {
	if f.cfg.Bus == nil {
		return
	}
	if len(f.outbox) >= outboxMax {
		f.lost.Add(1)
		return
	}
	m.From = f.node
	f.outbox = append(f.outbox, m)
}

// send publishes what waits, one round trip at a time.
func (f *feed) send() {
	if f.sending != nil || len(f.outbox) == 0 {
		return
	}
	s := &sent{messages: f.outbox}
	f.sending, f.outbox = s, nil
	f.stage.Go("bus-publish", func() {
		ctx, cancel := context.WithTimeout(context.Background(), sendTimeout)
		defer cancel()
		f.stage.Failpoint("worker/publish/before")
		s.err = f.cfg.Bus.Publish(ctx, s.messages)
		f.stage.Failpoint("worker/publish/behind")
		f.mailbox.Post(feedMessage{sent: s})
	}, func(err error) {
		s.err = err
		f.mailbox.Post(feedMessage{sent: s})
	})
}

// delivered lets what comes behind s go.
func (f *feed) delivered(s *sent) {
	if f.sending == s {
		f.sending = nil
	}
}

// sent settles, when the bus did not take them, the edits nobody will acknowledge.
func (f *feed) sent(s *sent) {
	f.delivered(s)
	if s.err == nil {
		f.published.Add(int64(len(s.messages)))
		return
	}
	f.lost.Add(int64(len(s.messages)))
	for _, m := range s.messages {
		if a := f.pending[m.Sequence]; m.Kind == engine.BusChange && a != nil {
			f.settle(m.Sequence, a)
		}
	}
}

func (f *feed) health(context.Context) engine.Health {
	if reason := f.logError.Load(); reason != nil {
		return engine.Health{Status: engine.HealthWarn, Reason: *reason}
	}
	if f.cfg.Bus != nil && !f.healthy.Load() {
		return engine.Health{Status: engine.HealthWarn, Reason: "the bus is silent; edits of other instances arrive within three seconds, from the change log"}
	}
	if notice := f.notice.Load(); notice != nil {
		return engine.Health{Status: engine.HealthWarn, Reason: *notice}
	}
	return engine.Health{Status: engine.HealthPass}
}
