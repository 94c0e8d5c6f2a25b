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
	"syscall"
	"time"

	"github.com/carom-dev/carom/loadtest/client"
)

// child is a server that is none of ours: nginx, or Postgres.
type child struct {
	cmd  *exec.Cmd
	quit syscall.Signal // ends it kindly
	done chan struct{}  // closed when it is gone
	err  error          // written before done is closed
}

// startChild starts a program whose output goes to a file, and waits until something answers at addr.
func startChild(ctx context.Context, quit syscall.Signal, log, addr, path string, args ...string) (*child, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("make a log: %w", err)
	}
	defer out.Close()
	c := &child{cmd: exec.Command(path, args...), quit: quit, done: make(chan struct{})} //nolint:noctx // stopped kindly
	c.cmd.Stdout, c.cmd.Stderr, c.cmd.Dir = out, out, "/"
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.done)
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(30 * time.Second)
	defer late.Stop()
	for {
		if conn, err := client.Dial(addr, time.Second); err == nil {
			conn.Close()
			return c, nil
		}
		select {
		case <-tick.C:
			continue
		case <-c.done:
			text, _ := os.ReadFile(log)
			return nil, fmt.Errorf("start %s: it ended at once: %w: %s", path, c.err, text)
		case <-late.C:
			err = errors.New("nobody answered for 30 s")
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		return nil, errors.Join(fmt.Errorf("start %s: %w", path, err), c.Stop())
	}
}

// Stop ends it and waits until it is gone.
func (c *child) Stop() error {
	if err := c.cmd.Process.Signal(c.quit); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal: %w", err)
	}
	late := time.NewTimer(time.Minute)
	defer late.Stop()
	select {
	case <-c.done:
		return nil
	case <-late.C:
		err := c.cmd.Process.Kill()
		<-c.done
		return errors.Join(errors.New("stop: not gone after a minute"), err)
	}
}

// Usage is what it and its workers have used.
func (c *child) Usage() (usage, error) { return usageOf(c.cmd.Process.Pid) }

// freePort is one that nobody listens on now.
func freePort(ctx context.Context) (int, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port, nil
}

// findBinary looks in PATH and then in folders where systems keep servers.
func findBinary(name string, globs ...string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, glob := range globs {
		found, err := filepath.Glob(filepath.Join(glob, name))
		if err == nil && len(found) > 0 {
			return found[len(found)-1], nil
		}
	}
	return "", fmt.Errorf("find %s: it is not installed", name)
}

// asUser puts a command in front that becomes another user, where the caller is root and the server would refuse to run so; and gives a
// directory to that user.
func asUser(name, dir string, command ...string) ([]string, error) {
	if os.Geteuid() != 0 {
		return command, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("find a user that is not root: %w", err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return nil, fmt.Errorf("read uid of %s: %w", name, err)
	}
	if err := os.Chown(dir, uid, -1); err != nil {
		return nil, fmt.Errorf("give a directory to %s: %w", name, err)
	}
	return append([]string{"setpriv", "--reuid=" + u.Uid, "--regid=" + u.Gid, "--clear-groups"}, command...), nil
}
