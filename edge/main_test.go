package edge

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"

	"github.com/carom-dev/carom/engine"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp keeps one goroutine for the Date header for as long as the process lives.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		// Its worker pool looks only every 10 seconds whether it has ended.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	)
}

// fakeResolver knows published codes, and codes that a Load finds.
type fakeResolver struct {
	published map[string]engine.Resolution
	stored    map[string]engine.Resolution
	loaded    func() // called in each Load

	mu       sync.Mutex
	visits   []engine.Visit
	loads    int
	refunded []engine.LinkID
}

func (f *fakeResolver) Lookup(_ engine.DomainID, code []byte, _ int64, visit engine.Visit) (engine.Resolution, bool) {
	r, ok := f.published[string(code)]
	if r.Budgeted {
		r.Budgeted = visit == engine.VisitCounted
	}
	return r, ok
}

func (f *fakeResolver) Load(miss engine.Resolution, _ engine.DomainID, code []byte, _ int64, visit engine.Visit) engine.Resolution {
	f.mu.Lock()
	f.loads++
	f.visits = append(f.visits, visit)
	f.mu.Unlock()
	if f.loaded != nil {
		f.loaded()
	}
	r, ok := f.stored[string(code)]
	if !ok {
		r = engine.Resolution{Outcome: engine.OutcomeNotFound}
	}
	r.Shard = miss.Shard
	return r
}

func (f *fakeResolver) Refund(r engine.Resolution) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refunded = append(f.refunded, r.Link)
}

// fakeJournal keeps clicks with their own bytes, or fails.
type fakeJournal struct {
	err    error
	mu     sync.Mutex
	lanes  []int
	clicks []engine.Click
}

func (f *fakeJournal) Append(lane int, c engine.Click) error {
	if f.err != nil {
		return f.err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c.UserAgent, c.Referrer, c.Language = clone(c.UserAgent), clone(c.Referrer), clone(c.Language)
	f.lanes, f.clicks = append(f.lanes, lane), append(f.clicks, c)
	return nil
}

func clone(b []byte) []byte { return append([]byte(nil), b...) }

type fakeHasher struct{}

func (fakeHasher) Visitor(at int64, addr engine.TruncatedAddr, ua []byte) uint64 {
	return uint64(at) + uint64(addr[1]) + uint64(len(ua))
}

func live(target string, status uint16) engine.Resolution {
	return engine.Resolution{Outcome: engine.OutcomeRedirect, Status: status, Link: 7, Shard: 3, Target: []byte(target)}
}

type fixture struct {
	*Server
	resolver *fakeResolver
	journal  *fakeJournal
}

func newFixture(t testing.TB, change func(*Config)) *fixture {
	t.Helper()
	f := &fixture{journal: &fakeJournal{}, resolver: &fakeResolver{published: map[string]engine.Resolution{
		"abc":       live("https://example.com/a%2Fb?x=1#frag", 302),
		"perm":      live("https://example.com/", 301),
		"perm8":     live("https://example.com/", 308),
		"temp7":     live("https://example.com/", 307),
		"gone":      {Outcome: engine.OutcomeInactive, Shard: 1},
		"expired":   {Outcome: engine.OutcomeExpired, Shard: 1},
		"exhausted": {Outcome: engine.OutcomeExhausted, Shard: 1},
		"missing":   {Outcome: engine.OutcomeNotFound, Shard: 1},
		"away":      {Outcome: engine.OutcomeUnavailable, Shard: 1},
		"shed":      {Outcome: engine.OutcomeShed, Shard: 1},
	}, stored: map[string]engine.Resolution{"cold": live("https://example.com/cold", 302)}}}
	budgeted := live("https://example.com/", 301)
	budgeted.Budgeted = true
	f.resolver.published["few"] = budgeted
	forwarding := live("https://example.com/p?x=1#frag", 302)
	forwarding.ForwardQuery = true
	f.resolver.published["fwd"] = forwarding
	cfg := Config{Resolver: f.resolver, Clicks: f.journal, Visitors: fakeHasher{}}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f.Server = s
	return f
}

// answer is a response as a client sees it.
type answer struct {
	status int
	header *fasthttp.ResponseHeader
	body   string
}

func (a answer) get(name string) string { return string(a.header.Peek(name)) }

// ask runs one raw request through the handler, without sockets.
func (f *fixture) ask(t testing.TB, raw string) answer {
	t.Helper()
	ctx := request(t, "198.51.100.7:1234", raw)
	f.handle(ctx)
	// Through the wire form and back, so that what is checked is what a client gets.
	var b strings.Builder
	if ctx.IsHead() {
		ctx.Response.SkipBody = true
	}
	if _, err := ctx.Response.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	var resp fasthttp.Response
	resp.SkipBody = ctx.IsHead()
	resp.Header.SetNoDefaultContentType(true)
	if err := resp.Read(bufio.NewReader(strings.NewReader(b.String()))); err != nil {
		t.Fatalf("read back %q: %v", b.String(), err)
	}
	return answer{resp.StatusCode(), &resp.Header, string(resp.Body())}
}

func (f *fixture) get(t testing.TB, path string, headers ...string) answer {
	t.Helper()
	return f.ask(t, "GET "+path+" HTTP/1.1\r\nHost: sho.rt\r\n"+strings.Join(append(headers, ""), "\r\n")+"\r\n")
}

// request makes the context of a request as the server reads it.
func request(t testing.TB, peer, raw string) *fasthttp.RequestCtx {
	t.Helper()
	ctx := &fasthttp.RequestCtx{}
	ctx.Init(&fasthttp.Request{}, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(peer)), nil)
	ctx.Request.Header.DisableNormalizing()
	ctx.Response.Header.DisableNormalizing()
	ctx.Response.Header.SetNoDefaultContentType(true)
	if err := ctx.Request.Read(bufio.NewReaderSize(strings.NewReader(raw), readBufferSize)); err != nil {
		t.Fatalf("Read(%.200q): %v", raw, err)
	}
	return ctx
}

