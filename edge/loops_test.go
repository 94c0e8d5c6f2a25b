package edge

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/carom-dev/carom/engine"
)

// A client that sends its last request and its end in one go must not wait for the idle timeout.
func TestAnEndThatComesWithARequestIsNoticed(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.IdleTimeout = time.Hour; c.ReadTimeout = 40 * time.Millisecond })
	addr, _ := f.serve(t)
	for range 20 {
		c := dial(t, addr)
		if _, err := io.WriteString(c, getABC); err != nil {
			t.Fatal(err)
		}
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		all, err := io.ReadAll(c)
		if err != nil || !bytes.HasPrefix(all, []byte("HTTP/1.1 302 ")) {
			t.Fatalf("the answer is %q, %v", all, err)
		}
	}
}

func TestACutConnectionEnds(t *testing.T) {
	f := newFixture(t, nil)
	addr, _ := f.serve(t)
	c := dial(t, addr)
	if _, err := io.WriteString(c, getABC); err != nil {
		t.Fatal(err)
	}
	if resp := readResponse(t, c); resp.StatusCode() != fasthttp.StatusFound {
		t.Fatalf("GET = %d, want 302", resp.StatusCode())
	}
	f.conns.closeAll()
	closedByPeer(t, c)
}

// What a client leaves unfinished behind an answer is given the time of a request, on whichever goroutine it waits.
func TestHalfARequestBehindAnAnswerTimesOut(t *testing.T) {
	for rule, raw := range map[string]string{
		"half a request behind a page":    "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /abc HT",
		"half a request behind a hit":     getABC + "GET /abc HT",
		"a body that was asked to come":   "POST /urls HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
		"half a request behind a look-up": "GET /cold HTTP/1.1\r\nHost: a\r\n\r\nGET /abc HT",
	} {
		t.Run(rule, func(t *testing.T) {
			_, addr := hasty(t, func(c *Config) { c.API = fakeAPI{} })
			c := dial(t, addr)
			if _, err := io.WriteString(c, raw); err != nil {
				t.Fatal(err)
			}
			all, err := io.ReadAll(c)
			if err != nil || !bytes.HasPrefix(all, []byte("HTTP/1.1 ")) {
				t.Errorf("the connection gets %.60q, %v; want an answer and its end", all, err)
			}
		})
	}
}

// Answers that did not fit at once cost the connection neither its loop nor its idle timeout.
func TestIdleBehindAnswersThatDidNotFit(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.IdleTimeout = 100 * time.Millisecond })
	addr, _ := f.serve(t)
	c := dial(t, addr)
	const requests = 50_000 // their answers are more than both sockets hold
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(c, strings.Repeat(getABC, requests))
		sent <- err
	}()
	waitFor(t, func() bool { f.journal.mu.Lock(); defer f.journal.mu.Unlock(); return len(f.journal.clicks) > 1000 })
	all, err := io.ReadAll(c)
	if err := errors.Join(err, <-sent); err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(all, []byte("HTTP/1.1 302 ")); n != requests {
		t.Errorf("%d answers before the end, want %d", n, requests)
	}
}

// gatedJournal holds each click until all that are expected have come.
type gatedJournal struct {
	fakeJournal
	together chan struct{} // one for each that may come
	all      chan struct{} // closed when they have
}

func (g *gatedJournal) Append(lane int, c engine.Click) error {
	g.together <- struct{}{}
	if len(g.together) == cap(g.together) {
		close(g.all)
	}
	<-g.all
	return g.fakeJournal.Append(lane, c)
}

// Clicks that wait for the disk wait beside each other, however few processors there are.
func TestClicksThatWaitDoNotWaitForEachOther(t *testing.T) {
	const clients = 32
	gate := &gatedJournal{together: make(chan struct{}, clients), all: make(chan struct{})}
	f := newFixture(t, func(c *Config) { c.Clicks, c.ClicksWait = gate, true })
	addr, _ := f.serve(t)
	var conns []net.Conn
	for range clients {
		c := dial(t, addr)
		if _, err := io.WriteString(c, getABC); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	for _, c := range conns {
		if got := readResponse(t, c).StatusCode(); got != fasthttp.StatusFound {
			t.Errorf("GET = %d, want 302", got)
		}
	}
}

// A panic in the middle of requests that came together costs the answer of the one that caused it.
func TestAPanicBetweenRequestsThatCameTogether(t *testing.T) {
	f := newFixture(t, nil)
	f.resolver.loaded = func() { panic("a fault") }
	addr, _ := f.serve(t)
	c := dial(t, addr)
	if _, err := io.WriteString(c, getABC+"GET /cold HTTP/1.1\r\nHost: a\r\n\r\n"+getABC); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	for i, want := range []int{302, 500, 302} {
		var resp fasthttp.Response
		if err := resp.Read(r); err != nil || resp.StatusCode() != want {
			t.Fatalf("answer %d = %d, %v; want %d", i, resp.StatusCode(), err, want)
		}
	}
}
