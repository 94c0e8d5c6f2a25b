package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// goTest is a row's part that has to look inside, and so is a test of the room itself. The harness runs it and counts.
type goTest struct {
	packages []string // such as "./actors/..."
	run      string   // which tests
	count    int      // how often each; 0: once
	tags     string   // of the build
	vars     []string // variables such as "CRASH_SEEDS=1000"
	args     []string // more arguments, such as "-fuzz=X"
}

// runGoTest runs the tests and returns how many passed and what they logged. That none ran, or one was skipped, is an error too.
func (e *env) runGoTest(ctx context.Context, t goTest) (passed int, output string, err error) {
	args := []string{"test", "-v", fmt.Sprintf("-count=%d", max(t.count, 1)), "-run", t.run, "-timeout", "2h"}
	if t.tags != "" {
		args = append(args, "-tags", t.tags)
	}
	cmd := exec.CommandContext(ctx, "go", append(append(args, t.args...), t.packages...)...)
	cmd.Dir, cmd.Env = e.root, append(os.Environ(), t.vars...)
	text, err := cmd.CombinedOutput()
	output = string(text)
	passed, skipped := strings.Count(output, "--- PASS"), strings.Count(output, "--- SKIP")
	switch {
	case err != nil:
		return passed, output, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, lastLines(output, 40))
	case passed == 0 || skipped > 0:
		return passed, output, fmt.Errorf("go %s: %d tests passed and %d were skipped", strings.Join(args, " "), passed, skipped)
	}
	return passed, output, nil
}

// lastLines is the end of a text.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
