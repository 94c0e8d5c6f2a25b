//go:build linux && (amd64 || arm64)

package loop

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Who may touch a connection's descriptor and fields, in Conn.owner.
const (
	ownerLoop    = 0 // the loop
	ownerServing = 1 // the goroutine that Serve runs on
	ownerPending = 2 // with ownerServing: something happened since that goroutine last looked
)

// Conn is a TCP connection that waits in a loop, or talks on a goroutine. As a net.Conn it is for that goroutine alone, but for
// the deadlines, HangUp, Ask and the addresses, which are safe for concurrent use.
type Conn struct {
	own        any
	fd         int
	generation uint32
	loop       *loop
	peer       netip.AddrPort
	owner      atomic.Uint32
	asked      atomic.Bool // it is in its loop's list
	wake       chan struct{}
	read       deadline
	write      deadline

	// Owned by the goroutine.
	input   []byte // read by the loop, and not answered there
	unsent  []byte // answers of the loop that did not fit into the socket
	rest    bool   // between two requests
	resting bool   // Read has said so

	mu     sync.Mutex
	closed bool // guarded by mu, which keeps HangUp off a descriptor that has another owner by now
}

// deadline is when a call that waits ends.
type deadline struct {
	past  atomic.Bool
	mu    sync.Mutex
	timer *time.Timer // guarded by mu
}

func newConn(g *Group, fd int, peer netip.AddrPort) *Conn {
	c := &Conn{fd: fd, generation: g.generation.Add(1), loop: g.idlest(), peer: peer, wake: make(chan struct{}, 1)}
	c.owner.Store(ownerServing)
	return c
}

// Own notes what the handler knows the connection by. Before Attach.
func (c *Conn) Own(owner any) { c.own = owner }

// Owner is what Own was given.
func (c *Conn) Owner() any { return c.own }

// Attach has the loop wait for the client's requests. The caller lets go of c, unless there is an error.
func (c *Conn) Attach() error { return c.register(ownerLoop) }

// Talk lets the caller read and write.
func (c *Conn) Talk() error { return c.register(ownerServing) }

func (c *Conn) register(owner uint32) error {
	if !c.loop.group.table.put(c.fd, c) {
		return os.NewSyscallError("epoll_ctl", syscall.EMFILE)
	}
	c.loop.conns.Add(1)
	c.owner.Store(owner)
	e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(c.fd), Pad: int32(c.generation)}
	if err := unix.EpollCtl(c.loop.epfd, unix.EPOLL_CTL_ADD, c.fd, &e); err != nil {
		c.owner.Store(ownerServing)
		return os.NewSyscallError("epoll_ctl", err)
	}
	return nil
}

func (c *Conn) owned() bool { return c.owner.Load() == ownerLoop }

// claim reports whether the loop owns c; if not, it tells the goroutine that does.
func (c *Conn) claim() bool {
	for {
		was := c.owner.Load()
		if was == ownerLoop {
			return true
		}
		if c.owner.CompareAndSwap(was, ownerServing|ownerPending) {
			c.wakeUp()
			return false
		}
	}
}

func (c *Conn) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// endedPoll is how often a connection tries again that no loop tells anything any more.
const endedPoll = 5 * time.Millisecond

// await returns when another try to read or write may be worth it. Called by the goroutine that owns c.
func (c *Conn) await() {
	select {
	case <-c.wake:
	case <-c.loop.group.ended:
		select {
		case <-c.wake:
		case <-time.After(endedPoll):
		}
	}
}

// detach gives c to a goroutine, with what was read and what was not sent. more says that there may be more to read, of which no
// event will tell. Called by the loop that owns it.
func (c *Conn) detach(in, unsent []byte, more bool) {
	c.input, c.unsent = append([]byte(nil), in...), append([]byte(nil), unsent...)
	c.rest = len(in) == 0
	owner := uint32(ownerServing)
	if more {
		owner |= ownerPending
	}
	c.owner.Store(owner)
	c.loop.group.serving.Go(c.serve)
}

// serve runs on the goroutine.
func (c *Conn) serve() {
	g := c.loop.group
	if unsent := c.unsent; len(unsent) > 0 {
		c.unsent = nil
		if w, ok := c.own.(io.WriteCloser); ok {
			if _, err := w.Write(unsent); err != nil {
				_ = w.Close() // what comes next would stand behind a torn answer
				return
			}
		}
	}
	for g.handler.Serve(c) {
		c.resting, c.rest, c.input = false, false, nil
		if c.owner.CompareAndSwap(ownerServing, ownerLoop) {
			// From here on c is the loop's. One that ended meanwhile closes what it finds; what it did not find any more is closed here.
			if g.stopped.Load() {
				<-g.ended // its loop may have it in hand
				if c.owner.CompareAndSwap(ownerLoop, ownerServing) {
					_ = c.Close()
					g.handler.Ended(c)
				}
			}
			return
		}
		c.rest = true // what has come meanwhile, if it is for Read at all, begins a request
	}
}

