package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// processRows are the rows of what happens to a process and to its folder.
func processRows() []row {
	return []row{
		{id: "D7/memory", fault: "memory limit (RLIMIT_AS) ends the process under load, 3 times", bar: "each answered click stored once", short: true, run: outOfMemory},
		{id: "D7/stopped", fault: "SIGSTOP for 30 s under load (5 s short)", bar: "no request lost, each answered click stored once", short: true, run: stopped},
		{id: "D7/refused", fault: "two processes on one folder; folder read-only, of another owner, impossible", bar: "one clear line where it refuses; the first process goes on", short: true, run: refusedFolders},
		{id: "D7/readonly", fault: "folder becomes read-only under load, and writable again", bar: "redirects go on; losses counted exactly; recovers without restart", short: true, run: readOnlyFolder},
		{id: "D7/vanished", fault: "folder vanishes under load, and comes back", bar: "redirects go on; losses counted exactly; recovers without restart", short: true, run: vanishedFolder},
	}
}

// outOfMemory takes the room to grow from a running process, and lets many visitors connect until it is ended.
func outOfMemory(ctx context.Context, e *env) (string, bool, error) {
	// Where a mapping for the journal is refused, the click is too: a process that is about to die can't tell how many it has dropped.
	i, err := e.startInstance(ctx, "CAROM_JOURNAL_FULL=refuse")
	if err != nil {
		return "", false, err
	}
	links, err := makeLinks(ctx, i.api, "m", 64)
	if err != nil {
		return "", false, err
	}
	o := newOracle(links)
	const deaths = 3
	for n := range deaths {
		l := startLoad(ctx, o, loadConfig{addr: func() string { return i.addr }, rate: 1000, timeout: 2 * time.Second})
		err := wait(ctx, time.Second)
		if err == nil {
			err = i.starve(ctx)
		}
		l.stop()
		if err == nil {
			err = i.start(ctx)
		}
		if err == nil {
			err = o.await(ctx, i.api, patience)
		}
		if err != nil {
			return o.tally().String(), false, fmt.Errorf("death %d: %w", n+1, err)
		}
	}
	t, err := o.check(ctx, i.api, patience)
	return fmt.Sprintf("%d deaths: %v", deaths, t), true, err
}

