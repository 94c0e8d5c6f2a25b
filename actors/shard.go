package actors

import (
	"sync/atomic"
	"time"

	"github.com/carom-dev/carom/actors/stage"
	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/engine/table"
)

// shard owns the published table of its part of the codes, the look-ups that wait for the store, and the links' visit budgets.
// Everything but table, budgets (each with its own rules) and the counters is owned by the shard's actor.
type shard struct {
	id      int
	cfg     *Config
	table   *table.Table
	budgets *table.Budgets
	mailbox *stage.Mailbox[shardMessage]
	// ask hands a question to the loader; false when it has ended.
	ask func(loaderMessage) bool
	// recall asks the other instances to give a link's idle visits back; false while they can't be reached, nil when there are none.
	recall func(engine.Change) bool

	waiting  map[engine.Key]*lookup // look-ups under way, by code
	unsent   []engine.Key           // not handed to the loader yet; one that is no longer among waiting need not be
	trusted  int64                  // what is stamped with an earlier second is distrusted
	accounts map[engine.LinkID]*account
	// returning is when visits of a link were last given back; swept with the accounts.
	returning map[engine.LinkID]time.Time
	// retries are the codes whose distrusted entries could not be read, and in which second; at most one for each entry.
	retries map[engine.Key]int64
	era     uint32 // of the store: another one since it went back in time

	admitted atomic.Int64 // visitors waiting for this shard
	sheds    atomic.Int64
	misses   atomic.Int64
	joined   atomic.Int64
	races    atomic.Int64 // loads thrown away, as the link changed under them
}

// lookup is one code that is being read from the store, and who waits for it. A refresh has no waiters.
type lookup struct {
	waiters []waiter
	first   [1]waiter // room for them; most codes have one
	// leastVersion is the newest version that was announced while the load was under way: an older result is stale.
	leastVersion uint64
	// distrusted: the load may have been answered before the moment from which changes are known.
	distrusted bool
	sent       bool // to the loader, whose answer is to come
	tries      int
}

// waiter is one visitor.
type waiter struct {
	ticket
	at    int64 // the request's time, Unix microseconds
	visit engine.Visit
}

// shardMessage is what a shard's mailbox takes: exactly one of its parts is set, by kind.
type shardMessage struct {
	kind   messageKind
	key    engine.Key    // lookup, refresh, changed
	waiter waiter        // lookup
	change engine.Change // changed
	link   *engine.Link  // changed: its new state, where that is known; refund: nil
	id     engine.LinkID // refund, lease again, recalled
	loaded *loadResult   // loaded
	leased *leaseResult  // leased
	then   func()        // changed, release: called when it is in force, on the actor's goroutine

	doubt doubt // distrust
}

type messageKind uint8

const (
	kindLookup     messageKind = iota // a visitor asks for a code that is not published
	kindRefresh                       // a published entry is past its time to live
	kindLoaded                        // the loader's answer
	kindChanged                       // a link has a new version
	kindLeased                        // the loader's answer on visits
	kindLeaseAgain                    // the other instances have had time to give visits back
	kindRecalled                      // another instance has visitors for a link and no visits
	kindRefund                        // a visit that was taken was not served
	kindDistrust                      // everything may be stale
	kindSweep                         // time has passed
	kindRelease                       // give all leased visits back: the last message
)

const (
	// batchMax keys go into one load; SQLite and Postgres both answer so many in one query without strain.
	batchMax = 256
	// triesMax loads of one look-up may be thrown away because the link changed meanwhile.
	triesMax = 5
	// staleRetry is after how many seconds an entry that could not be refreshed is tried again.
	staleRetry = 5
)

func newShard(id int, cfg *Config, ask func(loaderMessage) bool) *shard {
	return &shard{
		id: id, cfg: cfg, ask: ask,
		table:   table.New(table.Config{BytesMax: cfg.CacheBytes / int64(cfg.Shards), TTL: uint32(cfg.CacheTTL / time.Second), Epoch: cfg.Now().Unix() - epochSlack}),
		budgets: &table.Budgets{}, waiting: map[engine.Key]*lookup{}, accounts: map[engine.LinkID]*account{}, returning: map[engine.LinkID]time.Time{}, retries: map[engine.Key]int64{},
	}
}

