package edge

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/carom-dev/carom/engine"
)

// fakeLooped is a connection in a loop that nothing happens to.
type fakeLooped struct {
	net.Conn
	peer netip.AddrPort
}

func (f *fakeLooped) Own(any)              {}
func (f *fakeLooped) Attach() error        { return nil }
func (f *fakeLooped) Peer() netip.AddrPort { return f.peer }
func (f *fakeLooped) Rest()                {}
func (f *fakeLooped) Busy()                {}
func (f *fakeLooped) Rests() bool          { return true }
func (f *fakeLooped) Resting() bool        { return false }
func (f *fakeLooped) Ask()                 {}
func (f *fakeLooped) HangUp()              {}

const quickPeer = "198.51.100.7:1234"

func quickConn(s *Server) *conn {
	return &conn{looped: &fakeLooped{peer: netip.MustParseAddrPort(quickPeer)}, conns: s.conns}
}

// differ says in what the quick answer to the request at the beginning of raw is another than the HTTP server's, or how the two
// clicks differ; "" when they are the same, or when the quick way leaves the request to the server. n is the request's length.
func differ(quick, slow *fixture, raw []byte) (n int, difference string) {
	now := time.Unix(1_700_000_000, 0)
	n, out, last := quick.quick(quickConn(quick.Server), raw, nil, now, true)
	if n == 0 {
		return 0, ""
	}
	if last {
		return n, "the connection ends"
	}
	ctx := &fasthttp.RequestCtx{}
	ctx.Init(&fasthttp.Request{}, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(quickPeer)), nil)
	ctx.Request.Header.DisableNormalizing()
	ctx.Response.Header.DisableNormalizing()
	ctx.Response.Header.SetNoDefaultContentType(true)
	rest := bufio.NewReaderSize(bytes.NewReader(raw), len(raw)+16)
	if err := ctx.Request.Read(rest); err != nil {
		return n, fmt.Sprintf("the HTTP server can't read it: %v", err)
	}
	if err := ctx.URI().Parse(ctx.Host(), ctx.RequestURI()); err != nil {
		return n, fmt.Sprintf("the HTTP server can't read its target: %v", err)
	}
	if left := rest.Buffered(); left != len(raw)-n {
		return n, fmt.Sprintf("it ends at %d, and at %d for the HTTP server", n, len(raw)-left)
	}
	slow.handle(ctx)
	if ctx.Request.Header.ConnectionClose() || ctx.Response.ConnectionClose() {
		return n, "the HTTP server ends the connection"
	}
	ctx.Response.SkipBody = ctx.IsHead()
	var want bytes.Buffer
	if _, err := ctx.Response.WriteTo(&want); err != nil {
		return n, err.Error()
	}
	if got, want := comparable(out), comparable(want.Bytes()); got != want {
		return n, fmt.Sprintf("the answer is\n%s\nand the HTTP server's is\n%s", got, want)
	}
	return n, differentClicks(quick.journal, slow.journal)
}

// comparable is an answer with its header sorted, and without what no two answers share.
func comparable(answer []byte) string {
	head, body, _ := strings.Cut(string(answer), "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	for i, line := range lines {
		if name, value, _ := strings.Cut(line, ": "); name == "Date" || name == "X-Request-ID" && strings.Contains(value, "-") {
			lines[i] = name
		}
	}
	slices.Sort(lines[1:])
	return strings.Join(lines, "\n") + "\n\n" + body
}

func differentClicks(quick, slow *fakeJournal) string {
	describe := func(j *fakeJournal) string {
		var b strings.Builder
		for i, c := range j.clicks {
			fmt.Fprintf(&b, "lane %d, link %d, %s, %d, %d, %q, %q, %q\n", j.lanes[i], c.Link, c.Address, c.Status, c.Flags, c.UserAgent, c.Referrer, c.Language)
		}
		return b.String()
	}
	if got, want := describe(quick), describe(slow); got != want {
		return fmt.Sprintf("the click is\n%s\nand the HTTP server's is\n%s", got, want)
	}
	return ""
}

func trustPeer(c *Config) {
	c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("10.0.0.0/8")}
	c.API = fakeAPI{}
}

func TestQuickAnswersLikeTheHTTPServer(t *testing.T) {
	for _, raw := range []string{
		browserRequest, strings.Replace(browserRequest, "/abc", "/missing", 1), strings.Replace(browserRequest, "/abc", "/cold", 1),
		getABC, "HEAD /abc HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD /missing HTTP/1.1\r\nHost: a\r\n\r\n", "GET /perm HTTP/1.1\r\nHost: a:8080\r\n\r\n",
		"GET /perm8?x=1 HTTP/1.1\r\nhost: a\r\nPurpose: prefetch\r\n\r\n", "GET /temp7 HTTP/1.1\r\nHOST: a\r\nX-Moz: prefetch\r\n\r\n",
		"GET /gone HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n", "GET /expired HTTP/1.1\r\nHost: a\r\n\r\n", "GET /exhausted HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /away HTTP/1.1\r\nHost: a\r\nX-Request-ID: abc.1\r\n\r\n", "GET /shed HTTP/1.1\r\nHost: a\r\n\r\n", "GET /few HTTP/1.1\r\nHost: a\r\nSec-Purpose: prefetch;prerender\r\n\r\n",
		"GET /fwd?a=b&c=%20'd HTTP/1.1\r\nHost: a\r\n\r\n", "GET /fwd? HTTP/1.1\r\nHost: a\r\n\r\n", "GET /fwd?" + strings.Repeat("q", 5000) + " HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /abc HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9, 10.1.2.3\r\n\r\n", "GET /abc HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: nonsense\r\n\r\n",
		"GET /abc HTTP/1.1\r\nHost: a\r\nUser-Agent:\r\nReferer:  x\r\nAccept-Language: \xc3\xa9\r\n\r\n" + getABC,
		"GET /abc HTTP/1.1\r\nHost: a\r\nUser-Agent: " + strings.Repeat("u", 600) + "\r\nReferer: " + strings.Repeat("r", 2000) + "\r\n\r\n",
		"GET /abc HTTP/1.1\r\nHost: a\r\nX-Request-ID: no id\r\nTraceparent: x\r\n\r\n",
	} {
		for _, change := range []func(*Config){nil, trustPeer} {
			n, difference := differ(newFixture(t, change), newFixture(t, change), []byte(raw))
			if n == 0 {
				t.Errorf("%q is left to the HTTP server", raw)
			}
			if difference != "" {
				t.Errorf("%q: %s", raw, difference)
			}
		}
	}
}

