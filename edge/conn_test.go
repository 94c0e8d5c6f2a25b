package edge

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// hasty serves with timeouts of 40 ms.
func hasty(t *testing.T, change func(*Config)) (*fixture, string) {
	f := newFixture(t, func(c *Config) {
		c.ReadTimeout, c.WriteTimeout, c.IdleTimeout = 40*time.Millisecond, 40*time.Millisecond, 40*time.Millisecond
		if change != nil {
			change(c)
		}
	})
	addr, _ := f.serve(t)
	return f, addr
}

func TestASilentConnectionTimesOut(t *testing.T) {
	_, addr := hasty(t, nil)
	c := dial(t, addr)
	if resp := readResponse(t, c); resp.StatusCode() != 408 {
		t.Errorf("silence = %d, want 408", resp.StatusCode())
	}
	closedByPeer(t, c)
}

func TestARequestInPiecesTimesOut(t *testing.T) {
	f, addr := hasty(t, nil)
	c := dial(t, addr)
	// Each piece comes in time, the whole never does.
	stop := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		_, err := io.WriteString(c, "GET /abc HTTP/1.1\r\n")
		for err == nil {
			select {
			case <-stop:
				return
			case <-tick.C:
				_, err = io.WriteString(c, "X-A: b\r\n")
			}
		}
	}()
	resp := readResponse(t, c)
	close(stop)
	<-stopped
	if resp.StatusCode() != 408 {
		t.Errorf("a request in pieces = %d, want 408", resp.StatusCode())
	}
	if st := f.Stats(); st.BadRequests != 1 {
		t.Errorf("Stats().BadRequests = %d, want 1", st.BadRequests)
	}
}

func TestAnIdleConnectionIsClosedInSilence(t *testing.T) {
	_, addr := hasty(t, nil)
	c := dial(t, addr)
	r := bufio.NewReader(c)
	for range 2 {
		if _, err := io.WriteString(c, getABC); err != nil {
			t.Fatal(err)
		}
		var resp fasthttp.Response
		if err := resp.Read(r); err != nil || resp.StatusCode() != 302 {
			t.Fatalf("GET = %d, %v; want 302", resp.StatusCode(), err)
		}
	}
	if rest, err := io.ReadAll(r); err != nil || len(rest) != 0 {
		t.Errorf("the idle connection ends with %q, %v; want nothing", rest, err)
	}
}

func TestASlowHandlerDoesNotCostTheConnection(t *testing.T) {
	goOn := make(chan struct{})
	f, addr := hasty(t, nil)
	f.resolver.loaded = func() { <-goOn }
	c := dial(t, addr)
	if _, err := io.WriteString(c, "GET /cold HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return overdue(f) })
	close(goOn)
	r := bufio.NewReader(c)
	for _, raw := range []string{"", getABC} {
		if _, err := io.WriteString(c, raw); err != nil {
			t.Fatal(err)
		}
		var resp fasthttp.Response
		if err := resp.Read(r); err != nil || resp.StatusCode() != 302 {
			t.Fatalf("GET = %d, %v; want 302", resp.StatusCode(), err)
		}
	}
}

func overdue(f *fixture) bool {
	found := false
	f.conns.each(func(c *conn) bool { return c.overdue.Load() }, func(*conn) { found = true })
	return found
}

func TestConnectionsThatComeTogetherAreSweptInParts(t *testing.T) {
	const each = 10
	cs := newConns(sweepParts*each, time.Minute, time.Minute, time.Minute)
	var admitted []*conn
	for range sweepParts * each {
		c, other := net.Pipe()
		defer other.Close()
		if c := cs.admit(c); c != nil {
			admitted = append(admitted, c)
		}
	}
	for i := range cs.parts {
		if n := len(cs.parts[i].all); n != each {
			t.Errorf("part %d has %d connections, want %d", i, n, each)
		}
	}
	for _, c := range admitted {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n := cs.open(); n != 0 {
		t.Errorf("%d connections are open, want 0", n)
	}
}

func TestAClientThatDoesNotReadIsCutOff(t *testing.T) {
	f, addr := hasty(t, func(c *Config) { c.API = hugeAPI{}; c.IdleTimeout = time.Minute })
	c := dial(t, addr)
	if _, err := io.WriteString(c, "GET /huge HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return f.Stats().Managed == 1 && f.Stats().Connections == 0 })
}

// hugeAPI answers with more than the sockets hold.
type hugeAPI struct{}

func (hugeAPI) Handle(ctx *fasthttp.RequestCtx)    { ctx.Response.SetBodyRaw(make([]byte, 64<<20)) }
func (a hugeAPI) Operate(ctx *fasthttp.RequestCtx) { a.Handle(ctx) }
func (hugeAPI) Words() []string                    { return []string{"huge"} }

func TestUnreadableRequests(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.API = fakeAPI{} })
	addr, _ := f.serve(t)
	for _, tt := range []struct {
		rule, raw string
		status    int
	}{
		{"a header beyond 8 KiB", "GET / HTTP/1.1\r\nHost: a\r\nX-A: " + strings.Repeat("x", readBufferSize) + "\r\n\r\n", 431},
		{"a body that says it is too large", "POST /urls HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n" + strings.Repeat("x", 10000000), 413},
		{"a chunked body that is too large", "POST /urls HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("10000\r\n"+strings.Repeat("x", 0x10000)+"\r\n", 20) + "0\r\n\r\n", 413},
		{"no HTTP", "HELLO\r\n\r\n", 400},
		{"two lengths", "POST /urls HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", 400},
		{"a control byte in the path", "GET /a\x01b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"an unknown transfer coding", "POST /urls HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			c := dial(t, addr)
			go func() { _, _ = io.WriteString(c, tt.raw) }() // the answer may come before all is sent
			resp := readResponse(t, c)
			if resp.StatusCode() != tt.status || string(resp.Header.ContentType()) != "application/problem+json" || !resp.ConnectionClose() {
				t.Errorf("answer = %d %s close %v, want %d as a problem that closes", resp.StatusCode(), resp.Header.ContentType(), resp.ConnectionClose(), tt.status)
			}
			if !strings.Contains(string(resp.Body()), `"request_id"`) || len(resp.Header.Peek("Server")) != 0 {
				t.Errorf("answer = %s\n%s, want a request id and no Server", resp.Header.String(), resp.Body())
			}
		})
	}
}

func TestCloseTwice(t *testing.T) {
	f := newFixture(t, nil)
	a, b := net.Pipe()
	defer b.Close()
	c := f.conns.admit(a)
	if err := c.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	if err := c.Close(); err == nil {
		t.Error("second Close = nil, want net.ErrClosed")
	}
}
