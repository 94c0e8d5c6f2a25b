package actors

import (
	"time"

	"github.com/carom-dev/carom/actors/stage"
	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/engine/limit"
)

// rates exchanges with the other instances what clients have spent of their rate limits. It stands between no visitor and an
// answer: decisions are taken locally, by limiters that know of the others' spending a moment later.
type rates struct {
	cfg      *Config
	feed     *feed
	mailbox  *stage.Mailbox[struct{}]
	limiters map[string]*limit.Limiter // written once before Start
}

const (
	rateInterval = 100 * time.Millisecond
	// spendsMax are told in one message.
	spendsMax = 1000
)

// Receive implements stage.Behavior: time to tell the others.
func (r *rates) Receive(struct{}) {
	healthy := r.feed.healthy.Load()
	now := r.cfg.Now().UnixNano()
	var spends []engine.Spend
	for name, l := range r.limiters {
		l.SetExchanged(healthy)
		l.Spent(now, func(key uint64, units int64) {
			if !healthy || r.feed.live.Load() < 2 {
				return
			}
			if spends = append(spends, engine.Spend{Limiter: name, Key: key, Units: units}); len(spends) == spendsMax {
				r.feed.mailbox.TrySend(feedMessage{spends: spends})
				spends = nil
			}
		})
	}
	if len(spends) > 0 {
		r.feed.mailbox.TrySend(feedMessage{spends: spends})
	}
}

// Failed implements stage.Behavior.
func (r *rates) Failed(struct{}) {}

// absorb takes what another instance told. Safe for concurrent use.
func (r *rates) absorb(spends []engine.Spend) {
	now := r.cfg.Now().UnixNano()
	for _, s := range spends {
		if l := r.limiters[s.Limiter]; l != nil {
			l.Absorb(s.Key, now, s.Units)
		}
	}
}

// share is this instance's part of each limit.
func (r *rates) share() float64 { return 1 / float64(max(r.feed.live.Load(), 1)) }
