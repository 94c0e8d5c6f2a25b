package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// writeReport writes the table as Markdown.
func writeReport(ctx context.Context, o options, e *env, results []result) error {
	commit, err := exec.CommandContext(ctx, "git", "-C", e.root, "describe", "--always", "--dirty", "--abbrev=12").Output()
	if err != nil {
		commit = []byte("not known")
	}
	held := 0
	var took time.Duration
	var rows strings.Builder
	for _, r := range results {
		if r.err == nil && r.held {
			held++
		}
		took += r.took
		figure := r.figure
		if r.err != nil {
			first, _, _ := strings.Cut(r.err.Error(), "\n")
			figure = strings.TrimSpace(figure + " " + first)
		}
		fmt.Fprintf(&rows, "| %s | %s | %s | %s | %s | %.0f s |\n", r.id, cell(r.fault), cell(r.bar), cell(figure), r.verdict(), r.took.Seconds())
	}
	form := "full"
	if o.Short {
		form = "short"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Fault harness: %d of %d rows held\n\n", held, len(results))
	fmt.Fprintf(&b, "- command: `%s` (%s form)\n- seed: %d\n- commit: %s\n- date: %s\n- machine: %s\n- duration: %s\n\n",
		strings.TrimSpace(o.Command), form, e.seed, strings.TrimSpace(string(commit)), time.Now().UTC().Format(time.DateOnly), e.machine(), took.Round(time.Second))
	b.WriteString("| id | fault | bar | figure | | took |\n| --- | --- | --- | --- | --- | --- |\n")
	b.WriteString(rows.String())
	if err := os.WriteFile(o.Report, []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// cell is text that fits into a cell of a table.
func cell(text string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ").Replace(text)
}

// machine is what the figures depend on.
func (e *env) machine() string {
	memory := "unknown memory"
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kib int64
		if _, err := fmt.Sscanf(string(text), "MemTotal: %d kB", &kib); err == nil {
			memory = fmt.Sprintf("%d GiB", (kib+1<<19)>>20)
		}
	}
	return fmt.Sprintf("%d cores shared with the load generator, %s, %s/%s, %s", runtime.NumCPU(), memory, runtime.GOOS, runtime.GOARCH, runtime.Version())
}