func TestQuickLeavesTheRestToTheHTTPServer(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.API = fakeAPI{} })
	whole := "GET /abc HTTP/1.1\r\nHost: a\r\nUser-Agent: x\r\n\r\n"
	rest := []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET /abc/ HTTP/1.1\r\nHost: a\r\n\r\n", "GET /urls HTTP/1.1\r\nHost: a\r\n\r\n", "POST /abc HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /%61bc HTTP/1.1\r\nHost: a\r\n\r\n", "GET /" + strings.Repeat("a", engine.CodeMaxLen+1) + " HTTP/1.1\r\nHost: a\r\n\r\n", "GET /abc HTTP/1.0\r\nHost: a\r\n\r\n",
		"GET  /abc HTTP/1.1\r\nHost: a\r\n\r\n", "GET /abc#x HTTP/1.1\r\nHost: a\r\n\r\n", "GET http://a/abc HTTP/1.1\r\nHost: a\r\n\r\n", "GET /abc HTTP/1.1\r\n\r\n",
		"GET /abc HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "GET /abc HTTP/1.1\r\nHost: a b\r\n\r\n", "GET /abc HTTP/1.1\r\nHost: [::1]\r\n\r\n", "GET /abc HTTP/1.1\r\nHost:\r\n\r\n",
		"GET /abc HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "GET /abc HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "GET /abc HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"GET /abc HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", "GET /abc HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n", "GET /abc HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
		"GET /abc HTTP/1.1\r\nHost: a\r\nX: a\nY: b\r\n\r\n", "GET /abc HTTP/1.1\nHost: a\n\n", "GET /abc HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n", "GET /abc HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
		"GET /abc HTTP/1.1\r\nHost: a\r\nX: aaaaaaaa\x7f\r\n\r\n", "GET /abc HTTP/1.1\r\nHost: a\r\nX: a\tb\r\n\r\n", "GET /abc HTTP/1.1\r\nHost: a\r\nX: a \r\n\r\n", "GET /abc HTTP/1.1\r\nHost: a\r\n: a\r\n\r\n",
		"GET /abc HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", "GET /abc HTTP/1.1\r\nHost: a\r\nUser-Agent: a\r\nUser-Agent: b\r\n\r\n", "GET /abc HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", readBufferSize) + "\r\n\r\n",
		"\r\n" + getABC,
	}
	for n := range len(whole) {
		rest = append(rest, whole[:n])
	}
	for _, raw := range rest {
		if n, out, _ := f.quick(quickConn(f.Server), []byte(raw), nil, time.Now(), true); n != 0 || len(out) != 0 {
			t.Errorf("%q is answered with %q", raw, out)
		}
	}
	if n, _, _ := f.quick(quickConn(f.Server), []byte(whole), nil, time.Now(), true); n != len(whole) {
		t.Errorf("%q has %d bytes, want all", whole, n)
	}
	if n, _, _ := f.quick(quickConn(f.Server), []byte("GET /cold HTTP/1.1\r\nHost: a\r\n\r\n"), nil, time.Now(), false); n != 0 || f.resolver.loads != 0 {
		t.Errorf("without patience a code is looked up")
	}
}

func FuzzQuick(f *testing.F) {
	for _, c := range readRawCases(f) {
		f.Add([]byte(c.raw))
	}
	for _, raw := range []string{browserRequest, getABC + getABC, "HEAD /fwd?a=1 HTTP/1.1\r\nHost: a:1\r\nX-Forwarded-For: 1.2.3.4\r\nX-Request-ID: a\r\n\r\n", "GET /missing HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\nPurpose: prefetch\r\n\r\n"} {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, change := range []func(*Config){nil, trustPeer} {
			if _, difference := differ(newFixture(t, change), newFixture(t, change), raw); difference != "" {
				t.Fatalf("%q: %s", raw, difference)
			}
		}
	})
}

// TestAProxyWithAZoneIsTrusted has a proxy in the same segment of an IPv6 network.
func TestAProxyWithAZoneIsTrusted(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("fe80::/10")} })
	const raw = "GET /abc HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n"
	c := &conn{looped: &fakeLooped{peer: netip.MustParseAddrPort("[fe80::1%eth0]:1234")}, conns: f.conns}
	f.quick(c, []byte(raw), nil, time.Now(), true)
	f.handle(request(t, "[fe80::1%eth0]:1234", raw))
	for i, click := range f.journal.clicks {
		if got := click.Address.String(); got != "203.0.113.0" {
			t.Errorf("click %d is from %s, want the address that the proxy told", i, got)
		}
	}
	if n := len(f.journal.clicks); n != 2 {
		t.Errorf("%d clicks, want 2", n)
	}
}
