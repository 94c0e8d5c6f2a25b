package edge

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carom-dev/carom/edge/wire"
)

// scriptedListener answers each Accept with the next error, then with connections of a pipe until it is closed.
type scriptedListener struct {
	errs   []error
	closed chan struct{}
}

func (l *scriptedListener) Accept() (net.Conn, error) {
	if len(l.errs) > 0 {
		err := l.errs[0]
		l.errs = l.errs[1:]
		return nil, err
	}
	c, _ := net.Pipe()
	return c, nil
}

func (l *scriptedListener) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}
func (l *scriptedListener) Addr() net.Addr { return &net.TCPAddr{} }

func acceptError(errno syscall.Errno) error {
	return &net.OpError{Op: "accept", Err: errno}
}

func stubborn(f *fixture, errs ...error) *stubbornListener {
	return &stubbornListener{
		Listener: &scriptedListener{errs: errs, closed: make(chan struct{})}, log: slog.New(slog.DiscardHandler), throttle: &wire.Throttle{},
		pauses: &f.pauses, closing: make(chan struct{}),
	}
}

func TestListenerSurvivesExhaustion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		ln := stubborn(f, acceptError(syscall.EMFILE), acceptError(syscall.ENFILE), acceptError(syscall.ENOBUFS), acceptError(syscall.ENOMEM), acceptError(syscall.ECONNABORTED))
		start := time.Now()
		if _, err := ln.Accept(); err != nil {
			t.Fatalf("Accept = %v, want a connection", err)
		}
		if pause := time.Since(start); pause != 155*time.Millisecond {
			t.Errorf("Accept paused for %v, want 5+10+20+40+80 ms", pause)
		}
		if st := f.Stats(); st.Pauses != 5 {
			t.Errorf("Stats().Pauses = %d, want 5", st.Pauses)
		}
	})
}

func TestListenerGivesUpOnOtherErrors(t *testing.T) {
	f := newFixture(t, nil)
	if _, err := stubborn(f, acceptError(syscall.EINVAL)).Accept(); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("Accept = %v, want EINVAL", err)
	}
}

func TestListenerCloseEndsAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var errs []error
		for range 100 {
			errs = append(errs, acceptError(syscall.EMFILE))
		}
		ln := stubborn(newFixture(t, nil), errs...)
		done := make(chan error, 1)
		go func() {
			_, err := ln.Accept()
			done <- err
		}()
		synctest.Wait()
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept = %v, want net.ErrClosed", err)
		}
	})
}

func TestListenersShareAPort(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Listeners = 3 })
	addr, _ := f.serve(t)
	for range 20 {
		resp := exchange(t, dial(t, addr), "GET /abc HTTP/1.1\r\nHost: a\r\n\r\n")
		if resp.StatusCode() != 302 {
			t.Fatalf("GET = %d, want 302", resp.StatusCode())
		}
	}
}

func TestListenRefusesATakenPort(t *testing.T) {
	f := newFixture(t, nil)
	addr, _ := f.serve(t)
	if _, err := f.Listen(t.Context(), addr); err == nil || !strings.Contains(err.Error(), addr) {
		t.Errorf("Listen on a taken port = %v, want an error that names it", err)
	}
}

func TestConnectionsBeyondTheBound(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Concurrency = 1 })
	addr, _ := f.serve(t)
	first := dial(t, addr)
	if got := exchange(t, first, "GET /abc HTTP/1.1\r\nHost: a\r\n\r\n").StatusCode(); got != 302 {
		t.Fatalf("GET = %d, want 302", got)
	}
	second := dial(t, addr)
	resp := exchange(t, second, "GET /abc HTTP/1.1\r\nHost: a\r\n\r\n")
	if resp.StatusCode() != 503 || string(resp.Header.Peek("Retry-After")) != "1" {
		t.Errorf("a connection beyond the bound = %d, Retry-After %q; want 503, 1", resp.StatusCode(), resp.Header.Peek("Retry-After"))
	}
	closedByPeer(t, second)
	if st := f.Stats(); st.Rejected != 1 || st.Connections != 1 {
		t.Errorf("Stats = %+v, want one rejected and one open", st)
	}
}

func TestProxyProtocol(t *testing.T) {
	serve := func(t *testing.T, trusted string) (*fixture, string) {
		f := newFixture(t, func(c *Config) {
			c.ProxyProtocol = true
			c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix(trusted)}
		})
		addr, _ := f.serve(t)
		return f, addr
	}
	const header, get = "PROXY TCP4 203.0.113.77 192.0.2.1 4711 80\r\n", "GET /abc HTTP/1.1\r\nHost: a\r\n\r\n"
	t.Run("a trusted peer's header names the client", func(t *testing.T) {
		f, addr := serve(t, "127.0.0.0/8")
		if got := exchange(t, dial(t, addr), header+get).StatusCode(); got != 302 {
			t.Fatalf("GET = %d, want 302", got)
		}
		if got := f.journal.clicks[0].Address.String(); got != "203.0.113.0" {
			t.Errorf("the click is from %s, want 203.0.113.0", got)
		}
	})
	for rule, tt := range map[string]struct{ trusted, raw string }{
		"a trusted peer must send it":      {"127.0.0.0/8", get},
		"an untrusted peer must not":       {"192.0.2.0/24", header + get},
		"a header that can't be read ends": {"127.0.0.0/8", "PROXY TCP4 nonsense\r\n" + get},
	} {
		t.Run(rule, func(t *testing.T) {
			f, addr := serve(t, tt.trusted)
			c := dial(t, addr)
			if _, err := io.WriteString(c, tt.raw); err != nil {
				t.Fatal(err)
			}
			if all, err := io.ReadAll(c); err == nil && strings.Contains(string(all), "302 Found") {
				t.Errorf("answer = %q, want no redirect", all)
			}
			if n := len(f.journal.clicks); n != 0 {
				t.Errorf("%d clicks, want none", n)
			}
		})
	}
	t.Run("an untrusted peer is served without it", func(t *testing.T) {
		f, addr := serve(t, "192.0.2.0/24")
		if got := exchange(t, dial(t, addr), get).StatusCode(); got != 302 || f.journal.clicks[0].Address.String() != "127.0.0.0" {
			t.Errorf("GET = %d by %v, want 302 by the socket's peer", got, f.journal.clicks)
		}
	})
}
