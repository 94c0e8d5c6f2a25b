// Package limit is the arithmetic of rate limits: who may go on, who waits how long, and what others have spent elsewhere.
package limit

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Rate is a number of requests in a period, such as 200 a minute. The zero Rate limits nothing.
type Rate struct {
	Requests int
	Period   time.Duration
}

// ParseRate reads "200/m", "30/s", "1000/h" or "0" (no limit).
func ParseRate(s string) (Rate, error) {
	bad := fmt.Errorf("rate %q is not accepted; give requests and a period such as 200/m, 30/s or 1000/h, or 0 for no limit", s)
	count, unit, ok := strings.Cut(s, "/")
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > 1e9 {
		return Rate{}, bad
	}
	if n == 0 {
		return Rate{}, nil
	}
	period, known := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[unit]
	if !ok || !known {
		return Rate{}, bad
	}
	return Rate{Requests: n, Period: period}, nil
}

// String is the form that ParseRate reads; a period that has no letter is given in full ("5/10s").
func (r Rate) String() string {
	switch {
	case r.Requests <= 0:
		return "0"
	case r.Period == time.Second:
		return strconv.Itoa(r.Requests) + "/s"
	case r.Period == time.Minute:
		return strconv.Itoa(r.Requests) + "/m"
	case r.Period == time.Hour:
		return strconv.Itoa(r.Requests) + "/h"
	}
	return strconv.Itoa(r.Requests) + "/" + r.Period.String()
}

// Decision is the answer to one request for a unit.
type Decision struct {
	Allowed    bool
	Limit      int           // requests in the period; 0: not limited
	Remaining  int           // units left right now
	RetryAfter time.Duration // when refused: until a unit is free
	ResetAfter time.Duration // until all units are free again
}

// Limiter holds one Rate for many keys (clients), by the generic cell rate algorithm (ATM Forum TM 4.0, "virtual
// scheduling"): one theoretical arrival time a key, bursts up to the whole Requests. Bounded to KeysMax keys; when full, the key that
// is nearest to being forgotten anyway makes room. Safe for concurrent use; the locks are striped by key and cover no I/O.
type Limiter struct {
	rate     Rate
	interval int64 // nanoseconds a unit
	// exchanged: other instances are told of what is spent here, and Absorb is called with what they spend.
	exchanged atomic.Bool
	refused   atomic.Uint64
	forgotten atomic.Uint64 // keys that made room before they were at rest
	stripes   [stripeCount]stripe
}

// KeysMax is how many clients a Limiter remembers at once. 64 Ki keys are about 4 MiB; a flood of more addresses than that
// makes the limiter forget those that have spent least.
const KeysMax = 64 << 10

const (
	stripeCount = 64
	stripeMax   = KeysMax / stripeCount
	// clockSlack bursts are more than can be owed, whatever others told of: what goes beyond is owed by a clock that was ahead.
	clockSlack = 8
	// evictProbes keys are compared when a stripe is full; the map's random order makes them a sample.
	evictProbes = 8
)

type stripe struct {
	mu   sync.Mutex
	keys map[uint64]cell // guarded by mu
}

type cell struct {
	tat   int64 // theoretical arrival time, Unix nanoseconds
	spent int64 // units taken here since the last Spent
	// told are those that the last Spent told of. What others took at the same time may not have been heard yet, as they tell later.
	told int64
}

// New makes a Limiter. With the zero Rate everything is allowed.
func New(rate Rate) *Limiter {
	l := &Limiter{rate: rate}
	if rate.Requests > 0 {
		l.interval = max(int64(rate.Period)/int64(rate.Requests), 1)
	}
	return l
}

// Rate is the limit in force.
func (l *Limiter) Rate() Rate { return l.rate }

// SetExchanged says whether units are exchanged with other instances, by Spent and Absorb. At first they are not.
func (l *Limiter) SetExchanged(exchanged bool) { l.exchanged.Store(exchanged) }

// Take asks for one unit for key at now (Unix nanoseconds) and takes it when it is free. share is this instance's part, above 0
// and at most 1, and 1 where there is only one instance. Without exchange it is the part of the whole limit. With exchange it is
// the part of what is left that may be spent before the others know: so that all together, each unaware of the others' latest, don't
// spend more than there is.
func (l *Limiter) Take(key uint64, now int64, share float64) Decision {
	return l.decide(key, now, share, true)
}

// Peek tells what Take would, and takes nothing.
func (l *Limiter) Peek(key uint64, now int64, share float64) Decision {
	return l.decide(key, now, share, false)
}

