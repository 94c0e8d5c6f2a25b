//go:build linux && (amd64 || arm64)

package loop

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// huge bytes are more than sockets hold.
const huge = 16 << 20

// echo answers with what was sent: at once, but for lines that begin with "slow", which it takes a goroutine for; "huge" is answered with huge bytes.
type echo struct {
	quick, served, ended atomic.Int64
	verdict              atomic.Int64
	look                 func(c *Conn)
	slow                 func(c *Conn, line []byte) // in the goroutine, before the answer
	busy                 func(line []byte)          // in the loop, before the answer
}

func (e *echo) Quick(_ *Conn, in, out []byte, _ time.Time) (int, []byte) {
	if bytes.HasPrefix(in, []byte("slow")) {
		return 0, out
	}
	if bytes.HasPrefix(in, []byte("huge")) {
		return len(in), append(out, make([]byte, huge)...)
	}
	if e.busy != nil {
		e.busy(in)
	}
	e.quick.Add(1)
	used := len(in)
	if i := bytes.Index(in, []byte("\nslow")); i >= 0 {
		used = i + 1
	}
	return used, append(out, in[:used]...)
}

func (e *echo) Serve(c *Conn) bool {
	e.served.Add(1)
	r := bufio.NewReaderSize(c, 64)
	for {
		if _, err := r.Peek(1); err != nil && c.Resting() {
			return true
		}
		c.Busy()
		line, err := r.ReadBytes('\n')
		if err == nil {
			if e.slow != nil {
				e.slow(c, line)
			}
			_, err = c.Write(line)
			c.Rest()
		}
		if err != nil {
			_ = c.Close()
			return false
		}
	}
}

func (e *echo) Look(c *Conn) Verdict {
	if e.look != nil {
		e.look(c)
	}
	return Verdict(e.verdict.Load())
}
func (e *echo) Ended(*Conn) { e.ended.Add(1) }

// TestALoopIsNotForgottenOverManyEvents has more events than a loop takes at once come while it is at one, and behind them the waker's. It parks
// before it has seen that, when nothing more happens.
func TestALoopIsNotForgottenOverManyEvents(t *testing.T) {
	const clients = 8 * eventsMax
	h := open(t, 1)
	held, hold := make(chan struct{}), make(chan struct{})
	h.busy = func(line []byte) {
		if bytes.HasPrefix(line, []byte("hold")) {
			close(held)
			<-hold
		}
		// Each turn is to take longer than parkInterval.
		for began := time.Now(); time.Since(began) < 2*parkInterval/eventsMax; {
		}
	}
	first := h.dial(t)
	conns := make([]*net.TCPConn, clients)
	for i := range conns {
		conns[i] = h.dial(t)
	}
	if _, err := first.Write([]byte("hold\n")); err != nil {
		t.Fatal(err)
	}
	<-held
	for _, c := range conns {
		if _, err := c.Write([]byte("line\n")); err != nil {
			t.Fatal(err)
		}
	}
	h.group.loops[0].wake()
	close(hold)
	for i, c := range append(conns, first) {
		if _, err := c.Read(make([]byte, 16)); err != nil {
			t.Fatalf("client %d has no answer: %v", i, err)
		}
	}
}

// house is a group with a listener, and what it has accepted.
type house struct {
	*echo
	group    *Group
	ln       *Listener
	accepted chan *Conn
	own      atomic.Pointer[func(c *Conn) any] // what is made the owner of an accepted connection
	stop     func()
}

func open(t *testing.T, loops int) *house {
	t.Helper()
	h := &house{echo: &echo{}, accepted: make(chan *Conn, 1024)}
	group, err := NewGroup(h.echo, loops)
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := group.Listen(tcp)
	if err != nil {
		t.Fatal(err)
	}
	h.group, h.ln = group, ln
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("Accept = %v, want net.ErrClosed at the end", err)
				}
				return
			}
			if own := h.own.Load(); own != nil {
				c.(*Conn).Own((*own)(c.(*Conn)))
			}
			if err := c.(*Conn).Attach(); err != nil {
				t.Errorf("Attach = %v", err)
			}
			select {
			case h.accepted <- c.(*Conn):
			default:
			}
		}
	}()
	h.stop = sync.OnceFunc(func() {
		_ = ln.Close()
		<-done
		group.Stop()
		group.serving.Wait()
	})
	t.Cleanup(h.stop)
	return h
}

func (h *house) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", h.ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

func exchange(c net.Conn, line string) error {
	if _, err := io.WriteString(c, line); err != nil {
		return err
	}
	got := make([]byte, len(line))
	if _, err := io.ReadFull(c, got); err != nil {
		return fmt.Errorf("read the answer to %q: %w", line, err)
	}
	if string(got) != line {
		return fmt.Errorf("the answer to %q is %q", line, got)
	}
	return nil
}

