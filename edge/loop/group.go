//go:build linux && (amd64 || arm64)

package loop

import (
	"sync"
	"sync/atomic"
	"time"
)

// Handler answers what connections send.
type Handler interface {
	// Quick answers the whole requests at the beginning of in that it can answer without waiting, by appending to out, and
	// returns how many bytes of in they had. With fewer than all of them the connection goes to Serve, which reads the rest first.
	// now is about when in was read; in is valid until return. It runs on the loop: whatever it waits for, thousands wait for.
	Quick(c *Conn, in, out []byte, now time.Time) (used int, answers []byte)
	// Serve talks to a client on a goroutine of its own, beginning with Conn.Input. It closes c and returns false, or returns true
	// when it has answered all of the input, or has read io.EOF with Conn.Resting: then the loop waits for the client's next request.
	Serve(c *Conn) bool
	// Look says what is to become of a connection that waits, after Conn.Ask.
	Look(c *Conn) Verdict
	// Ended says that the loop closed a connection, as its client has gone or Look said so.
	Ended(c *Conn)
}

// Verdict is what becomes of a connection that waits.
type Verdict int

// The verdicts.
const (
	Keep  Verdict = iota // it goes on waiting
	Serve                // Serve takes it over
	Close                // it is closed, if it has sent nothing
)

// Group is the loops of a server. Made by NewGroup, ended by Stop. Safe for concurrent use.
type Group struct {
	handler    Handler
	loops      []*loop
	table      table
	generation atomic.Uint32
	stopped    atomic.Bool
	ended      chan struct{} // closed when no loop runs any more
	running    sync.WaitGroup
	serving    sync.WaitGroup
	failed     chan error
}

// NewGroup makes and starts n loops.
func NewGroup(h Handler, n int) (*Group, error) {
	g := &Group{handler: h, ended: make(chan struct{}), failed: make(chan error, n)}
	for range n {
		l, err := newLoop(g)
		if err != nil {
			for _, made := range g.loops {
				made.close()
			}
			return nil, err
		}
		g.loops = append(g.loops, l)
	}
	for _, l := range g.loops {
		g.running.Go(func() {
			if err := l.run(); err != nil {
				g.failed <- err
			}
		})
	}
	return g, nil
}

// Failed yields the error of a loop that ended by itself: its connections are not served any more.
func (g *Group) Failed() <-chan error { return g.failed }

// idlest is the loop with the fewest connections.
func (g *Group) idlest() *loop {
	best := g.loops[0]
	for _, l := range g.loops[1:] {
		if l.conns.Load() < best.conns.Load() {
			best = l
		}
	}
	return best
}

// Stop ends the loops and closes the connections that they still have; those that Serve has go on until it returns. Once only.
func (g *Group) Stop() {
	g.stopped.Store(true)
	for _, l := range g.loops {
		l.stop()
	}
	g.running.Wait()
	close(g.ended)
	g.table.each(func(c *Conn) {
		if c.owned() {
			c.loop.end(c)
		}
	})
	for _, l := range g.loops {
		l.close()
	}
}

// table finds connections by their descriptors: pages of atomic pointers, which a loop reads for each event.
type table struct {
	mu    sync.Mutex
	pages [tablePages]atomic.Pointer[tablePage]
}

const (
	tablePages   = 4096
	tablePageLen = 1024
)

type tablePage [tablePageLen]atomic.Pointer[Conn]

func (t *table) get(fd int) *Conn {
	if uint(fd) >= tablePages*tablePageLen {
		return nil
	}
	page := t.pages[fd/tablePageLen].Load()
	if page == nil {
		return nil
	}
	return page[fd%tablePageLen].Load()
}

// put reports whether fd has a place.
func (t *table) put(fd int, c *Conn) bool {
	if uint(fd) >= tablePages*tablePageLen {
		return false
	}
	page := t.pages[fd/tablePageLen].Load()
	if page == nil {
		t.mu.Lock()
		if page = t.pages[fd/tablePageLen].Load(); page == nil {
			page = new(tablePage)
			t.pages[fd/tablePageLen].Store(page)
		}
		t.mu.Unlock()
	}
	page[fd%tablePageLen].Store(c)
	return true
}

func (t *table) remove(fd int) { t.pages[fd/tablePageLen].Load()[fd%tablePageLen].Store(nil) }

func (t *table) each(do func(*Conn)) {
	for i := range t.pages {
		page := t.pages[i].Load()
		if page == nil {
			continue
		}
		for k := range page {
			if c := page[k].Load(); c != nil {
				do(c)
			}
		}
	}
}
