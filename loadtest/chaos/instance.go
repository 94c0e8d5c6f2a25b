package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/carom-dev/carom/loadtest/client"
	"github.com/carom-dev/carom/loadtest/program"
)

// instance is one Carom that a row starts, kills and starts again on the same data and the same port.
type instance struct {
	env     *env
	addr    string
	dataDir string
	binary  string
	prefix  []string // a command in front, such as prlimit
	vars    []string // settings as NAME=value
	log     program.Tail
	heed    func(line []byte) (keep bool) // nil, or gets each line of the log first
	ready   time.Duration                 // how long the last start took until it answered that it is ready

	process *program.Process
	api     *program.API
}

// newInstance chooses a port and a data directory, and starts nothing.
func (e *env) newInstance(vars ...string) (*instance, error) {
	port, err := e.freePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(e.dir, "data-")
	if err != nil {
		return nil, fmt.Errorf("make directory: %w", err)
	}
	i := &instance{env: e, addr: fmt.Sprintf("127.0.0.1:%d", port), dataDir: dir, binary: e.carom, vars: vars}
	e.later(i.kill)
	return i, nil
}

// startInstance makes an instance and starts it.
func (e *env) startInstance(ctx context.Context, vars ...string) (*instance, error) {
	i, err := e.newInstance(vars...)
	if err != nil {
		return nil, err
	}
	return i, i.start(ctx)
}

// start starts the instance and returns when it is ready. One that runs is left alone.
func (i *instance) start(ctx context.Context, vars ...string) error {
	if i.running() {
		return nil
	}
	began := time.Now()
	p, err := program.Start(ctx, program.Config{
		Binary: i.binary, DataDir: i.dataDir, Prefix: i.prefix, Stderr: i,
		Env: slices.Concat([]string{"CAROM_LISTEN=" + i.addr}, i.vars, vars),
	})
	if err != nil {
		return err
	}
	if i.api != nil {
		i.api.Close()
	}
	i.process, i.api = p, p.API()
	if err := until(ctx, "instance is ready", 30*time.Second, func() (bool, error) { return !i.running() || i.isReady(), nil }); err != nil {
		return err
	}
	if !i.running() {
		return errors.New("start instance: it died before it was ready")
	}
	i.ready = time.Since(began)
	return nil
}

// Write takes the instance's log.
func (i *instance) Write(p []byte) (int, error) {
	if i.heed != nil && !i.heed(p) {
		return len(p), nil
	}
	if _, err := i.log.Write(p); err != nil {
		return 0, err
	}
	if bytes.Contains(p, []byte(`"msg":"request"`)) {
		return len(p), nil // the harness's own questions would be all that is left of a log
	}
	return i.env.Write(p)
}

// isReady asks it.
func (i *instance) isReady() bool {
	conn, err := client.Dial(i.addr, time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	request, err := client.Get(i.addr, "/health/ready", nil)
	if err != nil {
		return false
	}
	r, err := conn.Do(request)
	return err == nil && r.Status == 200
}

func (i *instance) running() bool {
	if i.process == nil {
		return false
	}
	select {
	case <-i.process.Done():
		return false
	default:
		return true
	}
}

// kill ends it as the OOM killer would. One that is gone is left alone.
func (i *instance) kill() error {
	if i.process == nil {
		return nil
	}
	return i.process.Kill()
}

// stop ends it kindly: it has to drain, and to exit with 0.
func (i *instance) stop() error {
	if !i.running() {
		return nil
	}
	return i.process.Stop(60 * time.Second)
}

// signal sends it a signal such as SIGSTOP.
func (i *instance) signal(sig syscall.Signal) error { return i.process.Signal(sig) }

// usage is what the process takes of the machine.
type usage struct {
	anonymous  int64 // bytes of memory that belong to no file: heap, stacks, tables; the journal's mappings are not in it
	resident   int64 // all of it
	descriptor int   // open files
	goroutines int
}

// usage reads it (Linux).
func (i *instance) usage(ctx context.Context) (u usage, err error) {
	proc := filepath.Join("/proc", strconv.Itoa(i.process.Pid()))
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		return u, fmt.Errorf("read memory: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kib, _ := strconv.ParseInt(fields[1], 10, 64) // 0 for lines of another kind
		switch fields[0] {
		case "RssAnon:":
			u.anonymous = kib << 10
		case "VmRSS:":
			u.resident = kib << 10
		}
	}
	open, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		return u, fmt.Errorf("read descriptors: %w", err)
	}
	u.descriptor = len(open)
	n, err := i.api.Metric(ctx, "go_goroutines")
	u.goroutines = int(n)
	return u, err
}

// The ports that are handed out lie below those that systems give to outgoing connections: a visitor that dials an instance while it is
// down must meet nobody, not even itself.
const portMin, portMax = 12000, 32000

func (e *env) freePort() (int, error) {
	var err error
	for range 1000 {
		port := portMin + e.rand.IntN(portMax-portMin)
		var ln net.Listener
		if ln, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil { //nolint:noctx // at once, on loopback
			return port, ln.Close()
		}
	}
	return 0, fmt.Errorf("find a free port: %w", err)
}
