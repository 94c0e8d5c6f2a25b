package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// restartRows are the rows of restarts and upgrades.
func restartRows() []row {
	return []row{
		{id: "R1", fault: "SIGTERM under keep-alive load behind nginx, restart, repeat: 10 in the short form, 100 by hand", bar: "0 failed requests", short: true, run: restartBehindNginx},
		{
			id: "R2", fault: "silent connection, idle keep-alive connection, half-sent request at SIGTERM",
			bar: "each answered or closed by the protocol's rules, 10 of 10", short: true, run: drainConnections,
		},
		{id: "R3", fault: "upgrade with a migration while two instances serve", bar: "0 failed; both versions work on the schema", short: true, run: upgrade},
	}
}

// pair is two instances on one Postgres behind nginx, with the nginx.conf of deploy.
type pair struct {
	instances [2]*instance
	addr      string // of nginx
}

var topologyMark = regexp.MustCompile(`# topology: (\w+)`)

// startPair starts them. change, if there is one, prepares each instance before its start.
func (e *env) startPair(ctx context.Context, change func(*instance)) (*pair, error) {
	pg, err := e.startPostgres(ctx)
	if err != nil {
		return nil, err
	}
	p := &pair{}
	for n := range p.instances {
		i, err := e.newInstance("DATABASE_URL=" + pg.url)
		if err != nil {
			return nil, err
		}
		if change != nil {
			change(i)
		}
		if err := i.start(ctx); err != nil {
			return nil, err
		}
		p.instances[n] = i
	}
	return p, e.startNginx(ctx, p)
}

// startNginx runs nginx in front of both.
func (e *env) startNginx(ctx context.Context, p *pair) error {
	dir, err := e.subdir("nginx")
	if err != nil {
		return err
	}
	port, err := e.freePort()
	if err != nil {
		return err
	}
	p.addr = fmt.Sprintf("127.0.0.1:%d", port)
	template, err := os.ReadFile(filepath.Join(e.root, "deploy", "nginx", "nginx.conf"))
	if err != nil {
		return fmt.Errorf("read nginx.conf: %w", err)
	}
	var conf strings.Builder
	servers := 0
	for line := range strings.Lines(string(template)) {
		mark := topologyMark.FindStringSubmatch(line)
		if mark == nil {
			conf.WriteString(line)
			continue
		}
		directive := strings.Fields(line)[0]
		switch mark[1] {
		case "server":
			if servers < len(p.instances) {
				fmt.Fprintf(&conf, "server %s max_fails=2 fail_timeout=2s;\n", p.instances[servers].addr)
				servers++
			}
		case "listen":
			fmt.Fprintf(&conf, "listen %s;\n", p.addr)
		case "error_log":
			fmt.Fprintf(&conf, "error_log %s warn;\n", filepath.Join(dir, "error.log"))
		case "pid":
			fmt.Fprintf(&conf, "pid %s;\n", filepath.Join(dir, "pid"))
		default: // a directory for temporary files
			fmt.Fprintf(&conf, "%s %s;\n", directive, filepath.Join(dir, directive))
		}
	}
	name := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(name, []byte(conf.String()), 0o644); err != nil {
		return fmt.Errorf("write nginx.conf: %w", err)
	}
	path, err := findProgram("nginx", "/usr/sbin")
	if err != nil {
		return err
	}
	cmd := exec.Command(path, "-c", name, "-p", dir, "-g", "daemon off;") //nolint:noctx // ended by the row's end
	cmd.Stdout, cmd.Stderr = e, e
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start nginx: %w", err)
	}
	e.later(func() error {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("stop nginx: %w", err)
		}
		_ = cmd.Wait() // it was asked to end
		return nil
	})
	return until(ctx, "nginx answers", 10*time.Second, func() (bool, error) {
		conn, err := net.DialTimeout("tcp", p.addr, time.Second) //nolint:noctx // bounded
		if err != nil {
			return false, err
		}
		return true, conn.Close()
	})
}

// failures says how many requests of a phase got no redirect, and what they got; nil when there are none.
func (p *phase) failures() error {
	sum := p.failed.Load()
	var text strings.Builder
	for status := range p.statuses {
		if n := p.status(status); n > 0 && status != 302 {
			sum += n
			fmt.Fprintf(&text, ", %d with %d", n, status)
		}
	}
	if sum == 0 {
		return nil
	}
	return fmt.Errorf("%d requests failed: %d without an answer%s", sum, p.failed.Load(), text.String())
}

// nginxForgets is how long nginx keeps away from an instance that did not answer, and a little more: it counts in whole seconds, and a
// fail_timeout of 2 s is over when more than two of them have begun. Restarting the other one sooner leaves it with none.
const nginxForgets = 3200 * time.Millisecond