func (l *Limiter) decide(key uint64, now int64, share float64, take bool) Decision {
	if l.interval == 0 {
		return Decision{Allowed: true}
	}
	interval, burst, unawareMax := l.interval, int64(l.rate.Requests)*l.interval, 1.0
	if l.exchanged.Load() {
		unawareMax = share
	} else if share < 1 {
		interval = int64(float64(l.interval) / share)
		burst = max(int64(float64(l.rate.Requests)*share), 1) * interval
	}
	s := &l.stripes[key%stripeCount]
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.keys[key]
	if c.tat > now+clockSlack*burst { // the clock was set back
		c.tat = now + burst
		s.keys[key] = c
	}
	c.tat = max(c.tat, now)
	left := max(burst-(c.tat-now), 0) / interval
	d := Decision{Limit: l.rate.Requests}
	// The last unit of a burst may start one interval before its time. Of what was left when all had been heard, at least one
	// unit may be spent: a limit of one a minute must not be none.
	unheard := c.spent + c.told
	d.Allowed = c.tat+interval-now <= burst && float64(unheard) < max(float64(left+unheard)*unawareMax, 1)
	if d.Allowed && take {
		c.tat += interval
		c.spent++
		l.putLocked(s, key, c, now)
	}
	if !d.Allowed {
		l.refused.Add(1)
		d.RetryAfter = time.Duration(max(c.tat+interval-burst-now, 1))
	}
	d.Remaining = int(max(burst-(c.tat-now), 0) / interval)
	d.ResetAfter = time.Duration(c.tat - now)
	return d
}

func (l *Limiter) putLocked(s *stripe, key uint64, c cell, now int64) {
	if s.keys == nil {
		s.keys = make(map[uint64]cell)
	}
	if _, ok := s.keys[key]; !ok && len(s.keys) >= stripeMax {
		if !s.evictLocked(now, l.exchanged.Load()) {
			l.forgotten.Add(1)
		}
	}
	s.keys[key] = c
}

// evictLocked drops every sampled key that is back at rest, and the one nearest to it if none is: then atRest is false.
func (s *stripe) evictLocked(now int64, exchanged bool) (atRest bool) {
	var victim uint64
	lowest, probes := int64(0), 0
	for key, c := range s.keys {
		if c.tat <= now && (c.spent == 0 || !exchanged) { // else others are still to be told
			delete(s.keys, key)
			atRest = true
		} else if probes == 0 || c.tat < lowest {
			victim, lowest = key, c.tat
		}
		if probes++; probes == evictProbes {
			break
		}
	}
	if !atRest {
		delete(s.keys, victim)
	}
	return atRest
}

// Spent calls each with every key that took units here since the last call, and how many. It also forgets keys at rest.
func (l *Limiter) Spent(now int64, each func(key uint64, units int64)) {
	type spend struct {
		key   uint64
		units int64
	}
	var spends []spend
	for i := range l.stripes {
		s := &l.stripes[i]
		spends = spends[:0]
		s.mu.Lock()
		for key, c := range s.keys {
			if c.spent > 0 || c.told > 0 {
				if c.spent > 0 {
					spends = append(spends, spend{key, c.spent})
				}
				c.spent, c.told = 0, c.spent
				s.keys[key] = c
			} else if c.tat <= now {
				delete(s.keys, key)
			}
		}
		s.mu.Unlock()
		for _, sp := range spends {
			each(sp.key, sp.units)
		}
	}
}

// Absorb counts units of key that were taken on other instances.
func (l *Limiter) Absorb(key uint64, now, units int64) {
	if l.interval == 0 || units <= 0 {
		return
	}
	s := &l.stripes[key%stripeCount]
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.keys[key]
	c.tat = max(c.tat, now) + units*l.interval
	l.putLocked(s, key, c, now)
}

// Stats are a Limiter's figures since it was made; Keys are those that it remembers now.
type Stats struct {
	Keys      int
	Refused   uint64 // answers to Take and Peek that were no
	Forgotten uint64 // keys that made room for others before all their units had come back
}

// Stats reads the figures. It locks one stripe after the other, so it is for a scrape and not for a request.
func (l *Limiter) Stats() Stats {
	st := Stats{Refused: l.refused.Load(), Forgotten: l.forgotten.Load()}
	for i := range l.stripes {
		s := &l.stripes[i]
		s.mu.Lock()
		st.Keys += len(s.keys)
		s.mu.Unlock()
	}
	return st
}
