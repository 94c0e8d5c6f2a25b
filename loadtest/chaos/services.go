package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// service is a Postgres or a Redis of a row's own, which the row may stop, kill and start again on the same port and data.
type service struct {
	name string
	addr string
	url  string // for DATABASE_URL or REDIS_URL
	path string
	args []string
	dir  string
	cred *syscall.Credential // nil: the caller's own
	quit syscall.Signal      // ends it in order
	cmd  *exec.Cmd           // nil while it is down
	done chan struct{}
}

const serviceTimeout = 30 * time.Second

// startPostgres makes an empty Postgres with the durability that production has, and starts it.
func (e *env) startPostgres(ctx context.Context) (*service, error) {
	initdb, err := findProgram("initdb", "/usr/lib/postgresql/*/bin")
	if err != nil {
		return nil, err
	}
	path, err := findProgram("postgres", "/usr/lib/postgresql/*/bin")
	if err != nil {
		return nil, err
	}
	s, err := e.newService("postgres", path, syscall.SIGINT)
	if err != nil {
		return nil, err
	}
	if s.cred, err = unprivileged("postgres"); err != nil {
		return nil, err
	}
	if s.cred != nil {
		if err := os.Chown(s.dir, int(s.cred.Uid), int(s.cred.Gid)); err != nil {
			return nil, fmt.Errorf("give the directory to postgres' user: %w", err)
		}
	}
	data := filepath.Join(s.dir, "data")
	cmd := exec.CommandContext(ctx, initdb, "-D", data, "-U", "carom", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	cmd.Dir, cmd.SysProcAttr = s.dir, &syscall.SysProcAttr{Credential: s.cred}
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("run initdb: %w\n%s", err, out)
	}
	_, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		return nil, err
	}
	s.args = []string{"-D", data}
	for _, setting := range []string{"listen_addresses=127.0.0.1", "port=" + port, "unix_socket_directories=", "max_connections=100", "timezone=UTC"} {
		s.args = append(s.args, "-c", setting)
	}
	s.url = "postgres://carom@" + s.addr + "/postgres?sslmode=disable"
	return s, s.start(ctx)
}

// startRedis starts an empty Redis that keeps nothing.
func (e *env) startRedis(ctx context.Context) (*service, error) {
	path, err := findProgram("redis-server", "")
	if err != nil {
		return nil, err
	}
	s, err := e.newService("redis", path, syscall.SIGTERM)
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		return nil, err
	}
	s.args = []string{"--bind", "127.0.0.1", "--port", port, "--dir", s.dir, "--save", "", "--appendonly", "no"}
	s.url = "redis://" + s.addr + "/0"
	return s, s.start(ctx)
}

func (e *env) newService(name, path string, quit syscall.Signal) (*service, error) {
	port, err := e.freePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(e.dir, name+"-")
	if err != nil {
		return nil, fmt.Errorf("make directory: %w", err)
	}
	s := &service{name: name, addr: fmt.Sprintf("127.0.0.1:%d", port), path: path, dir: dir, quit: quit}
	e.later(s.stop)
	return s, nil
}

// start starts it and returns when it takes connections and answers. One that runs is left alone.
func (s *service) start(ctx context.Context) error {
	if s.cmd != nil {
		return nil
	}
	deadline := time.Now().Add(serviceTimeout)
	for {
		err := s.launch(ctx)
		if err == nil {
			return nil
		}
		// After a kill, Postgres refuses to start until its last orphan is gone.
		if err = errors.Join(err, s.kill()); time.Now().After(deadline) {
			return err
		}
		if err := wait(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

func (s *service) launch(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open log of %s: %w", s.name, err)
	}
	defer log.Close()
	cmd := exec.Command(s.path, s.args...) //nolint:noctx // it outlives ctx, which bounds the start alone
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(done)
	}()
	s.cmd, s.done = cmd, done
	return until(ctx, s.name+" answers", serviceTimeout, func() (bool, error) {
		select {
		case <-done:
			return false, fmt.Errorf("start %s: it ended; its log is in %s", s.name, s.dir)
		default:
			return s.answers(), nil
		}
	})
}

// answers asks in the least that each protocol has: an SSL request to Postgres, a PING to Redis.
func (s *service) answers() bool {
	conn, err := net.DialTimeout("tcp", s.addr, time.Second) //nolint:noctx // bounded
	if err != nil {
		return false
	}
	defer conn.Close()
	question, want := "PING\r\n", "+"
	if s.name == "postgres" {
		// A start-up of protocol 3.0 for a user and a database; 'R' asks for or accepts the authentication.
		body := "\x00\x03\x00\x00user\x00carom\x00database\x00postgres\x00\x00"
		question, want = string([]byte{0, 0, 0, byte(len(body) + 4)})+body, "R"
	}
	var b [1]byte
	if conn.SetDeadline(time.Now().Add(time.Second)) != nil {
		return false
	}
	if _, err := conn.Write([]byte(question)); err != nil {
		return false
	}
	n, err := conn.Read(b[:])
	return err == nil && string(b[:n]) == want
}

// signal sends a signal such as SIGSTOP. Postgres' other processes get it too, as they hold the connections.
func (s *service) signal(sig syscall.Signal) error {
	if s.cmd == nil {
		return nil
	}
	for _, pid := range s.pids() {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("signal %s: %w", s.name, err)
		}
	}
	return nil
}

// pids are its processes, the first one its own.
func (s *service) pids() []int {
	pids := []int{s.cmd.Process.Pid}
	if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pids[0], pids[0])); err == nil {
		for _, field := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// stop ends it in order, and kill at once; both wait until it is gone. One that is down is left alone.
func (s *service) stop() error { return s.end(s.quit) }

func (s *service) kill() error { return s.end(syscall.SIGKILL) }

func (s *service) end(sig syscall.Signal) error {
	if s.cmd == nil {
		return nil
	}
	if err := s.signal(syscall.SIGCONT); err != nil {
		return err
	}
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", s.name, err)
	}
	late := time.NewTimer(serviceTimeout)
	defer late.Stop()
	select {
	case <-s.done:
	case <-late.C:
		_ = s.cmd.Process.Kill()
		<-s.done
	}
	s.cmd = nil
	return nil
}

// findProgram looks in the path, and then in directories by a pattern, the last of which is the newest.
func findProgram(name, pattern string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	if found, _ := filepath.Glob(filepath.Join(pattern, name)); pattern != "" && len(found) > 0 {
		return found[len(found)-1], nil
	}
	return "", fmt.Errorf("find %s: it is not installed; .ci/packages does that", name)
}

// unprivileged finds a user for what must not run as root; nil when the caller is not root.
func unprivileged(names ...string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range append(names, "nobody") {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("read uid of %s: %w", name, err)
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("read gid of %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("find a user without privileges: there is not even nobody")
}
