package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/carom-dev/carom/loadtest/program"
)

// env is what a row works with: the programs to test, a directory, a source of chance, and a list of what to end when it is over.
type env struct {
	short bool
	soak  time.Duration // of row S1
	seed  uint64
	rand  *rand.Rand // the row's own, made from the seed and its id; for one goroutine
	root  string     // of the tree
	dir   string     // the row's own
	carom string     // the program

	verbose bool
	builds  *builds
	log     *program.Tail // of everything that the row starts

	mu      sync.Mutex     // guards cleanup
	cleanup []func() error // run in the reverse order
}

// newEnv finds the tree and builds the program.
func newEnv(ctx context.Context, o options) (*env, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return nil, fmt.Errorf("find the module: %w", err)
	}
	root := filepath.Dir(strings.TrimSpace(string(out)))
	if _, err := os.Stat(filepath.Join(root, "cmd", "carom")); err != nil {
		return nil, fmt.Errorf("find the tree: run this inside it: %w", err)
	}
	dir, err := os.MkdirTemp(o.Dir, "carom-chaos-")
	if err != nil {
		return nil, fmt.Errorf("make directory: %w", err)
	}
	// Services and instances of other users go through it.
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	e := &env{short: o.Short, soak: o.Soak, seed: o.Seed, root: root, dir: dir, carom: o.Carom, verbose: o.Verbose, log: &program.Tail{}}
	e.builds = &builds{root: root, dir: dir, made: map[string]string{}}
	if e.seed == 0 {
		e.seed = rand.Uint64N(1 << 32)
	}
	if e.soak == 0 {
		e.soak = 2 * time.Hour
		if e.short {
			e.soak = 2 * time.Minute
		}
	}
	e.rand = rand.New(rand.NewPCG(e.seed, 0))
	e.later(func() error { return os.RemoveAll(dir) })
	if e.carom == "" {
		if e.carom, err = e.build(ctx, "carom", "./cmd/carom"); err != nil {
			return nil, errors.Join(err, e.close())
		}
	}
	if e.carom, err = filepath.Abs(e.carom); err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

// forRow is the env of one row: with its own directory, chance and log. Rows draw the same, whichever run before them.
func (e *env) forRow(id string) (*env, error) {
	dir, err := os.MkdirTemp(e.dir, strings.ReplaceAll(id, "/", "-")+"-")
	if err != nil {
		return nil, fmt.Errorf("make directory: %w", err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	var stream uint64
	for _, b := range []byte(id) {
		stream = stream*31 + uint64(b)
	}
	own := &env{
		short: e.short, soak: e.soak, seed: e.seed, root: e.root, carom: e.carom, builds: e.builds, dir: dir, verbose: e.verbose,
		rand: rand.New(rand.NewPCG(e.seed, stream)), log: &program.Tail{},
	}
	own.later(func() error { return os.RemoveAll(dir) })
	return own, nil
}

// later has f run when the row is over; what was asked for last runs first.
func (e *env) later(f func() error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cleanup = append(e.cleanup, f)
}

// close ends and removes everything. Twice is fine.
func (e *env) close() error {
	e.mu.Lock()
	steps := e.cleanup
	e.cleanup = nil
	e.mu.Unlock()
	var errs []error
	for _, f := range slices.Backward(steps) {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

// Write takes the log of what the row starts.
func (e *env) Write(p []byte) (int, error) {
	if e.verbose {
		if _, err := os.Stderr.Write(p); err != nil {
			return 0, err
		}
	}
	return e.log.Write(p)
}

// logTail is the end of that log, for a row that failed.
func (e *env) logTail() string {
	lines := strings.Split(strings.TrimSpace(e.log.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-25):], "\n")
}

// subdir makes a directory in the row's own.
func (e *env) subdir(name string) (string, error) {
	dir := filepath.Join(e.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make directory: %w", err)
	}
	return dir, nil
}

// freeBytes is the room on the disk of the row's directory.
func (e *env) freeBytes() (int64, error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(e.dir, &fs); err != nil {
		return 0, fmt.Errorf("read room on disk: %w", err)
	}
	return int64(fs.Bavail) * fs.Bsize, nil
}

// pick is the first value in the short form and the second one otherwise.
func pick[T any](e *env, short, full T) T {
	if e.short {
		return short
	}
	return full
}

// builds are the programs that were built for this run; each once.
type builds struct {
	root, dir string
	mu        sync.Mutex
	made      map[string]string // guarded by mu
}

// build builds a package of the tree, with more flags of `go build` such as "-tags", "failpoint", and returns the program's name. The
// same name is built once a run.
func (e *env) build(ctx context.Context, name, pkg string, flags ...string) (string, error) {
	b := e.builds
	b.mu.Lock()
	defer b.mu.Unlock()
	if made := b.made[name]; made != "" {
		return made, nil
	}
	to := filepath.Join(b.dir, name)
	cmd := exec.CommandContext(ctx, "go", append(append([]string{"build", "-o", to}, flags...), pkg)...)
	cmd.Dir = b.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	b.made[name] = to
	return to, nil
}

// failpointCarom is the program with the failpoints in it: CAROM_FAILPOINT=name[:n] ends it at the n-th time it gets there.
func (e *env) failpointCarom(ctx context.Context) (string, error) {
	return e.build(ctx, "carom-failpoint", "./cmd/carom", "-tags", "failpoint")
}

// wait returns after d, or when ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// until asks again and again until done says yes, within timeout.
func until(ctx context.Context, what string, timeout time.Duration, done func() (bool, error)) error {
	deadline := time.Now().Add(timeout)
	var last error
	for {
		ok, err := done()
		if ok {
			return nil
		}
		if err != nil {
			last = err
		}
		if time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("not within %v: %s", timeout, what), last)
		}
		if err := wait(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}
