package actors

import (
	"errors"
	"maps"
	"time"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/engine/table"
)

// account is the shard's side of one link's visit budget: the counter that readers take from, and the lease that fills it.
type account struct {
	key       engine.Key
	ref       table.BudgetRef
	want      int64     // the size of the next lease
	leasing   bool      // the store is being asked, or will be once others have had time to give visits back
	recalling bool      // leasing, and it is the latter
	waiters   []waiter  // visitors who wait for it
	revive    time.Time // exhausted: when the store is asked again, at the earliest
	touched   time.Time // when the last lease came, to find accounts that rest
	recallAt  time.Time // when the others may be asked again to give visits back
}

const (
	// leaseMin visits are asked for first. What an instance that dies holds can't be served until its node is back, so a
	// lease is no larger than the link's traffic asks for: it doubles up to leaseMax while leases follow each other fast.
	leaseMin = 64
	leaseMax = 4096
	// exhaustedFor is how long "used up" is believed before the store is asked again: another instance may have given some back.
	exhaustedFor = 5 * time.Second
	// recallWait is what others are given to return visits that they do not use: a message, a transaction, and much room.
	recallWait = 50 * time.Millisecond
	// returnWait is how long visits that were given back here may be on their way to the store, beside which a lease is asked for.
	returnWait = time.Second
	// restAfter is how long an account may be unused before its visits go back to the store.
	restAfter = 10 * time.Minute
)

var errLeaseFailed = errors.New("the lease's answer could not be handled")

// open gives the link's account, with its counter; nil when the shard has table.BudgetsMax of them.
func (s *shard) open(key engine.Key, link *engine.Link) *account {
	if a := s.accounts[link.ID]; a != nil {
		return a
	}
	ref, ok := s.budgets.Open()
	if !ok {
		return nil
	}
	a := &account{key: key, ref: ref, want: leaseMin, touched: s.cfg.Now()}
	s.accounts[link.ID] = a
	return a
}

// close ends the link's account, gives what remains back to the store, and returns the visitors who waited for a lease. Readers
// with the old entry find the counter closed.
func (s *shard) close(id engine.LinkID) []waiter {
	waiters, n := s.end(id)
	s.giveBack(id, n)
	return waiters
}

// forfeit is close for visits that are not given back.
func (s *shard) forfeit(id engine.LinkID) []waiter {
	waiters, _ := s.end(id)
	return waiters
}

func (s *shard) end(id engine.LinkID) (waiters []waiter, n int64) {
	a := s.accounts[id]
	if a == nil {
		return nil, 0
	}
	delete(s.accounts, id)
	return a.waiters, s.budgets.Close(a.ref)
}

// giveBack has the loader return visits to the store. A node that can't keeps its lease until it starts again.
func (s *shard) giveBack(id engine.LinkID, n int64) {
	if n > 0 {
		s.returning[id] = s.cfg.Now()
		s.ask(loaderMessage{giveBack: &giveBack{link: id, n: n}})
	}
}

// lease lets w wait until the store has said how many more visits there are.
func (s *shard) lease(key engine.Key, e table.Entry, w waiter) {
	a := s.accounts[e.Link()]
	if ref, _ := e.Budget(); a == nil || a.ref != ref {
		// The entry outlived its account: read the link again.
		s.table.Remove(key)
		l := s.want(key)
		l.waiters = append(l.waiters, w)
		return
	}
	a.waiters = append(a.waiters, w)
	if !a.leasing {
		s.askLease(e.Link(), a)
	}
}

func (s *shard) askLease(id engine.LinkID, a *account) {
	a.leasing, a.recalling = true, false
	if !s.ask(loaderMessage{lease: &lease{shard: s.mailbox, link: id, ref: a.ref, era: s.era, need: int64(len(a.waiters)), want: a.want}}) {
		s.leased(&leaseResult{link: id, ref: a.ref, err: errLeaseFailed})
	}
}

