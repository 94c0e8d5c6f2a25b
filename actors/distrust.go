package actors

import (
	"time"

	"github.com/carom-dev/carom/engine"
)

// doubt is why what is published is not trusted any more.
type doubt uint8

const (
	doubtMissed    doubt = iota // changes may have been missed
	doubtHearsay                // another instance knows of a change that the store does not have
	doubtRegressed              // the store went back in time: what this instance has seen in it is not there any more
)

// distrust has all that is published read again when it is asked for, and all that is being read, too: changes before this
// moment may have been missed. Where the store went back in time, accounts end, too, as the number of a link that is lost may be another's. Their
// visits are not given back where it was this instance's state that is no more: the store may have granted others in their place.
func (s *shard) distrust(why doubt) {
	// Stamps are whole seconds: what was read within this one may be from before.
	s.trusted = s.now() + 1
	s.table.Distrust(s.trusted)
	for _, l := range s.waiting {
		l.distrusted = true
		if why != doubtMissed {
			l.leastVersion = 0 // which may never come again
		}
	}
	if why == doubtMissed {
		return
	}
	if why == doubtRegressed {
		s.era++
	}
	for id, a := range s.accounts {
		s.table.Remove(a.key)
		var waiters []waiter
		if why == doubtRegressed {
			waiters = s.forfeit(id)
		} else {
			waiters = s.close(id)
		}
		for _, w := range waiters {
			s.lookup(a.key, w)
		}
	}
}

// retryLater has a published entry served as it is while it can't be read, and read again in staleRetry. One that is distrusted stays so.
func (s *shard) retryLater(key engine.Key) {
	if s.table.Distrusted(key) {
		s.retries[key] = s.now()
		return
	}
	s.table.Restamp(key, s.now()-int64(s.cfg.CacheTTL/time.Second)+staleRetry)
}

// sweepRetries lets what is distrusted and could not be read be asked for again.
func (s *shard) sweepRetries() {
	now := s.now()
	for key, at := range s.retries {
		if now-at >= staleRetry || now < at {
			delete(s.retries, key)
			s.table.Unrefresh(key.Hash(), key.Domain, []byte(key.Code))
		}
	}
}

// knows reports whether a version of a link, or a later one, is published. What is distrusted does not count: the store may have gone back behind it.
func (s *shard) knows(c engine.Change) bool {
	e, ok := s.table.Get(c.Key)
	return ok && !e.Missing() && e.Version() >= c.Version && !s.table.Distrusted(c.Key)
}
