package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// insideRows are the rows of faults inside one room, made by its own tests.
func insideRows() []row {
	return []row{
		{
			id: "D4", fault: "crash model of the journal: unsynced bytes, renames and unlinks lost, kept or torn in any subset",
			bar: "reopen never panics or loops; every synced record readable, once, in order", short: true,
			run: func(ctx context.Context, e *env) (string, bool, error) {
				return journalTest(ctx, e, "TestCrashModel", fmt.Sprintf("CAROM_CRASH_SEEDS=%d", pick(e, 1000, 100_000)), fmt.Sprintf("CAROM_CRASH_SEED=%d", e.seed))
			},
		},
		{
			id: "D5", fault: "the n-th call of the journal to the disk fails (EIO, ENOSPC, short), for every n of a fixed script",
			bar: "no panic; the error is told; a file whose sync failed is sealed, never synced again", short: true,
			run: func(ctx context.Context, e *env) (string, bool, error) {
				return journalTest(ctx, e, "TestEachCallFails")
			},
		},
		{
			id: "D6", fault: "one bit flipped, file cut, range zeroed, doubled, deleted: 10,000 cases",
			bar: "found each time; loss at most the damaged record (the segment for its header); counted", short: true,
			run: func(ctx context.Context, e *env) (string, bool, error) {
				return journalTest(ctx, e, "TestRandomDamages", fmt.Sprintf("CAROM_DAMAGE_SEED=%d", e.seed))
			},
		},
		{
			id: "F1", fault: "fuzzing: path, Host, X-Forwarded-For, JSON bodies, cursors, CSV import, journal decoder, target canonicaliser",
			bar: "no finding; 10 minutes each by hand; in the short form the kept inputs, as `make fuzz-smoke` fuzzes", short: true, run: fuzz, long: 4 * time.Hour,
		},
	}
}

// logged are the lines that a test has logged, without where.
var logged = regexp.MustCompile(`(?m)^\s+\w+_test\.go:\d+:\s+(.*)$`)

// journalTest runs one test of the journal and returns what it has logged.
func journalTest(ctx context.Context, e *env, name string, vars ...string) (string, bool, error) {
	_, output, err := e.runGoTest(ctx, goTest{packages: []string{"./persistence/journal"}, run: "^" + name + "$", vars: vars})
	var said []string
	for _, m := range logged.FindAllStringSubmatch(output, -1) {
		said = append(said, m[1])
	}
	return strings.Join(said, "; "), err == nil, err
}

// fuzz runs the fuzz targets, or the inputs that are kept of them.
func fuzz(ctx context.Context, e *env) (string, bool, error) {
	if e.short {
		passed, output, err := e.runGoTest(ctx, goTest{packages: []string{"./edge/...", "./engine", "./persistence/...", "./cmd/carom/internal/bulk"}, run: "^Fuzz"})
		targets := strings.Count(output, "\n--- PASS: Fuzz")
		return fmt.Sprintf("%d targets, %d kept inputs", targets, passed-targets), err == nil, err
	}
	cmd := exec.CommandContext(ctx, ".ci/fuzz")
	cmd.Dir, cmd.Env = e.root, append(os.Environ(), "FUZZ_TIME=10m")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", false, fmt.Errorf("run .ci/fuzz: %w\n%s", err, lastLines(string(out), 40))
	}
	return fmt.Sprintf("%d targets, 10 minutes each: no finding", strings.Count(string(out), " Fuzz")), true, nil
}
