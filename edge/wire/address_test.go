package wire

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/carom-dev/carom/engine"
)

var trusted = []netip.Prefix{netip.MustParsePrefix("10.1.2.3/8"), netip.MustParsePrefix("fd00::/8")}

func TestAddr(t *testing.T) {
	for _, tt := range []struct{ rule, peer, headers, want string }{
		{"the peer without a header", "198.51.100.7:1", "", "198.51.100.7"},
		{"an untrusted peer's header is not believed", "198.51.100.7:1", "X-Forwarded-For: 1.2.3.4\r\n", "198.51.100.7"},
		{"a trusted peer's header is", "10.0.0.1:1", "X-Forwarded-For: 1.2.3.4\r\n", "1.2.3.4"},
		{"names have no case", "10.0.0.1:1", "x-FORWARDED-for: 1.2.3.4\r\n", "1.2.3.4"},
		{"from the right", "10.0.0.1:1", "X-Forwarded-For: 6.6.6.6, 1.2.3.4\r\n", "1.2.3.4"},
		{"through a chain of trusted proxies", "10.0.0.1:1", "X-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.9.9.9,10.8.8.8\r\n", "1.2.3.4"},
		{"over several lines", "10.0.0.1:1", "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 10.9.9.9\r\n", "1.2.3.4"},
		{"only trusted ones: the leftmost", "10.0.0.1:1", "X-Forwarded-For: 10.7.7.7, 10.9.9.9\r\n", "10.7.7.7"},
		{"nonsense ends the walk", "10.0.0.1:1", "X-Forwarded-For: 1.2.3.4, unknown, 10.9.9.9\r\n", "10.9.9.9"},
		{"nonsense alone", "10.0.0.1:1", "X-Forwarded-For: _hidden\r\n", "10.0.0.1"},
		{"empty entries", "10.0.0.1:1", "X-Forwarded-For: 1.2.3.4, ,,\r\n", "1.2.3.4"},
		{"an empty header", "10.0.0.1:1", "X-Forwarded-For:\r\n", "10.0.0.1"},
		{"with a port", "10.0.0.1:1", "X-Forwarded-For: 1.2.3.4:5678\r\n", "1.2.3.4"},
		{"IPv6", "[fd00::1]:1", "X-Forwarded-For: 2001:db8::7\r\n", "2001:db8::7"},
		{"IPv6 with brackets and port", "[fd00::1]:1", "X-Forwarded-For: [2001:db8::7]:99\r\n", "2001:db8::7"},
		{"a zone is cut off", "[fd00::1]:1", "X-Forwarded-For: fe80::1%eth0\r\n", "fe80::1"},
		{"an open bracket", "[fd00::1]:1", "X-Forwarded-For: [2001:db8::7\r\n", "fd00::1"},
		{"mapped IPv4", "[::ffff:10.0.0.1]:1", "X-Forwarded-For: ::ffff:1.2.3.4\r\n", "1.2.3.4"},
		{"a very long entry", "10.0.0.1:1", "X-Forwarded-For: " + strings.Repeat("1", 500) + "\r\n", "10.0.0.1"},
		{"the last lines of many", "10.0.0.1:1", strings.Repeat("X-Forwarded-For: 6.6.6.6\r\n", 20) + "X-Forwarded-For: 1.2.3.4\r\n", "1.2.3.4"},
		{"many lines of trusted ones end somewhere", "10.0.0.1:1", "X-Forwarded-For: 6.6.6.6\r\n" + strings.Repeat("X-Forwarded-For: 10.5.5.5\r\n", 20), "10.5.5.5"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			if got := NewClients(trusted).Addr(parsed(t, tt.peer, tt.headers)); got.String() != tt.want {
				t.Errorf("Addr = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestPeerOfASocketWithoutAddress(t *testing.T) {
	ctx := &fasthttp.RequestCtx{}
	ctx.SetRemoteAddr(fakeAddr{})
	if got := (Clients{}).Addr(ctx); got.IsValid() {
		t.Errorf("Addr = %v, want none", got)
	}
}

type fakeAddr struct{}

func (fakeAddr) Network() string { return "pipe" }
func (fakeAddr) String() string  { return "pipe" }

func TestClientKeyTellsNetworksApart(t *testing.T) {
	key := func(s string) uint64 { return ClientKey(engine.TruncateAddr(netip.MustParseAddr(s))) }
	if key("192.0.2.1") != key("192.0.2.200") {
		t.Error("two addresses of one /24 have two keys, want one")
	}
	if key("192.0.2.1") == key("192.0.3.1") {
		t.Error("two networks share a key")
	}
}

func FuzzForwardedFor(f *testing.F) {
	for _, seed := range []string{"1.2.3.4", "10.0.0.1, 1.2.3.4", "[::1]:5", ",,,", "unknown", "fe80::1%25eth0", "[", ":", "1.2.3.4:", "::ffff:10.0.0.1"} {
		f.Add(seed)
	}
	clients := NewClients(trusted)
	f.Fuzz(func(t *testing.T, value string) {
		if strings.ContainsAny(value, "\r\n\x00") {
			return
		}
		ctx := &fasthttp.RequestCtx{}
		parsedCtx := tryParse(ctx, "X-Forwarded-For: "+value+"\r\n")
		if !parsedCtx {
			return
		}
		got := clients.Addr(ctx)
		if !got.IsValid() || got.Zone() != "" || got.Is4In6() {
			t.Errorf("Addr(%q) = %v, want a plain address", value, got)
		}
	})
}
