package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/carom-dev/carom/cmd/carom/internal/setting"
	"github.com/carom-dev/carom/engine"
)

const testKey = "carom_test_admin_key_0123456789"

// running is a serve that was started, in this process or as one of its own.
type running struct {
	addr, admin string // "host:port"
	banner      string // standard output up to the listening
	logs        []map[string]any
	rest        string           // of the log, after the listening; set by stop
	await       func(msg string) // reads the log on to a message; of a program alone
	stop        func() int       // ends it and returns the exit code
}

// logLine waits for the log line with a message and returns it; it keeps all lines before.
func (r *running) logLine(t testing.TB, lines *bufio.Scanner, msg string) map[string]any {
	t.Helper()
	for lines.Scan() {
		var line map[string]any
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("log line %q: %v", lines.Text(), err)
		}
		r.logs = append(r.logs, line)
		if line["msg"] == msg {
			return line
		}
	}
	t.Fatalf("the log ended without %q: %v", msg, r.logs)
	return nil
}

func serveArgs(dir string, more ...string) []string {
	return append([]string{
		"serve", "--data-dir=" + dir, "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--cache-bytes=16MiB", "--journal-bytes=16MiB",
		"--rate-limit-api=0", "--rate-limit-writes=0", "--rate-limit-unknown=0", "--shutdown-timeout=20s",
	}, more...)
}

// startHere runs serve in this process, where its coverage counts.
func startHere(t testing.TB, dir string, environ []string, more ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	logs, logWriter := io.Pipe()
	var out strings.Builder
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, serveArgs(dir, more...), environ, strings.NewReader(""), &out, logWriter)
		logWriter.Close()
	}()
	r := &running{}
	lines := bufio.NewScanner(logs)
	r.admin = r.logLine(t, lines, "admin listening")["addr"].(string)
	r.addr = r.logLine(t, lines, "listening")["addr"].(string)
	r.banner = out.String()
	drained := make(chan struct{})
	go func() { // serve must not wait for a reader of its log
		defer close(drained)
		for lines.Scan() {
			r.rest += lines.Text() + "\n"
		}
	}()
	stopped, code := false, 0
	r.stop = func() int {
		if !stopped {
			stopped = true
			cancel()
			code = <-done
			<-drained
		}
		return code
	}
	t.Cleanup(func() { r.stop() })
	return r
}

// startProgram runs the real program.
func startProgram(t testing.TB, dir string, environ []string, more ...string) (*running, *exec.Cmd) {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), program, serveArgs(dir, more...)...)
	cmd.Env = append(os.Environ(), environ...)
	logs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	r := &running{}
	lines := bufio.NewScanner(logs)
	t.Cleanup(func() {
		if !ended {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	r.addr = r.logLine(t, lines, "listening")["addr"].(string)
	r.await = func(msg string) { r.logLine(t, lines, msg) }
	r.stop = func() int {
		ended = true
		var rest strings.Builder
		for lines.Scan() {
			rest.WriteString(lines.Text() + "\n")
		}
		r.rest = rest.String()
		err := cmd.Wait()
		r.banner = out.String()
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return exit.ExitCode()
		}
		if err != nil {
			t.Error(err)
		}
		return 0
	}
	return r, cmd
}

// get asks for a path without following it and returns status and target.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	status, header, _ := ask(t, url)
	return status, header.Get("Location")
}

// fetch asks for a path and returns status and body.
func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	status, _, body := ask(t, url)
	return status, body
}

// ask asks for a path on a connection of its own.
func ask(t *testing.T, url string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(body)
}

func TestTheFirstMinute(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	r := startHere(t, dir, nil)
	for _, want := range []string{"http://" + r.addr, dir, "carom_", "curl -X POST http://" + r.addr + "/shorten", "curl -i http://" + r.addr + "/hello"} {
		if !strings.Contains(r.banner, want) {
			t.Errorf("the banner does not have %q: %s", want, r.banner)
		}
	}
	secret := regexp.MustCompile(`The admin key is (carom_\S+)`).FindStringSubmatch(r.banner)[1]
	if line := r.logs[len(r.logs)-1]; strings.Contains(r.addr, ":0") || line["addr"] == "" {
		t.Errorf("listening at %q, want the real port", r.addr)
	}
	for _, line := range r.logs {
		for key, value := range line {
			if text, ok := value.(string); ok && strings.Contains(text, secret) {
				t.Errorf("the log shows the key: %s=%q", key, text)
			}
		}
	}
	if code := r.stop(); code != exitOK {
		t.Errorf("exit %d, want 0: %s", code, r.rest)
	}
	if list := carom(t, "keys", "list", "--data-dir="+dir).out; strings.Count(list, "\n") != 2 || !strings.Contains(list, "admin") {
		t.Errorf("keys = %s", list)
	}
	again := startHere(t, dir, nil)
	if again.stop(); again.banner != "" {
		t.Errorf("the second start shows %q", again.banner)
	}
}

