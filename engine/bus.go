package engine

import "context"

// Bus carries messages between instances, quickly and without any promise: a message can be lost, doubled, or come late. Nothing
// rests on it but speed; the truth is in the store. Safe for concurrent use.
type Bus interface {
	// Publish sends messages, in their order, in one round trip. It is bounded by ctx and by the bus's own timeout of 100 ms, and
	// fails at once while the bus is known to be away. An error means that any of them may not have been sent.
	Publish(ctx context.Context, messages []BusMessage) error
	// Listen hands what others publish, and what this node published itself, to deliver, until ctx ends. It connects and
	// reconnects by itself. deliver is called by one goroutine, in the order of arrival, must not block, and may keep m. A
	// message that can't be read is skipped and counted. Messages with a To other than node are not delivered.
	Listen(ctx context.Context, node NodeID, deliver func(m BusMessage))
	// Reconnect makes Listen drop its connection and make a new one: for a caller that hears nothing, although it should.
	Reconnect()
	// Health says whether the bus answers.
	Health(ctx context.Context) Health
	// Close ends it.
	Close() error
}

// BusKind is what a message is about.
type BusKind uint8

// The kinds of messages.
const (
	BusHeartbeat  BusKind = iota + 1 // From lives; Sequence is its latest
	BusChange                        // links have changed: Changes
	BusPoll                          // more has changed than is worth listing: read the change log
	BusAck                           // to To: From has applied the changes up to and including Sequence of To
	BusSpend                         // units that From has taken from rate limits: Spends
	BusSubscribed                    // made by Listen itself: it has (re)connected, and may have missed anything before
	BusRecall                        // From has visitors for the links of Changes and no visits left: give back what is leased and not used
)

// BusMessage is one message. It is immutable once published or delivered.
type BusMessage struct {
	Kind     BusKind
	From     NodeID
	Sequence uint64 // of From's BusChange and BusPoll messages, one more each, and no smaller after a restart; other kinds repeat the latest
	To       NodeID // only for BusAck
	Changes  []Change
	Spends   []Spend
}

// Spend is a number of units that were taken from one limiter by one client.
type Spend struct {
	Limiter string // its name, the same on every instance
	Key     uint64
	Units   int64
}
