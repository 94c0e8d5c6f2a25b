package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The timeouts that a serving Carom has, and what a machine may take to keep them.
const (
	requestTimeout = 5 * time.Second
	timeoutSlack   = 3 * time.Second
)

// slowKind is a kind of slow client, and after how long those of it were cut.
type slowKind struct {
	Name              string
	Shortest, Longest time.Duration
	Most              time.Duration // after which they have to be cut
	run               func(conn net.Conn) error
}

func slowKinds() []slowKind {
	return []slowKind{
		{Name: "slow header", run: slowHeader, Most: requestTimeout + timeoutSlack},
		{Name: "slow body", run: slowBody, Most: requestTimeout + timeoutSlack},
		{Name: "slow reader", run: slowReader, Most: 2*requestTimeout + timeoutSlack},
	}
}

// runSlow runs this program as n slow clients of addr, and returns what became of each kind.
func runSlow(ctx context.Context, addr string, n int) ([]slowKind, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, "nice", "-n", "19", self, "-slow", strconv.Itoa(n), "-addr", addr)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("run slow clients: %w", err)
	}
	var kinds []slowKind
	if err := json.Unmarshal(out, &kinds); err != nil {
		return nil, fmt.Errorf("read what became of the slow clients: %w", err)
	}
	return kinds, nil
}

// beSlow is n slow clients of addr, of each kind in turn, and writes what became of each kind.
func beSlow(ctx context.Context, addr string, n int, to io.Writer) error {
	kinds := slowKinds()
	took := make([]time.Duration, n)
	errs := make([]error, n)
	var clients sync.WaitGroup
	for k := range n {
		clients.Go(func() {
			// They come one by one, so that what is measured is how they are, and not how they arrive.
			if errs[k] = wait(ctx, time.Duration(k)*requestTimeout/time.Duration(n)); errs[k] == nil {
				took[k], errs[k] = holdSlow(ctx, addr, kinds[k%len(kinds)])
			}
		})
	}
	clients.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for k, d := range took {
		kind := &kinds[k%len(kinds)]
		if k < len(kinds) {
			kind.Shortest = d
		}
		kind.Shortest, kind.Longest = min(kind.Shortest, d), max(kind.Longest, d)
	}
	if err := json.NewEncoder(to).Encode(kinds); err != nil {
		return fmt.Errorf("write what became of them: %w", err)
	}
	return nil
}

// holdSlow is one slow client, and returns how long it was borne.
func holdSlow(ctx context.Context, addr string, kind slowKind) (time.Duration, error) {
	dialer := net.Dialer{Timeout: 10 * time.Second, Control: smallBuffer}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return 0, fmt.Errorf("%s: connect: %w", kind.Name, err)
	}
	defer conn.Close()
	began := time.Now()
	if err = conn.SetDeadline(began.Add(6 * requestTimeout)); err == nil {
		err = kind.run(conn)
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", kind.Name, err)
	}
	return time.Since(began), nil
}

// late reports whether some were cut later than they have to be.
func (k *slowKind) late() bool { return k.Longest > k.Most }

// errNotCut says that a slow client was waited for until it gave up itself.
var errNotCut = errors.New("it was never cut")

// trickle sends a byte a second until the server has had enough of it.
func trickle(conn net.Conn, text string) error {
	gone := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, conn) // an answer that says so may come, and then the end
		gone <- err
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for at := 0; ; at++ {
		select {
		case err := <-gone:
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				return errNotCut
			}
			return nil // hung up on, with or without a goodbye
		case <-tick.C:
			_, _ = io.WriteString(conn, text[at%len(text):at%len(text)+1]) // that it fails is seen by reading
		}
	}
}

func slowHeader(conn net.Conn) error {
	return trickle(conn, "GET /s0 HTTP/1.1\r\nHost: a\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaa")
}

func slowBody(conn net.Conn) error {
	if _, err := io.WriteString(conn, "POST /shorten HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"); err != nil {
		return fmt.Errorf("send header: %w", err)
	}
	return trickle(conn, "{\"url\":\"https://example.com/aaaaaaaaaaaaaaaaaaaaaaaa")
}

// slowReader asks for more than fits into the buffers between the two, and takes nothing.
func slowReader(conn net.Conn) error {
	const big = "GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n"
	if _, err := io.WriteString(conn, strings.Repeat(big, 10)); err != nil {
		return fmt.Errorf("send requests: %w", err)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if _, err := io.WriteString(conn, "G"); err != nil { // what was hung up on can't be written to
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				break
			}
			return nil
		}
	}
	return errNotCut
}

// smallBuffer makes a socket's receive buffer small before it connects, and so what the other side may send unread.
func smallBuffer(_, _ string, c syscall.RawConn) (err error) {
	if ctlErr := c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) }); ctlErr != nil {
		return ctlErr
	}
	return err
}
