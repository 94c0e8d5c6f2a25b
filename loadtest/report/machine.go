package report

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
)

// CommitOf is the commit that a Go program was built from: as the program itself says, or where it was built without that, the
// commit of the tree that this runs in.
func CommitOf(ctx context.Context, binary string) string {
	commit, changed := "", false
	if info, err := buildinfo.ReadFile(binary); err == nil {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				commit = s.Value
			case "vcs.modified":
				changed = s.Value == "true"
			}
		}
	}
	if commit == "" {
		head, err := exec.CommandContext(ctx, "git", "rev-parse", "HEAD").Output()
		if err != nil {
			return "unknown"
		}
		commit = strings.TrimSpace(string(head))
		_, err = exec.CommandContext(ctx, "git", "diff", "--quiet", "HEAD").Output()
		changed = err != nil
	}
	commit = commit[:min(12, len(commit))]
	if changed {
		commit += " with changes"
	}
	return commit
}

// Machine says what class of machine this is, without its name.
func Machine() string {
	words := fmt.Sprintf("%d cores, %s/%s, %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	if model := field("/proc/cpuinfo", "model name"); model != "" {
		words = model + ", " + words
	}
	kib, err := strconv.Atoi(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"))
	if err == nil {
		words += fmt.Sprintf(", %d GiB", (kib+1<<19)>>20)
	}
	return words
}

// field reads the first "name: value" of a file; "" when there is none.
func field(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		key, value, ok := strings.Cut(line, ":")
		if ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
