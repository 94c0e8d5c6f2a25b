package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// diskRows are the rows of a disk that is full or slow.
func diskRows() []row {
	const bar = "redirects go on; dropped counter is the oracle's difference exactly; recovers without restart"
	return []row{
		{id: "D8/journal", fault: "disk of the journal full (tmpfs), Postgres stopped", bar: bar, short: true, run: fullJournal},
		{id: "D8/sqlite", fault: "disk of the SQLite file full (tmpfs)", bar: bar, short: true, run: fullStore},
		{id: "D9", fault: "slow disk: each sync of the journal takes 1 s", bar: "hit p99 <= 1.2 x of the same run's baseline", short: true, run: slowJournal},
		{id: "D9/all", fault: "slow disk: each sync takes 1 s, the SQLite file's too", bar: "hit p99 <= 1.2 x of the same run's baseline", run: slowSyncs},
	}
}

// disk is a small file system of its own.
type disk struct{ dir string }

// mountDisk mounts a tmpfs of some size on a new directory.
func (e *env) mountDisk(name string, size int64) (*disk, error) {
	dir, err := e.subdir(name)
	if err != nil {
		return nil, err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0755", size)); err != nil {
		return nil, fmt.Errorf("mount a small file system (this row has to run as root): %w", err)
	}
	e.later(func() error {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount: %w", err)
		}
		return nil
	})
	return &disk{dir}, nil
}

