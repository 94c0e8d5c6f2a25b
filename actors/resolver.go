package actors

import (
	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/engine/table"
)

// Lookup implements engine.Resolver: the published table of the code's shard, read without lock or message. The actor owns the
// table; readers borrow what it published. 0 allocs: TestLookupAllocs.
func (a *Actors) Lookup(domain engine.DomainID, code []byte, now int64, visit engine.Visit) (engine.Resolution, bool) {
	hash := engine.HashKey(domain, code)
	s := a.shards[engine.ShardOf(hash, len(a.shards))]
	res := engine.Resolution{Shard: s.id, Hash: hash}
	e, refresh, ok := s.table.Lookup(hash, domain, code, now/1e6)
	if !ok {
		return res, false
	}
	if refresh {
		s.refresh(hash, domain, code)
	}
	return decide(s.budgets, e, res, now, visit)
}

// refresh has a published entry read again. When the mailbox is full a later reader asks again.
func (s *shard) refresh(hash uint64, domain engine.DomainID, code []byte) {
	if !s.mailbox.TrySend(shardMessage{kind: kindRefresh, key: engine.Key{Domain: domain, Code: string(code)}}) {
		s.table.Unrefresh(hash, domain, code)
	}
}

// decide fills res from an entry at now (Unix microseconds); false when the entry alone can't tell, as the link's visits have
// to be leased first.
func decide(budgets *table.Budgets, e table.Entry, res engine.Resolution, now int64, visit engine.Visit) (engine.Resolution, bool) {
	if e.Missing() {
		res.Outcome = engine.OutcomeNotFound
		return res, true
	}
	res.Link = e.Link()
	if res.Outcome = e.Conditions().Outcome(now); res.Outcome != engine.OutcomeRedirect {
		return res, true
	}
	if ref, ok := e.Budget(); ok {
		take := budgets.Peek
		if visit == engine.VisitCounted {
			take = budgets.Take
		}
		switch take(ref) {
		case table.BudgetEmpty:
			return res, false
		case table.BudgetExhausted:
			res.Outcome = engine.OutcomeExhausted
			return res, true
		}
		res.Budgeted = visit == engine.VisitCounted
	}
	res.Status, res.ForwardQuery, res.Target = e.Status(), e.ForwardQuery(), e.Target()
	return res, true
}

// Load implements engine.Resolver. When too many visitors wait for the shard already, it answers OutcomeShed at once; when the
// store takes longer than Config.LookupTimeout, or patienceMax times as long while it answers others, OutcomeUnavailable.
func (a *Actors) Load(miss engine.Resolution, domain engine.DomainID, code []byte, now int64, visit engine.Visit) engine.Resolution {
	s := a.shards[miss.Shard]
	s.misses.Add(1)
	if s.admitted.Add(1) > int64(a.cfg.LookupsMax) {
		s.admitted.Add(-1)
		return s.shed(miss)
	}
	defer s.admitted.Add(-1)
	r, t := a.replies.acquire()
	defer a.replies.release(r)
	key := engine.Key{Domain: domain, Code: string(code)}
	if !s.mailbox.TrySend(shardMessage{kind: kindLookup, key: key, waiter: waiter{ticket: t, at: now, visit: visit}}) {
		return s.shed(miss)
	}
	waits := 1
	res, ok := r.wait(a.cfg.LookupTimeout, func() bool {
		waits++
		return waits <= patienceMax && a.loader.well()
	})
	if ok {
		return res
	}
	return s.resolution(engine.OutcomeUnavailable, miss.Hash)
}

// patienceMax times the LookupTimeout a visitor waits for a store that is slow but answers: a busy machine is no outage. A store
// that answers nobody is given up after one.
const patienceMax = 4

func (s *shard) shed(miss engine.Resolution) engine.Resolution {
	s.sheds.Add(1)
	return s.resolution(engine.OutcomeShed, miss.Hash)
}

// Refund implements engine.Resolver.
func (a *Actors) Refund(r engine.Resolution) {
	if !r.Budgeted {
		return
	}
	// Refused only when the shard stops: the visit then stays counted, so the link is under-served by it, never over-served.
	a.shards[r.Shard].mailbox.Post(shardMessage{kind: kindRefund, id: r.Link})
}