// epochSlack lets a table's stamps lie before its making, in seconds: more than any time to live.
const epochSlack = 1 << 24

func (s *shard) now() int64 { return s.cfg.Now().Unix() }

// Receive implements stage.Behavior.
func (s *shard) Receive(m shardMessage) {
	switch m.kind {
	case kindLookup:
		stall(m.key)
		s.lookup(m.key, m.waiter)
	case kindRefresh:
		s.want(m.key)
	case kindLoaded:
		s.loaded(m.loaded)
	case kindChanged:
		s.changed(m.change, m.link)
		m.then()
	case kindLeased:
		s.leased(m.leased)
	case kindLeaseAgain:
		s.leaseAgain(m.id)
	case kindRecalled:
		s.recalled(m.id)
	case kindRefund:
		s.refund(m.id)
	case kindDistrust:
		s.distrust(m.doubt)
	case kindSweep:
		s.sweepAccounts()
		s.sweepRetries()
	case kindRelease:
		s.releaseAll()
		m.then()
	default:
		panic("BUG: a message without kind")
	}
}

// Failed implements stage.Behavior: who waits for a message that panicked gets an answer, what was under way is given up, and nothing that
// may be out of date is trusted, however far Receive had come.
func (s *shard) Failed(m shardMessage) {
	switch m.kind {
	case kindLookup:
		m.waiter.answer(s.resolution(engine.OutcomeUnavailable, m.key.Hash()))
	case kindRefresh:
		s.retryLater(m.key)
	case kindLoaded:
		for _, key := range m.loaded.keys {
			s.fail(key)
		}
	case kindChanged:
		s.expect(m.change)
		s.withdraw(m.change)
		m.then()
	case kindDistrust:
		s.distrust(m.doubt)
	case kindRelease:
		defer m.then()
		s.releaseAll()
	case kindLeased:
		if n := m.leased.take(); m.leased.era == s.era {
			s.giveBack(m.leased.link, n)
		}
		s.leased(&leaseResult{link: m.leased.link, ref: m.leased.ref, err: errLeaseFailed})
	case kindLeaseAgain:
		s.leased(&leaseResult{link: m.id, err: errLeaseFailed})
	}
}

func (s *shard) resolution(outcome engine.Outcome, hash uint64) engine.Resolution {
	return engine.Resolution{Outcome: outcome, Shard: s.id, Hash: hash}
}

// lookup answers a visitor from what has been published since it asked, or lets it wait for the store.
func (s *shard) lookup(key engine.Key, w waiter) {
	if !w.open() {
		return
	}
	if e, ok := s.table.Get(key); ok {
		s.serve(key, e, w)
		return
	}
	l := s.want(key)
	if len(l.waiters) > 0 {
		s.joined.Add(1)
	}
	l.waiters = append(l.waiters, w)
}

// serve answers w from a published entry; where that takes a visit that is not here, w waits for a lease.
func (s *shard) serve(key engine.Key, e table.Entry, w waiter) {
	res, ok := decide(s.budgets, e, s.resolution(0, key.Hash()), w.at, w.visit)
	if !ok {
		s.lease(key, e, w)
		return
	}
	if !w.answer(res) && res.Budgeted {
		s.refund(res.Link)
	}
}

// want makes sure that key is being read from the store.
func (s *shard) want(key engine.Key) *lookup {
	l := s.waiting[key]
	if l == nil {
		l = &lookup{}
		l.waiters = l.first[:0]
		s.waiting[key] = l
		s.unsent = append(s.unsent, key)
	}
	return l
}

