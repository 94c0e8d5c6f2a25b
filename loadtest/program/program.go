// Package program starts the real carom as a child process, tells where it listens, measures its CPU time, and ends it kindly
// or not.
package program

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// AdminKey is the key that a started Carom accepts.
const AdminKey = "carom_loadtest_0123456789abcdefghijklmnop"

// startTimeout is far above what a start takes, also under the race detector on a busy machine.
const startTimeout = 60 * time.Second

// Config says what to start.
type Config struct {
	Binary  string
	DataDir string
	Env     []string  // more variables, as NAME=value; they come last and so win
	Prefix  []string  // a command that becomes the program, such as prlimit or setpriv with its arguments; empty: none
	Stderr  io.Writer // gets a copy of the log; nil for nowhere
}

// Process is a running child. Its methods may be called from several goroutines.
type Process struct {
	Addr  string // where it listens
	Admin string // where its admin listener does; "" when it has none
	cmd   *exec.Cmd
	done  chan struct{} // closed when the child is gone and its log was read
	err   error         // written before done is closed
}

// Start runs `carom serve` on free ports and returns when it listens. Rate limits are off.
func Start(ctx context.Context, cfg Config) (*Process, error) {
	args := append(append([]string{}, cfg.Prefix...), cfg.Binary, "serve")
	cmd := exec.Command(args[0], args[1:]...) //nolint:noctx // the child outlives ctx, which bounds the start alone
	cmd.Env = append(os.Environ(),
		"CAROM_LISTEN=127.0.0.1:0", "CAROM_ADMIN_LISTEN=127.0.0.1:0", "CAROM_DATA_DIR="+cfg.DataDir, "CAROM_ADMIN_KEY="+AdminKey,
		"CAROM_RATE_LIMIT_API=0", "CAROM_RATE_LIMIT_WRITES=0", "CAROM_RATE_LIMIT_UNKNOWN=0", "CAROM_RATE_LIMIT_REDIRECTS=0", "CAROM_LOG_FORMAT=json")
	cmd.Env = append(cmd.Env, cfg.Env...)
	return StartCommand(ctx, cmd, cfg.Stderr)
}

// StartCommand runs any child that logs JSON lines as carom does, and returns when it has said "listening".
func StartCommand(ctx context.Context, cmd *exec.Cmd, stderr io.Writer) (*Process, error) {
	if stderr == nil {
		stderr = io.Discard
	}
	pipe, err := cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	p := &Process{cmd: cmd, done: make(chan struct{})}
	addr := make(chan string, 1)
	admin := ""
	go func() {
		defer close(p.done)
		tail := readLog(pipe, stderr, addr, &admin)
		if p.err = cmd.Wait(); p.err != nil {
			p.err = fmt.Errorf("%w; its log ends with:\n%s", p.err, tail)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	select {
	case p.Addr = <-addr:
		p.Admin = admin
		return p, nil
	case <-p.done:
		return nil, fmt.Errorf("start %s: it ended before it listened: %w", cmd.Path, errors.Join(p.err, context.Cause(ctx)))
	case <-ctx.Done():
		return nil, fmt.Errorf("start %s: %w; %w", cmd.Path, context.Cause(ctx), p.Kill())
	}
}

// readLog reads the log to its end, sends the address once it is named, and returns the last lines. What it has read of an admin
// listener by then is in admin.
func readLog(log io.Reader, copyTo io.Writer, addr chan<- string, admin *string) string {
	var tail []string
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fmt.Fprintln(copyTo, lines.Text())
		if tail = append(tail, lines.Text()); len(tail) > 20 {
			tail = tail[1:]
		}
		var entry struct{ Msg, Addr string }
		if addr == nil || json.Unmarshal(lines.Bytes(), &entry) != nil {
			continue
		}
		switch entry.Msg {
		case "admin listening":
			*admin = entry.Addr
		case "listening":
			addr <- entry.Addr
			addr = nil
		}
	}
	return strings.Join(tail, "\n")
}

// Kill ends the child at once, as the OOM killer would, and waits until it is gone.
func (p *Process) Kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill: %w", err)
	}
	<-p.done
	return nil
}

// quitTimeout is how long a child that hangs gets to write what its goroutines do.
const quitTimeout = 10 * time.Second

// Stop asks the child to end and waits until it is gone; after timeout it has it write its goroutines to its log and kills it, which is an error, as
// is an exit code.
func (p *Process) Stop(timeout time.Duration) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal: %w", err)
	}
	late := time.NewTimer(timeout)
	defer late.Stop()
	select {
	case <-p.done:
		return p.err
	case <-late.C:
		if err := p.Signal(syscall.SIGQUIT); err == nil {
			select {
			case <-p.done:
			case <-time.After(quitTimeout):
			}
		}
		return errors.Join(fmt.Errorf("stop: not gone after %v", timeout), p.Kill())
	}
}

// Pid is the child's process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Signal sends the child a signal.
func (p *Process) Signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("signal: %w", err)
	}
	return nil
}

// Done is closed when the child is gone.
func (p *Process) Done() <-chan struct{} { return p.done }

// ticks a second in /proc/PID/stat: USER_HZ, which is 100 on every Linux that Go runs on.
const ticks = 100

// CPU is the time that the child has spent on processors so far, in user and kernel mode (Linux).
func (p *Process) CPU() (time.Duration, error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/stat")
	if err != nil {
		return 0, fmt.Errorf("read CPU time: %w", err)
	}
	// The command's name, in parentheses, may have spaces; fields 14 and 15 of all are 11 and 12 of those behind it.
	_, rest, ok := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 13 {
		return 0, fmt.Errorf("read CPU time: %q is not understood", stat)
	}
	var sum int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read CPU time: %w", err)
		}
		sum += n
	}
	return time.Duration(sum) * time.Second / ticks, nil
}

// Tail is an io.Writer that keeps what was written for a failing test to show. Safe for concurrent use.
type Tail struct {
	mu   sync.Mutex
	text []byte // guarded by mu
}

// Write keeps p.
func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if over := len(t.text) - 64<<10; over > 0 {
		t.text = t.text[over:]
	}
	return len(p), nil
}

// String is the last 64 KiB of what was written.
func (t *Tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
