//go:build linux && (amd64 || arm64)

package loop

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// eventsMax is how many connections a loop takes care of between two looks at what else there is to do.
	eventsMax = 128
	// inputMax is how much is read from a connection at once, and how much of it a goroutine may have to keep.
	inputMax = 16 << 10
	// outputKept is the largest buffer for answers that a loop keeps.
	outputKept = 256 << 10
	// turnsMax is how many full buffers a connection may send before it goes to a goroutine of its own, so that the others get
	// their turn.
	turnsMax = 4
	// parkInterval is how long a loop that always finds something to do goes on before it parks nevertheless. While it only yields, the
	// scheduler always has something to run, and then asks the poller for nobody else but every 10 ms.
	parkInterval = time.Millisecond
)

// loop waits for its connections on one goroutine. Its fields are that goroutine's own, but for those that say otherwise.
type loop struct {
	group  *Group
	epfd   int
	waker  int      // an eventfd
	parked *os.File // epfd, as the runtime's poller sees it
	events [eventsMax]unix.EpollEvent
	in     []byte
	out    []byte
	conns  atomic.Int64 // how many it has

	mu       sync.Mutex
	asked    []*Conn     // guarded by mu: to be looked at; at most once a connection
	stopping bool        // guarded by mu
	woken    atomic.Bool // the waker was written to, and not read since
}

func newLoop(g *Group) (l *loop, err error) {
	l = &loop{group: g, epfd: -1, waker: -1, in: make([]byte, inputMax)}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	if l.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make an event loop: %w", err)
	}
	if l.waker, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, fmt.Errorf("make an event loop's waker: %w", err)
	}
	if err = unix.EpollCtl(l.epfd, unix.EPOLL_CTL_ADD, l.waker, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(l.waker)}); err != nil {
		return nil, fmt.Errorf("wait for an event loop's waker: %w", err)
	}
	// Non-blocking is what makes the runtime's poller take it; an epoll descriptor itself knows no such thing.
	if err = unix.SetNonblock(l.epfd, true); err != nil {
		return nil, fmt.Errorf("make an event loop's descriptor non-blocking: %w", err)
	}
	l.parked = os.NewFile(uintptr(l.epfd), "epoll")
	return l, nil
}

// close gives the descriptors back. Nobody runs the loop any more.
func (l *loop) close() {
	if l.parked != nil {
		l.parked.Close()
	} else if l.epfd >= 0 {
		_ = unix.Close(l.epfd)
	}
	if l.waker >= 0 {
		_ = unix.Close(l.waker)
	}
}

// run takes care of the connections until stop. It looks for events without waiting, for as long as there are any, and then
// parks in the runtime's poller, to which the loop's descriptor is one that becomes readable: a thread that waited in
// epoll_wait would take a processor away from the other goroutines each time.
func (l *loop) run() error {
	raw, err := l.parked.SyscallConn()
	if err != nil {
		return fmt.Errorf("run an event loop: %w", err)
	}
	var failed error
	err = raw.Read(func(uintptr) bool {
		for since := time.Now(); ; {
			n, errno := poll(l.epfd, l.events[:])
			switch {
			case errno == syscall.EINTR:
				continue
			case errno != 0:
				failed = fmt.Errorf("wait for connections: %w", errno)
				return true
			case n == 0:
				return false
			}
			now := time.Now()
			l.turn(l.events[:n], now)
			if l.answerAsked() {
				return true
			}
			if now.Sub(since) >= parkInterval {
				// There may be events of which the runtime's poller has been told already. It is told anew, also when somebody has woken the
				// loop and that is one of them.
				l.woken.Store(true)
				l.nudge()
				return false
			}
			runtime.Gosched() // everything else in the process has as much of a right to run
		}
	})
	if failed == nil && err != nil {
		failed = fmt.Errorf("park an event loop: %w", err)
	}
	return failed
}

// turn takes care of the connections that something happened to.
func (l *loop) turn(events []unix.EpollEvent, now time.Time) {
	for i := range events {
		e := &events[i]
		if int(e.Fd) == l.waker {
			var b [8]byte
			_, _ = unix.Read(l.waker, b[:])
			l.woken.Store(false) // behind the read, before the list is looked at
			continue
		}
		// A connection that was closed meanwhile may have left its number to a new one.
		c := l.group.table.get(int(e.Fd))
		if c == nil || c.generation != uint32(e.Pad) || !c.claim() {
			continue
		}
		const ended = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
		if e.Events&(unix.EPOLLIN|ended) != 0 {
			l.serve(c, e.Events&ended != 0, now)
		}
	}
}

// serve reads what a connection that the loop owns has sent and answers it, if it can be done without waiting. ended says that
// no more will come than is there, and that nothing will tell again.
func (l *loop) serve(c *Conn, ended bool, now time.Time) {
	for turns := 1; ; turns++ {
		n, errno := receive(c.fd, l.in)
		switch {
		case errno == syscall.EAGAIN:
			return
		case errno == syscall.EINTR:
			continue
		case errno != 0 || n == 0:
			l.end(c)
			return
		}
		in := l.in[:n]
		used, out := l.group.handler.Quick(c, in, l.out[:0], now)
		sent := 0
		if len(out) > 0 {
			// What does not fit, and each error, is left to the goroutine that can wait.
			if m, errno := send(c.fd, out); errno == 0 {
				sent = m
			}
		}
		if cap(out) <= outputKept {
			l.out = out
		}
		if used < n || sent < len(out) || turns == turnsMax {
			c.detach(in[used:], out[sent:], ended || n == len(l.in))
			return
		}
		if n < len(l.in) && !ended {
			return
		}
	}
}

// end closes a connection that the loop owns.
func (l *loop) end(c *Conn) {
	c.owner.Store(ownerServing) // for ever
	_ = c.Close()
	l.group.handler.Ended(c)
}

// ask has c looked at soon, if the loop owns it then. Safe for concurrent use.
func (l *loop) ask(c *Conn) {
	if !c.asked.CompareAndSwap(false, true) {
		return
	}
	l.mu.Lock()
	l.asked = append(l.asked, c)
	l.mu.Unlock()
	l.wake()
}

// wake has the loop look at what it is asked. Safe for concurrent use.
func (l *loop) wake() {
	if l.woken.CompareAndSwap(false, true) {
		l.nudge()
	}
}

// nudge makes an event of the waker.
func (l *loop) nudge() {
	one := [8]byte{1, 0, 0, 0, 0, 0, 0, 1} // not 0 in any byte order
	_, _ = unix.Write(l.waker, one[:])     // fails only when it is full, which wakes as well
}

// answerAsked looks at the connections that somebody asked about; true when the loop is to end.
func (l *loop) answerAsked() bool {
	l.mu.Lock()
	asked, stopping := l.asked, l.stopping
	l.asked = nil
	l.mu.Unlock()
	for _, c := range asked {
		c.asked.Store(false)
		if !c.owned() {
			continue
		}
		switch l.group.handler.Look(c) {
		case Keep:
		case Serve:
			c.detach(nil, nil, false)
		case Close:
			// What has just arrived is answered, not cut off.
			l.serve(c, false, time.Now())
			if c.owned() && l.group.handler.Look(c) == Close {
				l.end(c)
			}
		}
	}
	return stopping
}

func (l *loop) stop() {
	l.mu.Lock()
	l.stopping = true
	l.mu.Unlock()
	l.wake()
}