func ends(t *testing.T, c net.Conn) {
	t.Helper()
	if rest, err := io.ReadAll(c); err != nil || len(rest) != 0 {
		t.Errorf("the connection ends with %q, %v; want its end and nothing else", rest, err)
	}
}

func TestTheLoopAnswers(t *testing.T) {
	h := open(t, 2)
	c := h.dial(t)
	for i := range 100 {
		if err := exchange(c, fmt.Sprintf("line %d\n", i)); err != nil {
			t.Fatal(err)
		}
	}
	if h.quick.Load() != 100 || h.served.Load() != 0 {
		t.Errorf("%d answers by the loop and %d goroutines, want 100 and none", h.quick.Load(), h.served.Load())
	}
}

func TestWhatMayWaitGetsAGoroutineAndComesBack(t *testing.T) {
	h := open(t, 1)
	entered, goOn := make(chan struct{}), make(chan struct{})
	h.slow = func(*Conn, []byte) { entered <- struct{}{}; <-goOn }
	slow, other := h.dial(t), h.dial(t)
	for round := range int64(3) {
		// Behind a whole answer of the loop, and with a request behind it.
		if _, err := io.WriteString(slow, "first\nslow one\n"); err != nil {
			t.Fatal(err)
		}
		<-entered
		if err := exchange(other, "others are answered meanwhile\n"); err != nil {
			t.Fatal(err)
		}
		goOn <- struct{}{}
		got := make([]byte, len("first\nslow one\n"))
		if _, err := io.ReadFull(slow, got); err != nil || string(got) != "first\nslow one\n" {
			t.Fatalf("the answers are %q, %v", got, err)
		}
		// The goroutine gives the connection back, and then the loop answers again.
		for before := h.quick.Load(); h.quick.Load() == before; {
			h.slow = nil
			if err := exchange(slow, "again\n"); err != nil {
				t.Fatal(err)
			}
		}
		h.slow = func(*Conn, []byte) { entered <- struct{}{}; <-goOn }
		if got := h.served.Load(); got < round+1 {
			t.Fatalf("%d goroutines, want at least %d", got, round+1)
		}
	}
}

func TestMoreThanTheBuffersHold(t *testing.T) {
	h := open(t, 1)
	c := h.dial(t)
	want := bytes.Repeat([]byte("0123456789abcde\n"), 1<<20) // 16 MiB: more than sockets and buffers take
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(want)
		sent <- errors.Join(err, c.CloseWrite())
	}()
	got, err := io.ReadAll(c)
	if err := errors.Join(err, <-sent); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes come back, and not those that were sent; want %d", len(got), len(want))
	}
}

// late is an owner whose client does not read in time.
type late struct {
	*Conn
	wrote chan struct{}
}

func (l *late) Write([]byte) (int, error) {
	close(l.wrote)
	return 0, os.ErrDeadlineExceeded
}

// TestNothingFollowsATornAnswer has the rest of an answer not go out in time.
func TestNothingFollowsATornAnswer(t *testing.T) {
	h := open(t, 1)
	wrote := make(chan struct{})
	h.own.Store(new(func(c *Conn) any { return &late{c, wrote} }))
	c := h.dial(t)
	if _, err := io.WriteString(c, "huge\n"); err != nil {
		t.Fatal(err)
	}
	<-wrote
	if n, _ := io.Copy(io.Discard, c); n >= huge { // to the end, or the reset
		t.Errorf("%d bytes came, so nothing was torn", n)
	}
	if n := h.served.Load(); n != 0 {
		t.Errorf("the connection was served %d times behind a torn answer, want not at all", n)
	}
}

func TestAnEndThatComesWithARequestIsNoticed(t *testing.T) {
	h := open(t, 2)
	for _, line := range []string{"quick\n", "slow\n"} {
		for range 50 {
			c := h.dial(t)
			if _, err := io.WriteString(c, line); err != nil {
				t.Fatal(err)
			}
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if all, err := io.ReadAll(c); err != nil || string(all) != line {
				t.Fatalf("the answer is %q, %v; want %q and the end", all, err, line)
			}
		}
	}
}

func TestLook(t *testing.T) {
	h := open(t, 1)
	c := h.dial(t)
	waits := <-h.accepted
	if err := exchange(c, "x\n"); err != nil {
		t.Fatal(err)
	}
	h.verdict.Store(int64(Keep))
	waits.Ask()
	if err := exchange(c, "kept\n"); err != nil {
		t.Fatal(err)
	}
	h.verdict.Store(int64(Serve))
	_ = waits.SetReadDeadline(time.Unix(1, 0))
	waits.Ask()
	ends(t, c) // the goroutine's Read ends by the deadline
	if h.served.Load() != 1 {
		t.Errorf("%d goroutines, want one", h.served.Load())
	}
	c = h.dial(t)
	waits = <-h.accepted
	if err := exchange(c, "x\n"); err != nil {
		t.Fatal(err)
	}
	h.verdict.Store(int64(Close))
	waits.Ask()
	ends(t, c)
}

