package redis

import "github.com/carom-dev/carom/engine"

// The channels, each behind the prefix. Classic Pub/Sub, which a Cluster broadcasts to all its nodes: sharded channels would
// tie each to the life of one.
const (
	changesChannel = "changes" // heartbeats, changes, polls
	ratesChannel   = "rates"   // spends
	toChannel      = "to:"     // and the node's id: what is for one node only
)

// channel is a channel's full name.
func (b *Bus) channel(name string) string { return b.cfg.ChannelPrefix + ":" + name }

// channelOf is where m is published.
func (b *Bus) channelOf(m *engine.BusMessage) string {
	switch {
	case m.To != "":
		return b.channel(toChannel + string(m.To))
	case m.Kind == engine.BusSpend:
		return b.channel(ratesChannel)
	}
	return b.channel(changesChannel)
}

// channelsFor are what a node listens to.
func (b *Bus) channelsFor(node engine.NodeID) []string {
	return []string{b.channel(changesChannel), b.channel(ratesChannel), b.channel(toChannel + string(node))}
}