func (s *shard) leaseLater(id engine.LinkID, a *account) {
	a.recalling = true
	time.AfterFunc(recallWait, func() { s.mailbox.Post(shardMessage{kind: kindLeaseAgain, id: id}) })
}

// leaseAgain asks for a lease once the others have had recallWait.
func (s *shard) leaseAgain(id engine.LinkID) {
	if a := s.accounts[id]; a != nil && a.recalling {
		s.askLease(id, a)
	}
}

// recalled gives back what remains of a lease, as the visitors are at another instance.
func (s *shard) recalled(id engine.LinkID) {
	if a := s.accounts[id]; a != nil {
		s.giveBack(id, s.budgets.Drain(a.ref))
	}
}

// leased takes the store's answer and serves those who waited for it.
func (s *shard) leased(r *leaseResult) {
	a := s.accounts[r.link]
	if a == nil || r.ref != 0 && r.ref != a.ref {
		// The account was closed meanwhile: as the link changed, or as the store went back, perhaps behind this lease.
		if r.era == s.era {
			s.giveBack(r.link, r.take())
		}
		return
	}
	now := s.cfg.Now()
	// The visitors go on waiting: to say "used up" of visits that are on their way to the store, or that another instance holds idle, would be wrong.
	if r.elsewhere && now.After(a.recallAt) && s.recall != nil && s.recall(engine.Change{Link: r.link, Key: a.key}) {
		a.recallAt = now.Add(exhaustedFor)
		s.leaseLater(r.link, a)
		return
	}
	if r.err == nil && r.n == 0 && now.Sub(s.returning[r.link]) < returnWait {
		s.leaseLater(r.link, a)
		return
	}
	a.leasing, a.recalling = false, false
	waiters := a.waiters
	a.waiters = nil
	switch {
	case r.err != nil:
		for _, w := range waiters {
			w.answer(s.resolution(engine.OutcomeUnavailable, a.key.Hash()))
		}
		return
	case r.n == 0:
		s.budgets.Exhaust(a.ref)
		a.revive = now.Add(exhaustedFor)
	default:
		if now.Sub(a.touched) < time.Second {
			a.want = min(a.want*2, leaseMax)
		} else {
			a.want = max(a.want/2, leaseMin)
		}
		a.touched = now
		if n := r.take(); !s.budgets.Give(a.ref, n) {
			s.giveBack(r.link, n)
		}
	}
	e, ok := s.table.Get(a.key)
	for _, w := range waiters {
		if !ok || e.Missing() {
			w.answer(s.resolution(engine.OutcomeUnavailable, a.key.Hash()))
			continue
		}
		s.serve(a.key, e, w)
	}
}

// refund puts one visit back that was taken and not served.
func (s *shard) refund(id engine.LinkID) {
	if a := s.accounts[id]; a == nil || !s.budgets.Give(a.ref, 1) {
		s.giveBack(id, 1)
	}
}

// sweepAccounts has exhausted budgets asked again, and gives back those that rest.
func (s *shard) sweepAccounts() {
	now := s.cfg.Now()
	maps.DeleteFunc(s.returning, func(_ engine.LinkID, at time.Time) bool { return now.Sub(at) >= returnWait })
	for id, a := range s.accounts {
		switch {
		case a.leasing:
		case !a.revive.IsZero() && now.After(a.revive):
			a.revive = time.Time{}
			s.budgets.Revive(a.ref)
		case now.Sub(a.touched) > restAfter:
			// The entry goes first: a reader that has it finds the counter closed and asks.
			s.table.Remove(a.key)
			s.close(id)
		}
	}
}

// releaseAll gives everything back; after it no reader can take a visit.
func (s *shard) releaseAll() {
	for id, a := range s.accounts {
		for _, w := range s.close(id) {
			w.answer(s.resolution(engine.OutcomeUnavailable, a.key.Hash()))
		}
	}
}
