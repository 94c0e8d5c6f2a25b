package e2e_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/carom-dev/carom/loadtest/program"
)

// step is a documented command with the output that the document shows.
type step struct {
	command string
	want    []string // its lines; "..." stands for anything
	wait    bool     // what it shows comes about a moment later
}

// consoleSteps are the commands of a document's console blocks, in their order. "$ " begins a command.
func consoleSteps(t *testing.T, name string) []step {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", name))
	if err != nil {
		t.Fatal(err)
	}
	var steps []step
	inside, wait := false, false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case !inside && strings.HasPrefix(line, "```console"):
			inside, wait = true, line == "```console wait"
		case inside && line == "```":
			inside = false
		case inside && strings.HasPrefix(line, "$ "):
			steps = append(steps, step{command: line[2:], wait: wait})
		case inside && len(steps) == 0:
			t.Fatalf("%s: the block begins with %q, want a command", name, line)
		case inside:
			last := &steps[len(steps)-1]
			last.want = append(last.want, line)
		}
	}
	if len(steps) == 0 {
		t.Fatalf("%s has no console block", name)
	}
	return steps
}

// agrees compares an output with what the document shows. "..." is anything within a line, and as a line of its own any lines.
func agrees(got string, want []string) bool {
	var b strings.Builder
	b.WriteString(`^`)
	for _, line := range want {
		if line == "..." {
			b.WriteString(`(?:.*\n)*`)
			continue
		}
		for i, part := range strings.Split(line, "...") {
			if i > 0 {
				b.WriteString(`.*`)
			}
			b.WriteString(regexp.QuoteMeta(part))
		}
		b.WriteString(`\n`)
	}
	b.WriteString(`$`)
	got = strings.ReplaceAll(got, "\r\n", "\n")
	if got != "" && !strings.HasSuffix(got, "\n") {
		got += "\n"
	}
	return regexp.MustCompile(b.String()).MatchString(got)
}

// follow runs a document's commands in the root of the checkout; before says what each shell does first.
func follow(t *testing.T, before string, steps []step, env ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	for _, s := range steps {
		for deadline := time.Now().Add(drained); ; {
			cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", before+"\n"+s.command)
			cmd.Dir, cmd.Env, cmd.WaitDelay = filepath.Join("..", ".."), append(append(os.Environ(), environ()...), env...), 10*time.Second
			out, err := cmd.CombinedOutput()
			if err == nil && agrees(string(out), s.want) {
				break
			}
			if s.wait && time.Now().Before(deadline) {
				select { // a reader would not ask more often, and the limits of the API are meant for readers
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
				continue
			}
			t.Fatalf("%s\n gives %v\n%s\nthe document shows\n%s", s.command, err, out, strings.Join(s.want, "\n"))
		}
	}
}

// TestTheDocumentedCommandsRun pastes the commands of docs/API.md into a shell, with the limits that a Carom has by default.
func TestTheDocumentedCommandsRun(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), "CAROM_RATE_LIMIT_API=200/m", "CAROM_RATE_LIMIT_WRITES=30/m")
	follow(t, "", consoleSteps(t, "docs/API.md"), "CAROM=http://"+p.Addr, "KEY="+program.AdminKey)
}

// pasted are the commands of the first block behind a line that begins with after; a backslash at a line's end continues it.
func pasted(t *testing.T, name, after string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", name))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n"+after)
	parts := strings.SplitN(rest, "\n```", 3)
	if !found || len(parts) < 3 {
		t.Fatalf("%s has no block of commands behind %q", name, after)
	}
	_, block, _ := strings.Cut(parts[1], "\n")
	return strings.Split(strings.ReplaceAll(block, "\\\n", ""), "\n")
}

// TestTheFirstFiveMinutesRun pastes what the README has a newcomer paste, on a fresh Carom.
func TestTheFirstFiveMinutesRun(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir())
	commands := pasted(t, "README.md", "In a second terminal")
	shown := [][]string{
		{},
		{`{"id":1,"code":"hello","short_url":"http://.../hello","url":"https://example.com/",...}`},
		{"HTTP/1.1 302 Found", "...", "Location: https://example.com/", "..."},
		{`{"clicks":1,"visits":1,"interval":"hour","series":[{"start":"...","clicks":1}],"referrers":[{"host":"","clicks":1}]}`},
		{`{"data":[{"id":1,"link_id":1,"code":"hello",...}],"next_cursor":null}`},
	}
	if len(commands) != len(shown) || !strings.HasPrefix(commands[0], "export KEY=") {
		t.Fatalf("the README has the commands %q, want the key's and %d others", commands, len(shown)-1)
	}
	steps := make([]step, len(commands))
	for i, command := range commands {
		// A click is in the figures a moment after its redirect.
		steps[i] = step{command: strings.ReplaceAll(command, "localhost:8080", p.Addr), want: shown[i], wait: i > 2}
	}
	silent := t.TempDir() // a terminal does not get curl's meter among the output
	if err := os.WriteFile(filepath.Join(silent, ".curlrc"), []byte("silent\nshow-error\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	follow(t, "", steps[1:], "CURL_HOME="+silent, "KEY="+program.AdminKey)
}

// TestTheRunbookRuns does what docs/RUNBOOK.md has an operator practise.
func TestTheRunbookRuns(t *testing.T) {
	t.Parallel() // the other topologies are gone by then
	// Not t.TempDir: the server of Postgres has another user, who must be able to enter.
	dir, err := os.MkdirTemp("", "carom-runbook-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	c := &topology{dir: dir}
	t.Cleanup(func() {
		if _, err := os.Stat(filepath.Join(dir, "topology.env")); err == nil { // a step has failed
			if out, err := c.script(context.Background(), "down"); err != nil {
				t.Errorf("topology down: %v\n%s", err, out)
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	follow(t, "if [[ -f $DIR/topology.env ]]; then source $DIR/topology.env; unset CAROM_BIN; fi", consoleSteps(t, "docs/RUNBOOK.md"), "DIR="+dir, "CAROM_BIN="+caromBinary)
}

func TestAgrees(t *testing.T) {
	for _, tt := range []struct {
		got  string
		want []string
		ok   bool
	}{
		{"a\nb\n", []string{"a", "b"}, true},
		{"a\r\nb", []string{"a", "b"}, true},
		{"a\nb\n", []string{"a"}, false},
		{"", nil, true},
		{"x", nil, false},
		{`{"id":1,"at":"2026"}`, []string{`{"id":1,"at":"..."}`}, true},
		{`{"id":2,"at":"2026"}`, []string{`{"id":1,"at":"..."}`}, false},
		{"first\nmore\nmore\nlast\n", []string{"first", "...", "last", "..."}, true},
		{"first\nmore\n", []string{"first", "...", "last", "..."}, false},
	} {
		if got := agrees(tt.got, tt.want); got != tt.ok {
			t.Errorf("agrees(%q, %q) = %v", tt.got, tt.want, got)
		}
	}
}