// Input is what the loop has read and nobody has answered or read since.
func (c *Conn) Input() []byte { return c.input }

// Skip takes n bytes off Input.
func (c *Conn) Skip(n int) {
	if c.input = c.input[n:]; len(c.input) == 0 {
		c.input = nil // its memory may be more than what is read from now on needs
	}
}

// Rest says that what is read next is a new request, so that there is no need for this goroutine until one comes: Read then
// returns io.EOF instead of waiting, and Resting is true. It holds from the beginning where Input is empty.
func (c *Conn) Rest() { c.rest = true }

// Busy takes Rest back, once a request has begun.
func (c *Conn) Busy() { c.rest = false }

// Rests reports whether what is read next is a new request.
func (c *Conn) Rests() bool { return c.rest }

// Resting reports whether Read returned io.EOF because of Rest.
func (c *Conn) Resting() bool { return c.resting }

// Ask has the handler look at the connection soon, if it waits in its loop. Safe for concurrent use.
func (c *Conn) Ask() { c.loop.ask(c) }

// Read waits for bytes.
func (c *Conn) Read(p []byte) (int, error) {
	if len(c.input) > 0 {
		n := copy(p, c.input)
		c.Skip(n)
		return n, nil
	}
	for {
		if c.rest {
			c.owner.Store(ownerServing) // what happened up to here is seen by the attempt below
		}
		if c.read.past.Load() {
			return 0, os.ErrDeadlineExceeded
		}
		n, errno := receive(c.fd, p)
		switch {
		case errno == syscall.EAGAIN:
			if c.rest {
				c.resting = true
				return 0, io.EOF
			}
			c.await()
		case errno == syscall.EINTR:
		case errno != 0:
			return 0, os.NewSyscallError("recv", errno)
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Write waits until all of p is sent.
func (c *Conn) Write(p []byte) (int, error) {
	for sent := 0; ; {
		if c.write.past.Load() {
			return sent, os.ErrDeadlineExceeded
		}
		n, errno := send(c.fd, p[sent:])
		switch {
		case errno == syscall.EAGAIN:
			c.await()
		case errno == syscall.EINTR:
		case errno != 0:
			return sent, os.NewSyscallError("send", errno)
		default:
			if sent += n; sent == len(p) {
				return sent, nil
			}
		}
	}
}

// Close ends the connection. A second time it returns net.ErrClosed.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	if c.loop.group.table.get(c.fd) == c {
		c.loop.group.table.remove(c.fd)
		c.loop.conns.Add(-1)
	}
	c.read.stop()
	c.write.stop()
	return os.NewSyscallError("close", unix.Close(c.fd))
}

// HangUp ends the connection for both sides; whoever owns it notices, and closes it.
func (c *Conn) HangUp() { _ = c.shutdown(unix.SHUT_RDWR) }

// CloseWrite tells the client that no more will come.
func (c *Conn) CloseWrite() error { return c.shutdown(unix.SHUT_WR) }

func (c *Conn) shutdown(how int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	return os.NewSyscallError("shutdown", unix.Shutdown(c.fd, how))
}

// Peer is the other end's address.
func (c *Conn) Peer() netip.AddrPort { return c.peer }

// RemoteAddr is the other end's address, a *net.TCPAddr.
func (c *Conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.peer) }

// LocalAddr is this end's address, a *net.TCPAddr.
func (c *Conn) LocalAddr() net.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return &net.TCPAddr{}
	}
	sa, err := unix.Getsockname(c.fd)
	if err != nil {
		return &net.TCPAddr{}
	}
	return net.TCPAddrFromAddrPort(addrPortOf(sa))
}

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	c.read.set(t, c.wakeUp)
	c.write.set(t, c.wakeUp)
	return nil
}

// SetReadDeadline ends a Read that waits for longer than until t; the zero time is for ever.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.read.set(t, c.wakeUp)
	return nil
}

// SetWriteDeadline is the same for Write.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.write.set(t, c.wakeUp)
	return nil
}

func (d *deadline) set(t time.Time, wake func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopLocked()
	if t.IsZero() {
		d.past.Store(false)
		return
	}
	if left := time.Until(t); left > 0 {
		d.past.Store(false)
		var timer *time.Timer
		timer = time.AfterFunc(left, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.timer == timer {
				d.past.Store(true)
				wake()
			}
		})
		d.timer = timer
		return
	}
	d.past.Store(true)
	wake()
}

func (d *deadline) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopLocked()
}

func (d *deadline) stopLocked() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}