func TestTheAdminListener(t *testing.T) {
	r := startHere(t, t.TempDir(), nil, "--flight-recorder")
	get(t, "http://"+r.addr+"/nothing")
	for path, want := range map[string]string{
		"/metrics": "carom_edge_answers_total{outcome=\"not_found\"} 1\n", "/health": `"journal"`, "/health/ready": `"pass"`,
		"/debug/pprof/goroutine?debug=1": "goroutine profile", flightPath: "go 1.", "/urls": "",
	} {
		status, body := fetch(t, "http://"+r.admin+path)
		if wanted := map[bool]int{true: 200, false: 404}[want != ""]; status != wanted || !strings.Contains(body, want) {
			t.Errorf("GET %s = %d %.200s, want %q", path, status, body, want)
		}
	}
	if code := r.stop(); code != exitOK {
		t.Errorf("exit %d, want 0: %s", code, r.rest)
	}
}

func TestClicksAreStoredAtTheEnd(t *testing.T) {
	dir := t.TempDir()
	carom(t, "import", "--data-dir="+dir, write(t, "links.csv", sampleCSV))
	r := startHere(t, dir, []string{"CAROM_ADMIN_KEY=" + testKey}, "--click-interval=1m")
	for range 10 {
		if status, target := get(t, "http://"+r.addr+"/plain"); status != 302 || target != "https://a.example/" {
			t.Errorf("GET /plain = %d %s", status, target)
		}
	}
	if status, _ := get(t, "http://"+r.addr+"/full"); status != 410 {
		t.Errorf("GET /full = %d, want 410 as it is inactive", status)
	}
	if code := r.stop(); code != exitOK {
		t.Errorf("exit %d, want 0: %s", code, r.rest)
	}
	if out := carom(t, "export", "clicks", "--data-dir="+dir).out; strings.Count(out, "\n") != 11 {
		t.Errorf("exported %s, want 10 clicks", out)
	}
}

