package testservices

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	// startTimeout is generous, as a crashed Postgres first replays its log, and test machines are slow.
	startTimeout = 30 * time.Second
	stopTimeout  = 20 * time.Second
	pollInterval = 10 * time.Millisecond
)

// Server is one server process on a free port of 127.0.0.1, with a folder of its own. It keeps port and folder over a
// restart. Safe for concurrent use.
type Server struct {
	name   string
	dir    string
	port   int
	path   string
	args   []string
	user   *syscall.Credential             // nil: the caller's own
	quit   syscall.Signal                  // ends it in order
	orphan syscall.Signal                  // what it gets when the test process dies
	ready  func(ctx context.Context) error // nil once it answers
	mu     sync.Mutex                      // guards cmd, done and ran
	cmd    *exec.Cmd                       // nil while stopped
	done   chan struct{}                   // closed when the process is gone
	ran    bool                            // it has answered once, so its settings are right
}

// Addr is host and port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Dir is the server's folder; the log is in it.
func (s *Server) Dir() string { return s.dir }

// Start starts a stopped server and waits until it answers. A server that runs is left alone.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		if err := s.launchLocked(); err != nil {
			return err
		}
		err := s.awaitLocked(ctx)
		if err == nil {
			s.ran = true
			return nil
		}
		s.endLocked(syscall.SIGKILL)
		if !s.ran {
			return fmt.Errorf("start %s: %w\n%s", s.name, err, s.Log())
		}
		// It ran before: after a kill, Postgres refuses to start until its last orphaned backend is gone.
		select {
		case <-ctx.Done():
			return fmt.Errorf("start %s: %w\n%s", s.name, err, s.Log())
		case <-time.After(10 * pollInterval):
		}
	}
}

// launchLocked runs the process from a thread that lives as long as the process: Linux sends the parent-death signal when the
// starting thread ends, not when the whole program does.
func (s *Server) launchLocked() error {
	logFile, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open log of %s: %w", s.name, err)
	}
	defer logFile.Close()
	cmd := exec.CommandContext(context.Background(), s.path, s.args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, logFile, logFile
	cmd.SysProcAttr = processAttr(s.user, s.orphan)
	started, done := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in the log
			close(done)
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	s.cmd, s.done = cmd, done
	return nil
}

// errEnded says that the process ended before it answered.
var errEnded = errors.New("process ended before it answered")

func (s *Server) awaitLocked(ctx context.Context) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		attempt, cancel := context.WithTimeout(ctx, time.Second)
		err := s.ready(attempt)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-s.done:
			return errEnded
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// Stop ends the server in order; its data stays.
func (s *Server) Stop() { s.end(s.quit) }

// Kill ends it by SIGKILL.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Restart stops and starts it.
func (s *Server) Restart() error {
	s.Stop()
	return s.Start()
}

// Close stops the server and removes its folder.
func (s *Server) Close() error {
	s.Stop()
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("remove folder of %s: %w", s.name, err)
	}
	return nil
}

// Log is the end of what the server wrote.
func (s *Server) Log() string {
	b, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4096):])
}

func (s *Server) end(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked(sig)
}

func (s *Server) endLocked(sig syscall.Signal) {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(sig) // it may have ended by itself, which is as good
	select {
	case <-s.done:
	case <-time.After(stopTimeout):
		_ = s.cmd.Process.Kill()
		<-s.done
	}
	s.cmd, s.done = nil, nil
}

// The ports that are handed out. They lie below the ones that systems give to outgoing connections and to listeners on port 0
// (from 32768 on Linux, 49152 elsewhere), so that none of those takes the place of a server or proxy that is down for a while.
const (
	portMin   = 12000
	portMax   = 32000
	portTries = 1000
)

// freePort finds a port nobody listens on. Another process may take it before the server does; then the server says so.
func freePort() (int, error) {
	var listen net.ListenConfig
	var err error
	for range portTries {
		port := portMin + rand.N(portMax-portMin)
		var l net.Listener
		if l, err = listen.Listen(context.Background(), "tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("find a free port: %w", err)
}
