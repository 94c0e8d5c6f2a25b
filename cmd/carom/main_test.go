package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "write the README's table of settings instead of comparing it")

// program is the built carom; written once by TestMain.
var program string

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "carom-test")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	program = filepath.Join(dir, "carom")
	if out, err := exec.CommandContext(context.Background(), "go", "build", "-pgo=off", "-o", program, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if code == 0 {
		err := goleak.Find(
			// fasthttp keeps one goroutine for the Date header for as long as the process lives, and its worker pool looks only
			// every 10 seconds whether it has ended.
			goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
			goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// result is what a command did.
type result struct {
	code     int
	out, err string
}

// invocation is a command line to run in this process.
type invocation struct {
	environ []string
	in      string
	ended   bool // the context has ended before: a server that starts against the test's will stops at once
}

func (i invocation) run(t *testing.T, args ...string) result {
	t.Helper()
	var out, errOut bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if i.ended {
		cancel()
	}
	code := run(ctx, args, i.environ, strings.NewReader(i.in), &out, &errOut)
	return result{code, out.String(), errOut.String()}
}

// carom runs a command that is expected to succeed.
func carom(t *testing.T, args ...string) result {
	t.Helper()
	r := invocation{}.run(t, args...)
	if r.code != exitOK {
		t.Fatalf("carom %q = exit %d, %s", args, r.code, r.err)
	}
	return r
}

// refuse runs a command that is expected to end with code, and one line about it that has all of want.
func refuse(t *testing.T, r result, code int, want ...string) {
	t.Helper()
	if r.code != code || strings.Count(r.err, "\n") != 1 || !strings.HasPrefix(r.err, "carom: ") {
		t.Errorf("exit %d, %q; want exit %d and one line", r.code, r.err, code)
	}
	for _, w := range want {
		if !strings.Contains(r.err, w) {
			t.Errorf("%q does not have %q", r.err, w)
		}
	}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestHelpAndUsage(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"serve", "--help"}, {"keys", "create", "--help"}, {"import", "--help"}} {
		if r := (invocation{}).run(t, args...); r.code != exitOK || !strings.HasPrefix(r.out, "Usage: carom") || r.err != "" {
			t.Errorf("carom %q = exit %d, %q, %q; want the usage", args, r.code, r.out, r.err)
		}
	}
	if r := carom(t, "serve", "--help"); !strings.Contains(r.out, "$CAROM_CACHE_BYTES") || !strings.Contains(r.out, "$DATABASE_URL") {
		t.Errorf("help of serve does not name the variables: %s", r.out)
	}
	for _, args := range [][]string{nil, {"fly"}, {"import"}, {"serve", "--fly"}, {"keys"}, {"keys", "revoke", "x"}, {"keys", "create", "--name=x"}} {
		refuse(t, invocation{}.run(t, args...), exitUsage)
	}
}

func TestVersion(t *testing.T) {
	if r := carom(t, "version"); !strings.HasPrefix(r.out, "carom ") || !strings.Contains(r.out, "go1.") {
		t.Errorf("version = %q", r.out)
	}
	out, err := exec.CommandContext(t.Context(), program, "version").Output()
	if err != nil || !strings.HasPrefix(string(out), "carom ") {
		t.Errorf("the program's version = %q, %v", out, err)
	}
}

func TestTheProgramsExitCode(t *testing.T) {
	for code, args := range map[int][]string{
		exitUsage: {"serve", "--shards=3"}, exitFail: {"keys", "list", "--data-dir", filepath.Join(t.TempDir(), "none")}, exitOK: {"check-config"},
	} {
		err := exec.CommandContext(context.Background(), program, args...).Run()
		got := 0
		if exit, ok := err.(*exec.ExitError); ok { //nolint:errorlint // Run returns it as it is
			got = exit.ExitCode()
		}
		if got != code {
			t.Errorf("carom %q = exit %d, %v; want %d", args, got, err, code)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