// serve runs the server on loopback sockets until the test ends; the returned channel has Serve's error.
func (f *fixture) serve(t testing.TB) (addr string, served chan error) {
	t.Helper()
	lns, err := f.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served = make(chan error, 1)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		served <- f.Serve(context.Background(), lns...)
	}()
	t.Cleanup(func() {
		if err := f.end(context.Background(), 0); err != nil {
			t.Logf("drain: %v", err)
		}
		<-stopped
	})
	return lns[0].Addr().String(), served
}

// dial opens a connection that the test's end closes, with a bound on everything that is done with it.
func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(15 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// exchange sends raw and reads one response.
func exchange(t testing.TB, c net.Conn, raw string) *fasthttp.Response {
	t.Helper()
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
	return readResponse(t, c)
}

func readResponse(t testing.TB, c net.Conn) *fasthttp.Response {
	t.Helper()
	var resp fasthttp.Response
	if err := resp.Read(bufio.NewReader(c)); err != nil {
		t.Fatalf("read response: %v", err)
	}
	return &resp
}

// closedByPeer waits until the other end hangs up.
func closedByPeer(t testing.TB, c net.Conn) {
	t.Helper()
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Read = %v, want a closed connection", err)
	}
}

// tryRequest parses raw into ctx, and reports whether it is HTTP.
func tryRequest(ctx *fasthttp.RequestCtx, raw string) bool {
	ctx.Init(&fasthttp.Request{}, net.TCPAddrFromAddrPort(netip.MustParseAddrPort("198.51.100.7:1")), nil)
	return ctx.Request.Read(bufio.NewReader(strings.NewReader(raw))) == nil && ctx.URI().Parse(ctx.Host(), ctx.RequestURI()) == nil
}
