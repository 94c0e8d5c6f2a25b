package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// BenchmarkHit is a redirect from socket to socket by all the real parts; its client is in the figure, and one connection waits for
// each answer, so the time is a round trip and not a throughput.
func BenchmarkHit(b *testing.B) {
	h := startHits(b)
	b.ReportAllocs()
	for b.Loop() {
		h.hit(b)
	}
}

// BenchmarkHandler is the whole way of a hit by all the real parts but the sockets: reading the request, the table, the journal, the bytes
// of the answer; clicks are stored when it is over. The twin is a net/http server with a handler that knows one answer.
func BenchmarkHandler(b *testing.B) {
	b.Run("carom", func(b *testing.B) {
		server, clicks, stop := startParts(b, nil)
		defer stop()
		serve := func(ln net.Listener) error { return server.Serve(context.Background(), ln) }
		end := func() error { return server.Drain(context.Background()) }
		benchHandler(b, serve, end)
		if n := clicks.Stats(); n.Dropped > 0 {
			b.Errorf("%d clicks did not fit into the journal; measure for a shorter time", n.Dropped)
		}
	})
	b.Run("twin=net-http", func(b *testing.B) {
		server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Location"] = []string{hitTarget}
			w.WriteHeader(http.StatusFound)
		})}
		serve := func(ln net.Listener) error {
			if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		}
		benchHandler(b, serve, server.Close)
	})
}

// benchHandler has a server answer b.N requests that come on one connection, one a read.
func benchHandler(b *testing.B, serve func(net.Listener) error, end func() error) {
	conn := &repeatConn{left: b.N, peer: &net.TCPAddr{IP: net.IPv4(203, 0, 113, 9)}, gone: make(chan struct{})}
	ln := &oneListener{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
	served := make(chan error, 1)
	b.ReportAllocs()
	b.ResetTimer()
	ln.conns <- conn
	go func() { served <- serve(ln) }()
	<-conn.gone
	b.StopTimer()
	if err := end(); err != nil {
		b.Error(err)
	}
	if err := <-served; err != nil {
		b.Error(err)
	}
	if conn.left > 0 || conn.written < b.N*len("HTTP/1.1 302 Found") {
		b.Errorf("%d requests of %d were not read, and %d bytes written", conn.left, b.N, conn.written)
	}
}

// oneListener accepts what is in conns, until it is closed.
type oneListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *oneListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *oneListener) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}

func (l *oneListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

// repeatConn yields the same request until left is used up, and throws answers away. Owned by the server until gone is closed.
type repeatConn struct {
	left    int
	peer    net.Addr
	written int
	gone    chan struct{}
}

func (c *repeatConn) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	c.left--
	return copy(p, hitRequest), nil
}

func (c *repeatConn) Close() error {
	select {
	case <-c.gone:
	default:
		close(c.gone)
	}
	return nil
}

func (c *repeatConn) Write(p []byte) (int, error)      { c.written += len(p); return len(p), nil }
func (c *repeatConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *repeatConn) RemoteAddr() net.Addr             { return c.peer }
func (c *repeatConn) SetDeadline(time.Time) error      { return nil }
func (c *repeatConn) SetReadDeadline(time.Time) error  { return nil }
func (c *repeatConn) SetWriteDeadline(time.Time) error { return nil }