// fill takes all the space that is left, and free gives it back.
func (d *disk) fill() error {
	f, err := os.OpenFile(d.filler(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("fill disk: %w", err)
	}
	defer f.Close()
	page := make([]byte, 4096)
	for {
		if _, err := f.Write(page); errors.Is(err, syscall.ENOSPC) {
			return nil
		} else if err != nil {
			return fmt.Errorf("fill disk: %w", err)
		}
	}
}

func (d *disk) free() error {
	if err := os.Remove(d.filler()); err != nil {
		return fmt.Errorf("free disk: %w", err)
	}
	return nil
}

func (d *disk) filler() string { return filepath.Join(d.dir, "filler") }

// fullJournal fills the journal's disk while the database is away, so that nothing can be given back, makes room, and lets the
// database go on.
func fullJournal(ctx context.Context, e *env) (string, bool, error) {
	pg, err := e.startPostgres(ctx)
	if err != nil {
		return "", false, err
	}
	d, err := e.mountDisk("journal-disk", 16<<20)
	if err != nil {
		return "", false, err
	}
	// Four lanes of segments of 1 MiB, so that the disk has room for 4 of them in use and the next ones, and the bound on bytes is never met.
	i, err := e.newInstance("DATABASE_URL="+pg.url, "CAROM_SHARDS=4", "CAROM_JOURNAL_BYTES=16MiB")
	if err != nil {
		return "", false, err
	}
	if err := os.Symlink(d.dir, filepath.Join(i.dataDir, "journal")); err != nil {
		return "", false, fmt.Errorf("put the journal on its disk: %w", err)
	}
	if err := i.start(ctx); err != nil {
		return "", false, err
	}
	links, err := makeLinks(ctx, i.api, "j", 64)
	if err != nil {
		return "", false, err
	}
	o := newOracle(links)
	if err := flood(ctx, o, i.addr, 2_000); err != nil { // all links are in memory
		return "", false, err
	}
	if _, err := o.check(ctx, i.api, patience); err != nil {
		return "", false, err
	}
	// Nothing is given back any more, and there is no room for another segment.
	if err := errors.Join(pg.signal(syscall.SIGSTOP), d.fill()); err != nil {
		return "", false, err
	}
	if err := flood(ctx, o, i.addr, pick(e, 150_000, 1_000_000)); err != nil {
		return "", false, err
	}
	full, err := i.api.Metric(ctx, metricDropped)
	if err != nil {
		return "", false, err
	}
	if full == 0 {
		return "", false, errors.New("the disk is full and no click was dropped")
	}
	// There is room again, and the database is still away.
	if err := d.free(); err != nil {
		return "", false, err
	}
	l := startLoad(ctx, o, loadConfig{addr: func() string { return i.addr }, rate: 500})
	defer l.stop()
	if err := recovers(ctx, i); err != nil {
		return "", false, err
	}
	if err := pg.signal(syscall.SIGCONT); err != nil {
		return "", false, err
	}
	l.stop()
	lost, err := lossCounted(ctx, i, o)
	if err == nil {
		err = errors.Join(allAnswered(o), i.stop())
	}
	return fmt.Sprintf("%v; %d dropped, and as many counted", o.tally(), lost), true, err
}

// fullStore fills the disk of the SQLite file; the journal is on another one.
func fullStore(ctx context.Context, e *env) (string, bool, error) {
	d, err := e.mountDisk("store-disk", 48<<20)
	if err != nil {
		return "", false, err
	}
	i, err := e.newInstance()
	if err != nil {
		return "", false, err
	}
	if err := os.Symlink(i.dataDir, filepath.Join(d.dir, "journal")); err != nil {
		return "", false, fmt.Errorf("put the journal on another disk: %w", err)
	}
	i.dataDir = d.dir
	if err := i.start(ctx); err != nil {
		return "", false, err
	}
	links, err := makeLinks(ctx, i.api, "q", 64)
	if err != nil {
		return "", false, err
	}
	o := newOracle(links)
	l := startLoad(ctx, o, loadConfig{addr: func() string { return i.addr }, rate: 1000})
	defer l.stop()
	if err := wait(ctx, time.Second); err != nil {
		return "", false, err
	}
	if err := d.fill(); err != nil {
		return "", false, err
	}
	began := time.Now()
	err = until(ctx, "the store has no room", patience, func() (bool, error) {
		failed, err := i.api.Metric(ctx, "carom_actors_writer_errors_total")
		return failed > 0, err
	})
	if _, refused := i.api.Shorten(ctx, map[string]any{"url": "https://example.com/full"}); err == nil && (refused == nil || !strings.Contains(refused.Error(), "status 503")) {
		err = fmt.Errorf("an edit on a full disk: %w, want status 503", refused)
	}
	if err == nil {
		err = wait(ctx, pick(e, 3*time.Second, 30*time.Second))
	}
	if err = errors.Join(err, d.free()); err != nil {
		return "", false, err
	}
	full := time.Since(began)
	if err := wait(ctx, time.Second); err != nil {
		return "", false, err
	}
	l.stop()
	lost, err := lossCounted(ctx, i, o)
	if err == nil && lost > 0 {
		err = fmt.Errorf("%d clicks were dropped, though the journal had room", lost)
	}
	if err == nil {
		err = errors.Join(allAnswered(o), i.stop())
	}
	return fmt.Sprintf("full for %v: %v; the journal kept what the store could not take", full.Round(time.Second), o.tally()), true, err
}

// slowJournal has the journal wait before each of its syncs.
func slowJournal(ctx context.Context, e *env) (string, bool, error) {
	binary, err := e.failpointCarom(ctx)
	if err != nil {
		return "", false, err
	}
	return slowDisk(ctx, e, func(i *instance, slow bool) {
		i.binary = binary
		if slow {
			i.vars = append(i.vars, "CAROM_FAILPOINT=sync=1s")
		}
	})
}

// slowSyncs has the kernel wait behind each of the process's syncs, by strace. The baseline runs under it too.
func slowSyncs(ctx context.Context, e *env) (string, bool, error) {
	strace, err := findProgram("strace", "")
	if err != nil {
		return "", false, err
	}
	return slowDisk(ctx, e, func(i *instance, slow bool) {
		// No more than these calls stop the process, and it is not strace's child, so that a signal reaches it and not strace.
		i.prefix = []string{strace, "-D", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync,msync"}
		if slow {
			i.prefix = append(i.prefix, "-e", "inject=fsync,fdatasync,msync:delay_exit=1000000")
		}
	})
}

// slowDisk compares hits on an instance with a slow disk with hits on one without, in turn. Each figure is the median of the rounds' 99th
// percentiles, so that a round in which the machine did something else does not decide.
func slowDisk(ctx context.Context, e *env, prepare func(i *instance, slow bool)) (string, bool, error) {
	const sides = 2
	var instances [sides]*instance
	var oracles [sides]*oracle
	var p99s [sides][]time.Duration
	for side := range sides {
		i, err := e.newInstance("CAROM_SHARDS=4", "CAROM_JOURNAL_BYTES=32MiB")
		if err != nil {
			return "", false, err
		}
		prepare(i, side == 1)
		if err := i.start(ctx); err != nil {
			return "", false, err
		}
		links, err := makeLinks(ctx, i.api, "s", 64)
		if err != nil {
			return "", false, err
		}
		instances[side], oracles[side] = i, newOracle(links)
	}
	rounds := pick(e, 3, 21)
	for round := range rounds + 1 {
		for side := range sides {
			l := startLoad(ctx, oracles[side], loadConfig{addr: func() string { return instances[side].addr }, rate: 2000, connections: 16})
			_, err := l.during(ctx, 300*time.Millisecond) // connections
			var p *phase
			if err == nil {
				p, err = l.during(ctx, pick(e, 1200*time.Millisecond, 3*time.Second))
			}
			l.stop()
			if err != nil {
				return "", false, err
			}
			if round > 0 { // the first one fills the tables
				p99s[side] = append(p99s[side], p.latency.quantile(0.99))
			}
		}
	}
	for side := range sides {
		if _, err := oracles[side].check(ctx, instances[side].api, patience); err != nil {
			return "", false, err
		}
	}
	baseline, slow := median(p99s[0]), median(p99s[1])
	figure := fmt.Sprintf("hit p99 %v, baseline %v: x %.2f (medians of %d rounds each)", slow, baseline, float64(slow)/float64(baseline), rounds)
	return figure, slow <= baseline*6/5, nil
}

// median is the middle one of an odd number of values.
func median(values []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
