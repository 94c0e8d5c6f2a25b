package redis

import "time"

// Stats are a bus's figures since it was opened; connections and the breaker's state are those of now.
type Stats struct {
	Published     uint64 // messages that Redis took
	Failed        uint64 // messages that were not sent, or may not have been
	Received      uint64 // messages that were delivered, without BusSubscribed
	Undecodable   uint64 // messages that were skipped
	Reconnects    uint64 // subscriptions after the first of each Listen
	Away          bool   // the breaker is open
	AwaySince     time.Time
	BreakerOpened uint64 // how often
	Conns         int    // of the publishing client
	IdleConns     int
	PoolTimeouts  uint64 // calls that found no connection in time, since the client was last renewed
}

// Stats reads the figures.
func (b *Bus) Stats() Stats {
	s := Stats{
		Published: b.published.Load(), Failed: b.failed.Load(), Received: b.received.Load(),
		Undecodable: b.undecodable.Load(), Reconnects: b.reconnects.Load(),
	}
	s.AwaySince, s.BreakerOpened = b.brake.state()
	s.Away = !s.AwaySince.IsZero()
	b.mu.Lock()
	client := b.client
	b.mu.Unlock()
	pool := client.PoolStats()
	s.Conns, s.IdleConns, s.PoolTimeouts = int(pool.TotalConns), int(pool.IdleConns), uint64(pool.Timeouts)
	return s
}
