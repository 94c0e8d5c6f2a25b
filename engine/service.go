package engine

import (
	"context"
	"time"
)

// Announcer tells the shards that own a link of its new version: here, and on every other instance. Safe for concurrent use.
type Announcer interface {
	// Announce returns when the live instances, this one first, answer with l, or after a bounded time, and says how many of
	// them do. An edit is in force whether or not all have confirmed it. c with ID 0 is no change, as a repeat makes none: then
	// what l is by now is told once more, so that the answer says how far that has got.
	Announce(ctx context.Context, l Link, c Change) Propagation
	// AnnounceMany does the same for the changes of an import, whose links are read again when they are asked for. Those with
	// ID 0 are left out.
	AnnounceMany(ctx context.Context, changes []Change) Propagation
}

// HealthStatus is a part's state, in the words of the health+json draft.
type HealthStatus string

// The states: pass, degraded but serving, and down.
const (
	HealthPass HealthStatus = "pass"
	HealthWarn HealthStatus = "warn"
	HealthFail HealthStatus = "fail"
)

// Health is what a part says of itself.
type Health struct {
	Status  HealthStatus
	Reason  string        // for an operator; "" when all is well
	Latency time.Duration // of the check; 0 when nothing was asked
}

// HealthCheck is one part that can be asked. Critical says that without it hits can't be served, so a fail means not ready.
type HealthCheck struct {
	Name     string
	Critical bool
	Check    func(ctx context.Context) Health // bounded by ctx; safe for concurrent use
}

// VisitorHasher makes visitor ids. Safe for concurrent use.
type VisitorHasher interface {
	// Visitor hashes the truncated address and the user agent under the salt of the day of at (Unix microseconds).
	Visitor(at int64, addr TruncatedAddr, userAgent []byte) uint64
}
