package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/carom-dev/carom/loadtest/program"
)

// What is loaded.
const (
	topologySingle  = "single"
	topologyCluster = "cluster"
)

// service is a running Carom of one or more instances.
type service struct {
	name   string
	words  string
	addr   string // where visitors are answered
	api    *program.API
	admins []*program.API   // of each instance
	pids   map[string][]int // the first processes of carom, nginx, postgres and redis; their children belong to them
	stop   func() error
}

// start runs the topology with its data in dir.
func start(ctx context.Context, cfg config, topology, dir string) (*service, error) {
	if topology == topologyCluster {
		return startCluster(ctx, cfg, dir)
	}
	return startSingle(ctx, cfg, dir)
}

func startSingle(ctx context.Context, cfg config, dir string) (*service, error) {
	p, err := program.Start(ctx, program.Config{Binary: cfg.Carom, DataDir: filepath.Join(dir, "data"), Env: cfg.environ()})
	if err != nil {
		return nil, err
	}
	s := &service{name: topologySingle, words: "one instance on the embedded store", addr: p.Addr, api: p.API(), pids: map[string][]int{"carom": {p.Pid()}}}
	s.admins = []*program.API{at(p.Admin)}
	s.stop = func() error { return p.Stop(60 * time.Second) }
	return s, nil
}

// startCluster runs deploy/topology, with limits off, and with nginx giving each request to one instance only: what one instance does
// not answer is to be seen.
func startCluster(ctx context.Context, cfg config, dir string) (s *service, err error) {
	// The server of Postgres has another user, who must be able to enter.
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // see above
		return nil, fmt.Errorf("open directory to others: %w", err)
	}
	carom, err := filepath.Abs(cfg.Carom)
	if err != nil {
		return nil, fmt.Errorf("find carom: %w", err)
	}
	script := func(ctx context.Context, command string) error {
		cmd := exec.CommandContext(ctx, cfg.Deploy, command, dir)
		cmd.Env = append(os.Environ(), "CAROM_BIN="+carom, "CAROM_ADMIN_KEY="+program.AdminKey, "TOPOLOGY_RETRY=off",
			"CAROM_RATE_LIMIT_API=0", "CAROM_RATE_LIMIT_WRITES=0", "CAROM_RATE_LIMIT_UNKNOWN=0")
		cmd.Env = append(cmd.Env, cfg.environ()...)
		cmd.WaitDelay = 10 * time.Second
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("topology %s: %w: %s", command, err, out)
		}
		return nil
	}
	stop := func() error { return script(context.WithoutCancel(ctx), "down") }
	defer func() {
		if err != nil {
			err = errors.Join(err, stop())
		}
	}()
	if err := script(ctx, "up"); err != nil {
		return nil, err
	}
	env, err := readEnv(filepath.Join(dir, "topology.env"))
	if err != nil {
		return nil, err
	}
	s = &service{name: topologyCluster, words: "nginx and three instances on Postgres and Redis", addr: local(env["port"]), api: at(local(env["port"])), stop: stop}
	s.pids = map[string][]int{}
	for _, n := range []string{"1", "2", "3"} {
		s.admins = append(s.admins, at(local(env["admin_port_"+n])))
	}
	for file, group := range map[string]string{
		"instance-1": "carom", "instance-2": "carom", "instance-3": "carom", "nginx": "nginx", "postgres": "postgres", "redis": "redis",
	} {
		pid, err := readPid(filepath.Join(dir, file+".pid"))
		if err != nil {
			return nil, err
		}
		s.pids[group] = append(s.pids[group], pid)
	}
	return s, nil
}

func local(port string) string { return net.JoinHostPort("127.0.0.1", port) }

// at is the API of an address.
func at(addr string) *program.API { return (&program.Process{Addr: addr}).API() }

func readEnv(name string) (map[string]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read addresses: %w", err)
	}
	defer f.Close()
	env := map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), "=")
		env[name] = value
	}
	return env, lines.Err()
}

func readPid(name string) (int, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return 0, fmt.Errorf("read process id: %w", err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil {
		return 0, fmt.Errorf("read process id: %w", err)
	}
	return pid, nil
}

// close drops connections and stops what runs.
func (s *service) close() error {
	s.api.Close()
	for _, a := range s.admins {
		a.Close()
	}
	return s.stop()
}