func TestALoopThatFailsSaysSo(t *testing.T) {
	h := open(t, 1)
	c := h.dial(t)
	waits := <-h.accepted
	epfd := make(chan int, 1)
	h.look = func(c *Conn) { epfd <- c.loop.epfd; c.loop.epfd = -1 } // on the loop's own goroutine
	waits.Ask()
	if err := <-h.group.Failed(); !errors.Is(err, syscall.EBADF) {
		t.Errorf("Failed yields %v, want EBADF", err)
	}
	waits.loop.epfd = <-epfd // the loop's end came before
	h.stop()
	ends(t, c)
}

func TestHangUp(t *testing.T) {
	h := open(t, 1)
	c := h.dial(t)
	(<-h.accepted).HangUp()
	ends(t, c)
	entered := make(chan struct{})
	h.slow = func(c *Conn, _ []byte) {
		close(entered)
		if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("Read = %d, %v on a connection that was hung up; want EOF", n, err)
		}
	}
	c = h.dial(t)
	waits := <-h.accepted
	if _, err := io.WriteString(c, "slow\n"); err != nil {
		t.Fatal(err)
	}
	<-entered
	waits.HangUp()
	ends(t, c)
}

func TestDeadlines(t *testing.T) {
	h := open(t, 1)
	result := make(chan error, 2)
	h.slow = func(c *Conn, _ []byte) {
		read := func() error {
			_, err := c.Read(make([]byte, 1))
			return err
		}
		_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
		result <- read()
		_ = c.SetDeadline(time.Time{})
		_ = c.SetWriteDeadline(time.Unix(1, 0))
		_, err := c.Write([]byte("x"))
		result <- err
		_ = c.SetDeadline(time.Now().Add(time.Hour)) // stopped with the connection
	}
	if _, err := io.WriteString(h.dial(t), "slow\n"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-result; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v behind a deadline, want a timeout", err)
		}
	}
}

// TestStopLeavesServedConnectionsTheirEvents has the loops end while a goroutine waits for its client: what comes then is read all the same.
func TestStopLeavesServedConnectionsTheirEvents(t *testing.T) {
	h := open(t, 1)
	c := h.dial(t)
	entered, heard := make(chan struct{}), make(chan error, 2)
	h.slow = func(c *Conn, _ []byte) {
		close(entered)
		for range 2 {
			_, err := c.Read(make([]byte, 1))
			heard <- err
		}
	}
	if _, err := io.WriteString(c, "slow\n"); err != nil {
		t.Fatal(err)
	}
	<-entered
	go h.stop()
	<-h.group.ended
	want := func(want error) {
		t.Helper()
		select {
		case err := <-heard:
			if !errors.Is(err, want) {
				t.Errorf("Read = %v, want %v", err, want)
			}
		case <-time.After(time.Minute):
			t.Fatal("nothing was read")
		}
	}
	if _, err := io.WriteString(c, "x"); err != nil {
		t.Fatal(err)
	}
	want(nil)
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	want(io.EOF)
}

func TestStopClosesWhatWaits(t *testing.T) {
	h := open(t, 2)
	var clients []net.Conn
	for range 20 {
		c := h.dial(t)
		if err := exchange(c, "x\n"); err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	h.stop()
	for _, c := range clients {
		ends(t, c)
	}
	if h.ended.Load() != 20 {
		t.Errorf("%d connections were ended, want 20", h.ended.Load())
	}
}

// Connections that come and go, quick and slow requests in turn, alone and several at once: each byte comes back in its place.
func TestEverythingAtOnce(t *testing.T) {
	h := open(t, 2)
	var clients sync.WaitGroup
	for client := range 16 {
		clients.Go(func() {
			for range 20 {
				c := h.dial(t)
				for i := range 30 {
					line := fmt.Sprintf("client %d line %d\n", client, i)
					switch (client + i) % 4 {
					case 1:
						line = "slow " + line
					case 2:
						line += "slow " + line + line
					case 3:
						line = strings.Repeat(line, 40)
					}
					if err := exchange(c, line); err != nil {
						t.Error(err)
						return
					}
				}
				c.Close()
			}
		})
	}
	clients.Wait()
	h.stop()
	for _, l := range h.group.loops {
		if n := l.conns.Load(); n != 0 {
			t.Errorf("a loop still has %d connections", n)
		}
	}
}
