package edge

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/carom-dev/carom/engine"
)

// browserRequest is what a current browser sends.
const browserRequest = "GET /abc HTTP/1.1\r\nHost: sho.rt\r\nConnection: keep-alive\r\nsec-ch-ua: \"Chromium\";v=\"126\"\r\nsec-ch-ua-mobile: ?0\r\n" +
	"sec-ch-ua-platform: \"Linux\"\r\nUpgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n" +
	"Sec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\nReferer: https://news.example.com/articles/2024/some-story\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n\r\n"

// repeatConn yields the same request until left is used up, one a read, and throws answers away.
type repeatConn struct {
	request string
	peer    net.Addr
	left    int
	written int
}

func (c *repeatConn) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	c.left--
	return copy(p, c.request), nil
}

func (c *repeatConn) Write(p []byte) (int, error)      { c.written += len(p); return len(p), nil }
func (c *repeatConn) Close() error                     { return nil }
func (c *repeatConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *repeatConn) RemoteAddr() net.Addr             { return c.peer }
func (c *repeatConn) SetDeadline(time.Time) error      { return nil }
func (c *repeatConn) SetReadDeadline(time.Time) error  { return nil }
func (c *repeatConn) SetWriteDeadline(time.Time) error { return nil }

func benchPeer() net.Addr { return &net.TCPAddr{IP: net.IPv4(203, 0, 113, 9)} }

// plainResolver and plainJournal cost as little as an interface call can.
type plainResolver struct{ hit engine.Resolution }

func (r *plainResolver) Lookup(engine.DomainID, []byte, int64, engine.Visit) (engine.Resolution, bool) {
	return r.hit, true
}

func (r *plainResolver) Load(engine.Resolution, engine.DomainID, []byte, int64, engine.Visit) engine.Resolution {
	return r.hit
}
func (r *plainResolver) Refund(engine.Resolution) {}

type plainJournal struct{}

func (plainJournal) Append(int, engine.Click) error { return nil }

const benchTarget = "https://www.example.com/a/rather/usual/path?with=a&query=string"

func benchServer(b testing.TB) *fasthttp.Server {
	s, err := New(Config{Resolver: &plainResolver{live(benchTarget, 302)}, Clicks: plainJournal{}, Visitors: fakeHasher{}, API: fakeAPI{}})
	if err != nil {
		b.Fatal(err)
	}
	return s.http
}

// BenchmarkHit is the whole way of a hit through the HTTP server but for sockets, table and journal: parsing, the handler, the
// answer's bytes. Its twin BenchmarkBare is the same server with default options and a handler that knows one answer.
func BenchmarkHit(b *testing.B) { benchConn(b, benchServer(b)) }

// BenchmarkQuick is the same on the way that does without the HTTP server.
func BenchmarkQuick(b *testing.B) {
	s, err := New(Config{Resolver: &plainResolver{live(benchTarget, 302)}, Clicks: plainJournal{}, Visitors: fakeHasher{}, API: fakeAPI{}})
	if err != nil {
		b.Fatal(err)
	}
	c, in, out, now := quickConn(s), []byte(browserRequest), make([]byte, 0, 1<<10), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		if n, out, _ = s.quick(c, in, out[:0], now, false); n != len(in) {
			b.Fatalf("%d bytes are answered, want all", n)
		}
	}
	b.ReportMetric(float64(len(out)), "bytes/answer")
}

func BenchmarkBare(b *testing.B) {
	benchConn(b, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		ctx.Response.SetStatusCode(fasthttp.StatusFound)
		ctx.Response.Header.Set("Location", benchTarget)
	}})
}

func benchConn(b *testing.B, server *fasthttp.Server) {
	b.ReportAllocs()
	c := &repeatConn{request: browserRequest, peer: benchPeer(), left: b.N}
	b.ResetTimer()
	if err := server.ServeConn(c); err != nil {
		b.Fatal(err)
	}
	if c.left != 0 {
		b.Fatalf("%d requests were not answered", c.left)
	}
	b.ReportMetric(float64(c.written)/float64(b.N), "bytes/answer")
}
