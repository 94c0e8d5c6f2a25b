package edge

import (
	"net/netip"
	"time"

	"github.com/carom-dev/carom/engine"
)

// quickOutputMax is how many bytes of answers are gathered before they are sent, for requests that came together.
const quickOutputMax = 64 << 10

// quickState is what the quick way remembers of a connection.
type quickState struct {
	known   bool
	trusted bool // the peer is a trusted proxy, so that the client's address is in each request
	peer    netip.Addr
	network engine.TruncatedAddr // of the peer
	id      quickID              // of the next request
	panic   any                  // of the request that comes next
}

func (q *quickState) learn(s *Server, peer netip.AddrPort) {
	q.known, q.peer = true, peer.Addr().Unmap().WithZone("")
	q.network, q.trusted = engine.TruncateAddr(q.peer), s.clients.Trusts(q.peer)
	q.id.conn = s.numbered.Add(1)
}

// quick answers the request at the beginning of in, if it is one for a code in the plainest form, as nearly all are, and returns
// its length. 0 leaves it, untouched, to the HTTP server, whose answer would say the same: FuzzQuick. So does, without patience, a
// code that has to be looked up. last says that the connection ends behind the answer. 0 allocs on a hit: TestAllocQuick.
func (s *Server) quick(c *conn, in, out []byte, now time.Time, patient bool) (n int, _ []byte, last bool) {
	q := &c.quick
	if !q.known {
		q.learn(s, c.looped.Peer())
	}
	v := visit{at: now, peer: q.peer, network: q.network}
	if n = v.parse(in); n == 0 || s.words.has(v.code) {
		return 0, out, false
	}
	// A drain is told to each client, and then its connection ends: that takes patience, too, as does a click that waits for the disk.
	if !patient && (s.cfg.ClicksWait || s.draining.Load()) {
		return 0, out, false
	}
	if q.trusted {
		v.network = engine.TruncateAddr(s.clients.Forwarded(q.peer, v.forwarded))
	}
	// By both numbers, so that it makes no difference whether visitors keep their connections.
	timed := (q.id.conn+q.id.request)%redirectSample == 0
	var began time.Time
	if timed {
		began = time.Now()
	}
	var rep reply
	if !s.decide(&rep, &v, patient) {
		return 0, out, false
	}
	last = patient && s.draining.Load()
	out = s.append(out, &rep, &v, q.id, last)
	q.id.request++
	if timed && rep.page == nil {
		s.took(&s.redirectTime, "redirect", time.Since(began))
	}
	return n, out, last
}