// Settle implements stage.Settler: it hands the codes that wait to the loader, which joins them with those of other shards.
func (s *shard) Settle() {
	for len(s.unsent) > 0 {
		n := min(len(s.unsent), batchMax)
		keys := make([]engine.Key, 0, n)
		for _, key := range s.unsent[:n] {
			// Asked for twice, it would be answered twice, and the second answer be taken for that to a later question.
			if l := s.waiting[key]; l != nil && !l.sent {
				l.sent = true
				keys = append(keys, key)
			}
		}
		if s.unsent = append(s.unsent[:0], s.unsent[n:]...); len(keys) == 0 {
			continue
		}
		if !s.ask(loaderMessage{load: &load{shard: s.mailbox, keys: keys}}) {
			for _, key := range keys {
				s.fail(key)
			}
		}
	}
}

// fail answers all who wait for key that it can't be said now. The next request tries afresh; what is published stays.
func (s *shard) fail(key engine.Key) {
	l := s.waiting[key]
	if l == nil {
		return
	}
	delete(s.waiting, key)
	s.retryLater(key)
	for _, w := range l.waiters {
		w.answer(s.resolution(engine.OutcomeUnavailable, key.Hash()))
	}
}

// loaded publishes what a batch brought and answers its waiters.
func (s *shard) loaded(r *loadResult) {
	if r.err != nil {
		for _, key := range r.keys {
			s.fail(key)
		}
		return
	}
	for _, key := range r.keys {
		l := s.waiting[key]
		if l == nil {
			continue
		}
		l.sent = false
		link := r.links[key]
		if l.distrusted || stale(l, link) {
			l.distrusted = false
			s.races.Add(1)
			s.again(key, l)
			continue
		}
		s.publish(key, link, max(s.now(), s.trusted)) // the load began behind the latest distrust, or it would be distrusted
		delete(s.waiting, key)                        // not before: what panics in publish is told to whoever waits
		e, ok := s.table.Get(key)
		for _, w := range l.waiters {
			if !ok {
				w.answer(s.resolution(engine.OutcomeUnavailable, key.Hash()))
				continue
			}
			s.serve(key, e, w)
		}
	}
}

// stale reports whether what was read is older than what was announced while it was being read.
func stale(l *lookup, link *engine.Link) bool {
	if link == nil {
		return l.leastVersion > 0
	}
	return link.Version < l.leastVersion
}

// again reads key once more; after too many tries its visitors are told to come back.
func (s *shard) again(key engine.Key, l *lookup) {
	if l.tries++; l.tries >= triesMax {
		s.fail(key)
		return
	}
	s.unsent = append(s.unsent, key)
}

// publish puts a link, or that there is none, into the table, as read at that second.
func (s *shard) publish(key engine.Key, link *engine.Link, second int64) {
	var ref table.BudgetRef
	if link != nil && link.MaxVisits > 0 {
		a := s.open(key, link)
		if a == nil {
			s.table.Remove(key)
			return
		}
		ref = a.ref
	}
	s.table.Put(key, link, ref, second)
}

// changed brings the table up to a change. Without the link's new state the entry goes, and the next request reads it. The new state is
// published only in place of an older one: where there is none, a newer change may have taken it away.
func (s *shard) changed(c engine.Change, link *engine.Link) {
	s.expect(c)
	if s.knows(c) {
		return
	}
	waiters := s.close(c.Link)
	if e, ok := s.table.Get(c.Key); ok && !e.Missing() && e.Version() < c.Version && link != nil {
		s.publish(c.Key, link, s.now())
	} else {
		s.table.Remove(c.Key)
	}
	for _, w := range waiters {
		s.lookup(c.Key, w)
	}
}

// withdraw takes away what a change that could not be handled may have made old. A link that is published in its new state stays, as the store
// may not answer now; with a budget it goes all the same, as its account may be half made.
func (s *shard) withdraw(c engine.Change) {
	if e, _ := s.table.Get(c.Key); s.knows(c) {
		if _, budgeted := e.Budget(); !budgeted {
			return
		}
	}
	s.table.Remove(c.Key)
	for _, w := range s.close(c.Link) {
		w.answer(s.resolution(engine.OutcomeUnavailable, c.Key.Hash()))
	}
}

// expect has a load that is under way bring nothing older than a change.
func (s *shard) expect(c engine.Change) {
	if l := s.waiting[c.Key]; l != nil {
		l.leastVersion = max(l.leastVersion, c.Version)
	}
}
