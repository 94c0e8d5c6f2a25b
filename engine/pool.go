package engine

import "time"

// PoolStats are the figures of a pool of connections since it was opened; those of connections are of now. What a technology does
// not count is 0.
type PoolStats struct {
	Name string // what the pool is for, such as "queries"

	Max, Open, Busy int // connections
	Acquired        uint64
	Waited          uint64        // of them, those that had to wait for a connection
	WaitTime        time.Duration // all waits together
	GivenUp         uint64        // those who went away without a connection
	Opened          uint64        // connections that were made
}
