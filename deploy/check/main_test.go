package check

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// root is the repository's root, seen from here.
const root = "../.."

// carom is the program; TestMain builds it, or takes the one that CAROM_BIN names. Written once before the tests.
var carom string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	carom = os.Getenv("CAROM_BIN")
	os.Unsetenv("CAROM_BIN") // it is no setting
	if carom == "" {
		dir, err := os.MkdirTemp("", "carom-check-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		carom = filepath.Join(dir, "carom")
		build := exec.CommandContext(context.Background(), "go", "build", "-C", root, "-o", carom, "./cmd/carom")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build carom: %v\n%s", err, out)
			return 1
		}
	}
	return m.Run()
}

// text is a file of the repository.
func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// output runs a command with an environment of its own and returns all that it said, and whether it was content.
func output(t *testing.T, environ []string, name string, args ...string) (string, bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, environ...)
	out, err := cmd.CombinedOutput()
	if _, isExit := err.(*exec.ExitError); err != nil && !isExit { //nolint:errorlint // it is not wrapped
		t.Fatalf("run %s: %v", name, err)
	}
	return string(out), err == nil
}

// need is a program that the tests can't do without.
func need(t *testing.T, name string, elsewhere ...string) string {
	t.Helper()
	for _, path := range append([]string{name}, elsewhere...) {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	t.Fatalf("%s is not installed; .ci/packages installs it", name)
	return ""
}

// settings are the variables that `carom serve` takes, and of which of them a file may hold the value.
func settings(t *testing.T) map[string]bool {
	t.Helper()
	known := map[string]bool{}
	readme := text(t, "README.md") // made from the settings, and held to them by the program's own tests
	for _, row := range regexp.MustCompile("(?m)^\\| `--[a-z-]+` \\| `([A-Z_]+)`(, `_FILE`)? \\|").FindAllStringSubmatch(readme, -1) {
		known[row[1]] = true
		if row[2] != "" {
			known[row[1]+"_FILE"] = true
		}
	}
	help, ok := output(t, nil, carom, "serve", "--help")
	for _, name := range regexp.MustCompile(`\(\$([A-Z_]+)\)`).FindAllStringSubmatch(strings.Join(strings.Fields(help), " "), -1) {
		if !known[name[1]] {
			t.Errorf("carom serve has the setting %s, which the README's table does not", name[1])
		}
	}
	if !ok || len(known) < 30 {
		t.Fatalf("found %d settings in the README and this help:\n%s", len(known), help)
	}
	return known
}

// judged runs `carom check-config` under an environment.
func judged(t *testing.T, environ []string) {
	t.Helper()
	if out, ok := output(t, environ, carom, "check-config"); !ok || strings.Contains(out, "warning") {
		t.Errorf("carom check-config under %q says:\n%s", environ, out)
	}
}