// starve lets the process map a few more MiB, and has clients begin requests that they do not end until that is used up and it is gone:
// a connection that only waits costs next to nothing.
func (i *instance) starve(ctx context.Context) error {
	size, err := i.virtualBytes()
	if err != nil {
		return err
	}
	limit := unix.Rlimit{Cur: uint64(size) + 8<<20, Max: unix.RLIM_INFINITY}
	if err := unix.Prlimit(i.process.Pid(), unix.RLIMIT_AS, &limit, nil); err != nil {
		return fmt.Errorf("limit memory: %w", err)
	}
	ctx, enough := context.WithCancel(ctx)
	var crowd sync.WaitGroup
	defer crowd.Wait()
	defer enough()
	for range 8 {
		crowd.Go(func() { i.beginRequests(ctx, 1000) })
	}
	select {
	case <-i.process.Done():
		return nil
	case <-time.After(patience):
		return errors.New("the process lives on without memory to grow")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// beginRequests begins a request on each of many connections, and begins again with those that the server has given up, until ctx ends.
func (i *instance) beginRequests(ctx context.Context, connections int) {
	half := []byte("GET / HTTP/1.1\r\nHost: a\r\nX-Padding: " + strings.Repeat("x", 7<<10))
	held := make([]net.Conn, connections)
	defer func() {
		for _, c := range held {
			if c != nil {
				_ = c.Close()
			}
		}
	}()
	for n := 0; ctx.Err() == nil; n++ {
		at := n % connections
		if held[at] != nil {
			_ = held[at].Close()
		}
		c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", i.addr)
		if held[at] = c; err != nil {
			held[at] = nil
			continue
		}
		if _, err := c.Write(half); err != nil {
			_ = c.Close()
			held[at] = nil
		}
	}
}

// virtualBytes is the size of the process's address space.
func (i *instance) virtualBytes() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", i.process.Pid()))
	if err != nil {
		return 0, fmt.Errorf("read memory: %w", err)
	}
	var pages int64
	if _, err := fmt.Sscan(string(text), &pages); err != nil {
		return 0, fmt.Errorf("read memory: %w", err)
	}
	return pages * int64(os.Getpagesize()), nil
}

// stopped stops the process for longer than any of its own timeouts. Visitors wait.
func stopped(ctx context.Context, e *env) (string, bool, error) {
	i, err := e.startInstance(ctx)
	if err != nil {
		return "", false, err
	}
	links, err := makeLinks(ctx, i.api, "s", 64)
	if err != nil {
		return "", false, err
	}
	o := newOracle(links)
	pause := pick(e, 5*time.Second, 30*time.Second)
	l := startLoad(ctx, o, loadConfig{addr: func() string { return i.addr }, rate: 1000, timeout: pause + patience, outstanding: 1 << 16})
	defer l.stop()
	err = wait(ctx, time.Second)
	if err == nil {
		err = i.signal(syscall.SIGSTOP)
	}
	if err == nil {
		err = wait(ctx, pause)
	}
	if err = errors.Join(err, i.signal(syscall.SIGCONT)); err != nil {
		return "", false, err
	}
	err = until(ctx, "visitors are answered again", patience, func() (bool, error) { return len(l.arrived) == 0, nil })
	if err == nil {
		err = wait(ctx, time.Second)
	}
	p := l.current.Load()
	l.stop()
	if err != nil {
		return p.String(), false, err
	}
	t, err := o.check(ctx, i.api, patience)
	// A stopped server can't answer; who was connected is answered when it goes on, or has to come again where the connection was cut.
	return fmt.Sprintf("stopped for %v: %v; %d without an answer, longest wait %v", pause, t, p.failed.Load(), p.latency.quantile(1).Round(time.Millisecond)),
		p.failed.Load() == 0, err
}

// asNobody is the command that takes all privileges away; empty without any to take.
func asNobody() (prefix []string, uid, gid int, err error) {
	cred, err := unprivileged()
	if err != nil || cred == nil {
		return nil, os.Geteuid(), os.Getegid(), err
	}
	return []string{"setpriv", fmt.Sprintf("--reuid=%d", cred.Uid), fmt.Sprintf("--regid=%d", cred.Gid), "--clear-groups"}, int(cred.Uid), int(cred.Gid), nil
}

// refusedFolders starts the program where it must not run, and reads what it says.
func refusedFolders(ctx context.Context, e *env) (string, bool, error) {
	prefix, uid, gid, err := asNobody()
	if err != nil {
		return "", false, err
	}
	first, err := e.startInstance(ctx)
	if err != nil {
		return "", false, err
	}
	links, err := makeLinks(ctx, first.api, "r", 16)
	if err != nil {
		return "", false, err
	}
	o := newOracle(links)
	l := startLoad(ctx, o, loadConfig{addr: func() string { return first.addr }, rate: 500})
	defer l.stop()

	readOnly, err := e.subdir("read-only")
	if err != nil {
		return "", false, err
	}
	if err := errors.Join(os.Chown(readOnly, uid, gid), os.Chmod(readOnly, 0o555)); err != nil {
		return "", false, fmt.Errorf("make folder read-only: %w", err)
	}
	cases := []struct {
		what, dir string
		prefix    []string
		says      string // in the one line, with the folder's name
	}{
		{"two processes on one folder", first.dataDir, nil, "another process"},
		{"two processes on one folder, again", first.dataDir, nil, "another process"},
		{"read-only folder", readOnly, prefix, "permission denied"},
		{"folder of another owner", "/", prefix, "open /carom.db.lock: permission denied"},
		{"folder that can't be", "/proc/carom", prefix, "no such file"},
	}
	for _, c := range cases {
		second, err := e.newInstance()
		if err != nil {
			return "", false, err
		}
		second.dataDir, second.prefix = c.dir, c.prefix
		began := time.Now()
		if err := second.start(ctx); err == nil {
			return "", false, fmt.Errorf("%s: the program runs", c.what)
		}
		var said []string
		for line := range strings.Lines(second.log.String()) {
			if !strings.HasPrefix(line, "{") { // the log is JSON; what is said to the one who started it is not
				said = append(said, strings.TrimSpace(line))
			}
		}
		if len(said) != 1 || !strings.Contains(said[0], c.says) || !strings.Contains(said[0], filepath.Clean(c.dir)) {
			return "", false, fmt.Errorf("%s: it says %q, want one line with %q and the folder's name", c.what, said, c.says)
		}
		if took := time.Since(began); took > 10*time.Second {
			return "", false, fmt.Errorf("%s: it took %v to refuse", c.what, took)
		}
	}
	l.stop()
	t, err := o.check(ctx, first.api, patience)
	if err == nil && t.sent != t.answered {
		err = fmt.Errorf("the first process has left requests without an answer: %v", t)
	}
	return fmt.Sprintf("%d folders refused with one line each; beside them %v", len(cases), t), true, err
}

// withoutFolder runs an instance without privileges, takes its folder away while visitors come, and gives it back.
func withoutFolder(ctx context.Context, e *env, take, give func(i *instance) error) (string, bool, error) {
	prefix, uid, gid, err := asNobody()
	if err != nil {
		return "", false, err
	}
	// One lane of small segments: without a folder to make the next one in, it is soon full.
	i, err := e.newInstance("CAROM_SHARDS=1", "CAROM_JOURNAL_BYTES=1MiB")
	if err != nil {
		return "", false, err
	}
	if err := os.Chown(i.dataDir, uid, gid); err != nil {
		return "", false, fmt.Errorf("give folder away: %w", err)
	}
	i.prefix = prefix
	if err := i.start(ctx); err != nil {
		return "", false, err
	}
	links, err := makeLinks(ctx, i.api, "w", 16)
	if err != nil {
		return "", false, err
	}
	o := newOracle(links)
	l := startLoad(ctx, o, loadConfig{addr: func() string { return i.addr }, rate: 3000})
	defer l.stop()
	if err := wait(ctx, time.Second); err != nil {
		return "", false, err
	}
	if err := take(i); err != nil {
		return "", false, err
	}
	gone, err := l.during(ctx, pick(e, 4*time.Second, 30*time.Second))
	if err = errors.Join(err, give(i)); err != nil {
		return "", false, err
	}
	if err := recovers(ctx, i); err != nil {
		return gone.String(), false, err
	}
	if err := wait(ctx, time.Second); err != nil {
		return "", false, err
	}
	l.stop()
	lost, err := lossCounted(ctx, i, o)
	if err == nil {
		err = errors.Join(allAnswered(o), i.stop())
	}
	return fmt.Sprintf("%v; %d dropped, and as many counted", o.tally(), lost), true, err
}

// recovers waits until the instance has recorded every click for a while again.
func recovers(ctx context.Context, i *instance) error {
	last, since := -1.0, time.Now()
	return until(ctx, "no click is dropped any more", patience, func() (bool, error) {
		dropped, err := i.api.Metric(ctx, metricDropped)
		if err != nil {
			return false, err
		}
		if dropped != last {
			last, since = dropped, time.Now()
		}
		return time.Since(since) > 2*time.Second, nil
	})
}

// allAnswered says that redirects have not stopped: there was a redirect for each request.
func allAnswered(o *oracle) error {
	if t := o.tally(); t.answered != t.sent {
		return fmt.Errorf("%d of %d requests were not redirected", t.sent-t.answered, t.sent)
	}
	return nil
}

func readOnlyFolder(ctx context.Context, e *env) (string, bool, error) {
	mode := func(to os.FileMode) func(i *instance) error {
		return func(i *instance) error {
			return errors.Join(os.Chmod(i.dataDir, to), os.Chmod(filepath.Join(i.dataDir, "journal"), to))
		}
	}
	return withoutFolder(ctx, e, mode(0o555), mode(0o755))
}

func vanishedFolder(ctx context.Context, e *env) (string, bool, error) {
	return withoutFolder(ctx, e,
		func(i *instance) error { return os.Rename(i.dataDir, i.dataDir+"-gone") },
		func(i *instance) error { return os.Rename(i.dataDir+"-gone", i.dataDir) })
}