func TestTheProgramDrainsOnSIGTERM(t *testing.T) {
	dir := t.TempDir()
	carom(t, "import", "--data-dir="+dir, write(t, "links.csv", sampleCSV))
	r, cmd := startProgram(t, dir, nil)
	refuse(t, invocation{}.run(t, "export", "links", "--data-dir="+dir), exitFail, "--server URL")
	if out, err := exec.CommandContext(t.Context(), program, serveArgs(dir)...).CombinedOutput(); err == nil || !strings.Contains(string(out), dir) {
		t.Errorf("a second server on the same data = %v, %s", err, out)
	}
	if status, _ := get(t, "http://"+r.addr+"/plain"); status != 302 {
		t.Errorf("GET /plain = %d", status)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := r.stop(); code != exitOK || !strings.Contains(r.banner, "The admin key is") {
		t.Errorf("exit %d, %s; want 0 and the banner", code, r.banner)
	}
	if out := carom(t, "export", "clicks", "--data-dir="+dir).out; strings.Count(out, "\n") != 2 {
		t.Errorf("exported %s, want 1 click", out)
	}
}

func TestASecondSignalEndsAtOnce(t *testing.T) {
	r, cmd := startProgram(t, t.TempDir(), nil, "--drain-delay=5m", "--shutdown-timeout=1h")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	r.await("stopping")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := r.stop(); code != exitFail {
		t.Errorf("exit %d, want %d at once", code, exitFail)
	}
}

func TestClicksOutliveTheProgram(t *testing.T) {
	dir := t.TempDir()
	carom(t, "import", "--data-dir="+dir, write(t, "links.csv", sampleCSV))
	r, cmd := startProgram(t, dir, nil, "--click-interval=1m")
	for range 25 {
		get(t, "http://"+r.addr+"/plain")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	r.stop()
	again := startHere(t, dir, nil)
	if code := again.stop(); code != exitOK {
		t.Errorf("exit %d, want 0: %s", code, again.rest)
	}
	if out := carom(t, "export", "clicks", "--data-dir="+dir).out; strings.Count(out, "\n") != 26 {
		t.Errorf("exported %s, want 25 clicks", out)
	}
}

func TestServeForgetsOldClicks(t *testing.T) {
	dir := t.TempDir()
	s := store(t, dir)
	for i, age := range []time.Duration{72 * time.Hour, time.Hour} { // two transactions
		b := &engine.ClickBatch{Node: "n", Moves: []engine.LaneMove{{Lane: i, To: 1}}, Clicks: []engine.Click{{Link: 1, At: time.Now().Add(-age).UnixMicro(), Status: 302}}}
		if err := s.WriteClicks(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r, cmd := startProgram(t, dir, []string{"CAROM_CLICK_RETENTION=48h"})
	const done = "clicks forgotten"
	if !slices.ContainsFunc(r.logs, func(line map[string]any) bool { return line["msg"] == done }) {
		r.await(done)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	r.stop()
	if out := carom(t, "export", "clicks", "--data-dir="+dir, "--format=ndjson").out; strings.Count(out, "\n") != 1 || !strings.HasPrefix(out, `{"id":2,`) {
		t.Errorf("export = %s, want the second click alone", out)
	}
}

func TestServeStartsWithoutItsDatabase(t *testing.T) {
	r := startHere(t, t.TempDir(), []string{"DATABASE_URL=postgres://carom:hunter2@127.0.0.1:1/carom"}, "--shutdown-timeout=1s")
	if status, header, _ := ask(t, "http://"+r.addr+"/plain"); status != 503 || header.Get("Retry-After") == "" {
		t.Errorf("GET /plain = %d %v, want 503 with Retry-After", status, header)
	}
	if status, body := fetch(t, "http://"+r.addr+"/health"); !strings.Contains(body, `"store"`) || strings.Contains(body, "hunter2") {
		t.Errorf("GET /health = %d %s, want it to say that the store is away", status, body)
	}
	// Whether the journal is empty is for the database to say, so the end can't be clean; it comes all the same.
	if code := r.stop(); code != exitFail || strings.Contains(r.rest, "hunter2") {
		t.Errorf("exit %d, want %d: %s", code, exitFail, r.rest)
	}
	for _, args := range [][]string{{"migrate"}, {"keys", "list"}} {
		got := invocation{environ: []string{"DATABASE_URL=postgres://carom:hunter2@127.0.0.1:1/carom"}}.run(t, args...)
		refuse(t, got, exitFail, "database")
		if strings.Contains(got.err, "hunter2") {
			t.Errorf("%q shows a secret", got.err)
		}
	}
}

func TestServeRefusesToStart(t *testing.T) {
	taken := startHere(t, t.TempDir(), nil)
	occupied := write(t, "file", "")
	for want, args := range map[string][]string{
		"address already in use": {"serve", "--data-dir=" + t.TempDir(), "--listen=" + taken.addr, "--admin-listen=off", "--log-level=error"},
		"not a directory":        {"serve", "--data-dir=" + occupied, "--listen=127.0.0.1:0", "--log-level=error"},
	} {
		if r := (invocation{}).run(t, args...); r.code != exitFail || !strings.Contains(r.err, want) {
			t.Errorf("serve = exit %d, %s; want %q", r.code, r.err, want)
		}
	}
}

func TestAdminKeyOfTheSettings(t *testing.T) {
	s := store(t, t.TempDir())
	quiet := slog.New(slog.DiscardHandler)
	for range 2 { // the second start finds it
		if secret, err := ensureAdminKey(t.Context(), s, testKey, quiet); err != nil || secret != "" {
			t.Errorf("ensureAdminKey() = %q, %v", secret, err)
		}
	}
	key, err := s.KeyByHash(t.Context(), engine.HashSecret(testKey))
	if err != nil || !key.Allows(engine.ScopeAdmin) || !key.Valid(time.Now()) {
		t.Errorf("key = %+v, %v", key, err)
	}
	if keys, err := s.ListKeys(t.Context()); err != nil || len(keys) != 1 {
		t.Errorf("keys = %+v, %v; want one", keys, err)
	}
	if secret, err := ensureAdminKey(t.Context(), s, "", quiet); err != nil || secret != "" {
		t.Errorf("ensureAdminKey() = %q, %v; want none beside another key", secret, err)
	}
	if _, err := s.RevokeKey(t.Context(), key.ID, time.Now()); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	if _, err := ensureAdminKey(t.Context(), s, testKey, slog.New(slog.NewTextHandler(&log, nil))); err != nil || !strings.Contains(log.String(), "revoked") {
		t.Errorf("ensureAdminKey() of a revoked key = %v, %s", err, log.String())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, given := range []setting.Secret{"", testKey} {
		if _, err := ensureAdminKey(t.Context(), s, given, quiet); err == nil {
			t.Errorf("ensureAdminKey(%s) on a closed store = nil", given)
		}
	}
}

func TestRefusedClicksAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), refusedFile)
	r := &refusedClicks{path: path}
	for range 2 {
		if err := r.keep(engine.Click{At: 1, Link: 7, Status: 302, UserAgent: []byte("bad \xff")}, errors.New("no such day")); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil || strings.Count(string(text), "\n") != 2 || !strings.Contains(string(text), `"reason":"no such day"`) || !strings.Contains(string(text), `"link_id":7`) {
		t.Errorf("kept %s, %v", text, err)
	}
	if err := (&refusedClicks{path: filepath.Join(path, "x")}).keep(engine.Click{}, errors.New("x")); err == nil {
		t.Error("a click that could not be kept is no error")
	}
}

func TestStopListGoesOnAfterAnError(t *testing.T) {
	var order []string
	l := &stopList{log: slog.New(slog.DiscardHandler)}
	broken := errors.New("broken")
	for _, name := range []string{"first", "second", "third"} {
		l.add(name, func(context.Context) error {
			order = append(order, name)
			if name == "second" {
				return broken
			}
			return nil
		})
	}
	if err := l.run(t.Context(), time.Second); !errors.Is(err, broken) || strings.Join(order, " ") != "third second first" {
		t.Errorf("run() = %v in the order %q", err, order)
	}
}
