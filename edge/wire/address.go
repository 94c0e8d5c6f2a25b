package wire

import (
	"bytes"
	"net"
	"net/netip"

	"github.com/cespare/xxhash/v2"
	"github.com/valyala/fasthttp"

	"github.com/carom-dev/carom/engine"
)

// Clients finds out who a request is from. The zero value trusts no proxy: then it is the socket's peer. Read-only after it is
// made, so safe for concurrent use.
type Clients struct {
	trusted []netip.Prefix
}

// NewClients makes a Clients that believes the X-Forwarded-For of peers within trusted.
func NewClients(trusted []netip.Prefix) Clients {
	masked := make([]netip.Prefix, len(trusted))
	for i, p := range trusted {
		masked[i] = p.Masked()
	}
	return Clients{trusted: masked}
}

// Trusts reports whether addr is one of the trusted proxies.
func (c Clients) Trusts(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("") // a network has none
	for _, p := range c.trusted {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// Peer is the socket's other end, or the address in the PROXY header; not valid for a socket without an address.
func Peer(ctx *fasthttp.RequestCtx) netip.Addr {
	tcp, ok := ctx.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	addr, ok := netip.AddrFromSlice(tcp.IP)
	if !ok {
		return netip.Addr{}
	}
	return addr.Unmap()
}

// Addr is the client's address: the peer's, unless that is a trusted proxy. Then X-Forwarded-For is read from the right, and
// the first address that is not a trusted proxy is the client. What stands further left was written by whoever called, and
// is never believed. 0 allocs: TestAddrAllocs.
func (c Clients) Addr(ctx *fasthttp.RequestCtx) netip.Addr {
	addr := Peer(ctx)
	if len(c.trusted) == 0 || !c.Trusts(addr) {
		return addr
	}
	return c.forwarded(ctx, addr)
}

// maxForwardedLines bounds how many X-Forwarded-For lines are looked at; the last ones count.
const maxForwardedLines = 8

func (c Clients) forwarded(ctx *fasthttp.RequestCtx, peer netip.Addr) netip.Addr {
	var lines [maxForwardedLines][]byte
	n := 0
	for walk := LinesOf(ctx); ; {
		line, ok := walk.Next()
		if !ok {
			break
		}
		if value, ok := Field(line, "x-forwarded-for"); ok {
			lines[n%maxForwardedLines] = value
			n++
		}
	}
	addr := peer
	for i, going := n-1, true; going && i >= 0 && i >= n-maxForwardedLines; i-- {
		addr, going = c.walk(addr, lines[i%maxForwardedLines])
	}
	return addr
}

// Forwarded is Addr for a trusted peer and the one X-Forwarded-For that it sent; empty without one.
func (c Clients) Forwarded(peer netip.Addr, line []byte) netip.Addr {
	addr, _ := c.walk(peer, line)
	return addr
}

// walk reads one line from the right. addr is what is known so far, and trusted; on reports that what it came to is, too, and that
// the line had nothing else to say.
func (c Clients) walk(addr netip.Addr, line []byte) (_ netip.Addr, on bool) {
	for len(line) > 0 {
		entry := line
		if comma := bytes.LastIndexByte(line, ','); comma >= 0 {
			entry, line = line[comma+1:], line[:comma]
		} else {
			line = nil
		}
		entry = trim(entry)
		if len(entry) == 0 {
			continue
		}
		next, ok := parseAddr(entry)
		if !ok {
			return addr, false // what stands left of nonsense can't be trusted either
		}
		if addr = next; !c.Trusts(addr) {
			return addr, false
		}
	}
	return addr, true
}

// parseAddr reads an address with or without port and brackets; "unknown" and obfuscated names are refused.
func parseAddr(entry []byte) (netip.Addr, bool) {
	switch {
	case entry[0] == '[':
		end := bytes.IndexByte(entry, ']')
		if end < 0 {
			return netip.Addr{}, false
		}
		entry = entry[1:end]
	case bytes.Count(entry, []byte{':'}) == 1:
		entry = entry[:bytes.IndexByte(entry, ':')]
	}
	if len(entry) > maxAddrLen {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(stringOf(entry))
	if err != nil {
		return netip.Addr{}, false
	}
	return addr.Unmap().WithZone(""), true
}

// maxAddrLen is an IPv6 address with an IPv4 tail, and room for a zone.
const maxAddrLen = 64

// ClientKey is what rate limits know a client's network by.
func ClientKey(addr engine.TruncatedAddr) uint64 { return xxhash.Sum64(addr[:]) }
