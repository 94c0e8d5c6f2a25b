package testservices

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// echo answers each line with itself, and passes on what it got.
func echo(t *testing.T) (addr string, got <-chan string) {
	t.Helper()
	var listen net.ListenConfig
	l, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	lines := make(chan string, 16)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				in := bufio.NewReader(conn)
				for {
					line, err := in.ReadString('\n')
					if err != nil {
						return
					}
					lines <- line
					if _, err := io.WriteString(conn, line); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String(), lines
}

func say(t *testing.T, conn net.Conn, wait time.Duration) (string, error) {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(wait)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "hello\n"); err != nil {
		return "", err
	}
	return bufio.NewReader(conn).ReadString('\n')
}

func TestProxyFaults(t *testing.T) {
	t.Parallel()
	const short, long = 50 * time.Millisecond, 10 * time.Second
	addr, got := echo(t)
	p, err := StartProxy(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var dialer net.Dialer
	dial := func() net.Conn {
		t.Helper()
		conn, err := dialer.DialContext(t.Context(), "tcp", p.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	answers := func(rule string, conn net.Conn) {
		t.Helper()
		if line, err := say(t, conn, long); err != nil || line != "hello\n" {
			t.Errorf("%s: %q, %v, want an answer", rule, line, err)
		}
		<-got
	}
	timesOut := func(rule string, conn net.Conn) {
		t.Helper()
		if line, err := say(t, conn, short); !isTimeout(err) {
			t.Errorf("%s: %q, %v, want a timeout", rule, line, err)
		}
	}
	fault := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	conn := dial()
	answers("without a fault", conn)
	fault(p.Latency(time.Second))
	fault(p.Latency(2 * time.Second))
	timesOut("latency", conn)
	<-got
	p.Heal(t.Context())

	conn = dial()
	fault(p.Swallow())
	timesOut("swallowed answers", conn)
	if line := <-got; line != "hello\n" {
		t.Errorf("server got %q while its answers were swallowed", line)
	}
	fault(p.Blackhole())
	timesOut("black hole", dial())
	p.Heal(t.Context())
	answers("healed", dial())

	fault(p.CutAfter(3))
	if line, err := say(t, dial(), long); err == nil || len(line) > 3 {
		t.Errorf("cut after 3 bytes: %q, %v", line, err)
	}
	<-got
	p.Heal(t.Context())

	fault(p.ResetPeer())
	if line, err := say(t, dial(), long); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
		t.Errorf("reset: %q, %v", line, err)
	}
	p.Heal(t.Context())

	conn = dial()
	answers("before down", conn)
	was := p.Addr()
	p.Down()
	if _, err := dialer.DialContext(t.Context(), "tcp", p.Addr()); err == nil {
		t.Error("a proxy that is down accepts connections")
	}
	if line, err := say(t, conn, long); err == nil {
		t.Errorf("a connection outlived the proxy: %q", line)
	}
	fault(p.Up())
	answers("after up", dial())
	fault(p.Reset())
	answers("after reset", dial())
	if p.Addr() != was {
		t.Errorf("address moved from %s to %s", was, p.Addr())
	}
}

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}

func TestProxyURL(t *testing.T) {
	t.Parallel()
	p, err := StartProxy("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	got, err := p.URL("postgres://me:secret@127.0.0.1:1/db?sslmode=disable")
	if err != nil || got != "postgres://me:secret@"+p.Addr()+"/db?sslmode=disable" {
		t.Errorf("URL = %q, %v", got, err)
	}
	if _, err := p.URL("\x7f"); err == nil || !strings.Contains(err.Error(), "parse") {
		t.Errorf("URL of nonsense: %v", err)
	}
}

// TestProxyWaitsForItsPort has somebody else hold the port for a while, as a process that is being started does.
func TestProxyWaitsForItsPort(t *testing.T) {
	p, err := StartProxy("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.Down()
	var listen net.ListenConfig
	l, err := listen.Listen(t.Context(), "tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	closed := time.AfterFunc(5*pollInterval, func() { _ = l.Close() })
	defer closed.Stop()
	if err := p.Up(); err != nil {
		t.Errorf("Up = %v, want the port once it is free", err)
	}
}