func restartBehindNginx(ctx context.Context, e *env) (string, bool, error) {
	restarts := pick(e, 10, 100)
	p, err := e.startPair(ctx, nil)
	if err != nil {
		return "", false, err
	}
	links, err := makeLinks(ctx, p.instances[0].api, "r", 64)
	if err != nil {
		return "", false, err
	}
	o := newOracle(links)
	l := startLoad(ctx, o, loadConfig{addr: func() string { return p.addr }, rate: pick(e, 500, 2000)})
	defer l.stop()
	all := l.enter()
	for n := range restarts {
		i := p.instances[n%len(p.instances)]
		err := i.stop()
		if err == nil {
			err = i.start(ctx)
		}
		if err == nil {
			err = wait(ctx, nginxForgets)
		}
		if err != nil {
			return all.String(), false, fmt.Errorf("restart %d of %d: %w", n+1, restarts, err)
		}
	}
	l.stop()
	figure := fmt.Sprintf("%d restarts", restarts)
	if err := all.failures(); err != nil {
		return figure, false, err
	}
	t, err := o.check(ctx, p.instances[0].api, patience)
	return fmt.Sprintf("%s, 0 requests failed: %v; %v", figure, t, all), true, err
}

// drainConnections asks an instance to end with one connection of each kind.
func drainConnections(ctx context.Context, e *env) (string, bool, error) {
	const rounds = 10
	i, err := e.startInstance(ctx)
	if err != nil {
		return "", false, err
	}
	if _, err := makeLinks(ctx, i.api, "d", 1); err != nil {
		return "", false, err
	}
	var slowest time.Duration
	for n := range rounds {
		began, err := i.drainOnce(ctx)
		if err == nil {
			err = i.start(ctx)
		}
		if err != nil {
			return "", false, fmt.Errorf("round %d of %d: %w", n+1, rounds, err)
		}
		slowest = max(slowest, began)
	}
	return fmt.Sprintf("%d of %d: silent and idle ones closed without a byte, the half-sent request answered with 302 and Connection: close; the process was gone within %v",
		rounds, rounds, slowest.Round(time.Millisecond)), true, nil
}

// drainOnce returns how long the instance took to end.
func (i *instance) drainOnce(ctx context.Context) (time.Duration, error) {
	var conns [3]net.Conn
	for n := range conns {
		conn, err := net.DialTimeout("tcp", i.addr, 5*time.Second) //nolint:noctx // bounded
		if err != nil {
			return 0, fmt.Errorf("connect: %w", err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			return 0, fmt.Errorf("set deadline: %w", err)
		}
		conns[n] = conn
	}
	silent, idle, half := conns[0], conns[1], conns[2]
	const request = "GET /d0 HTTP/1.1\r\nHost: a\r\n\r\n"
	if _, err := io.WriteString(idle, request); err != nil {
		return 0, fmt.Errorf("send request: %w", err)
	}
	idleReader := bufio.NewReader(idle)
	if head, err := readHead(idleReader); err != nil || !strings.HasPrefix(head, "HTTP/1.1 302") {
		return 0, fmt.Errorf("the idle connection's own request was answered with %q: %w", head, err)
	}
	if _, err := io.WriteString(half, request[:20]); err != nil {
		return 0, fmt.Errorf("send half a request: %w", err)
	}
	// That the half has arrived can't be seen from outside; it is on loopback, and 100 ms is an age there.
	if err := wait(ctx, 100*time.Millisecond); err != nil {
		return 0, err
	}
	began := time.Now()
	if err := i.signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	for name, r := range map[string]io.Reader{"silent": silent, "idle": idleReader} {
		if b, err := io.ReadAll(r); err != nil || len(b) > 0 {
			return 0, fmt.Errorf("the %s connection got %q and %w, want its end", name, b, err)
		}
	}
	if _, err := io.WriteString(half, request[20:]); err != nil {
		return 0, fmt.Errorf("send the other half: %w", err)
	}
	r := bufio.NewReader(half)
	head, err := readHead(r)
	if err != nil || !strings.HasPrefix(head, "HTTP/1.1 302") || !strings.Contains(head, "\r\nConnection: close\r\n") {
		return 0, fmt.Errorf("the half-sent request was answered with %q: %w", head, err)
	}
	if b, err := io.ReadAll(r); err != nil || len(b) > 0 {
		return 0, fmt.Errorf("behind the half-sent request's answer came %q and %w, want the end", b, err)
	}
	err = until(ctx, "the instance has ended", 30*time.Second, func() (bool, error) { return !i.running(), nil })
	return time.Since(began), err
}

// readHead reads an answer's head.
func readHead(r *bufio.Reader) (string, error) {
	var head strings.Builder
	for {
		line, err := r.ReadString('\n')
		head.WriteString(line)
		if err != nil {
			return head.String(), fmt.Errorf("read answer: %w", err)
		}
		if line == "\r\n" {
			return head.String(), nil
		}
	}
}
