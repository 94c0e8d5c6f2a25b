package main

import (
	"bufio"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestASlowRequestKeepsItsTrace(t *testing.T) {
	dir := t.TempDir()
	r, cmd := startProgram(t, dir, []string{"CAROM_ADMIN_KEY=" + testKey}, "--flight-recorder", "--flight-latency=1ms")
	// An import of many links takes longer than a millisecond.
	lines := strings.Repeat(`{"url": "https://example.com/a/long/way/to/go"}`+"\n", 5000)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+r.addr+"/shorten", strings.NewReader(lines))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+testKey)
	request.Header.Set("Content-Type", "application/x-ndjson")
	client := http.Client{Timeout: 30 * time.Second}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	client.CloseIdleConnections()
	r.await("request was slow; see its trace with go tool trace")
	told, _ := r.logs[len(r.logs)-1]["trace"].(string)
	if what := r.logs[len(r.logs)-1]["what"]; what != "POST /shorten" {
		t.Errorf("the slow request was %v", what)
	}
	if text, err := os.ReadFile(told); err != nil || filepath.Dir(told) != dir || !strings.HasPrefix(string(text), "go 1.") {
		t.Errorf("the trace in %s is %.10q, %v", told, text, err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := r.stop(); code != exitOK {
		t.Errorf("exit %d: %s", code, r.rest)
	}
}

func TestOnlyTheLatestTracesAreKept(t *testing.T) {
	dir := t.TempDir()
	f, err := startFlight(t.Context(), dir, time.Second, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for range flightsKept + 3 {
		if _, err := f.keep(); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.end(t.Context()); err != nil {
		t.Fatal(err)
	}
	kept, err := filepath.Glob(filepath.Join(dir, flightPattern))
	if err != nil || len(kept) != flightsKept {
		t.Errorf("%d traces are kept (%v), want %d", len(kept), err, flightsKept)
	}
	if _, err := f.keep(); err == nil {
		t.Error("a trace was kept after the end")
	}
	if kept, err := filepath.Glob(filepath.Join(dir, flightPattern)); err != nil || len(kept) != flightsKept {
		t.Errorf("%d traces are there after one could not be made (%v)", len(kept), err)
	}
}

// TestSlowRequestsAreNotWaitedFor holds that whoever tells of a slow request goes on at once, and that a slow hour makes one trace a minute.
func TestSlowRequestsAreNotWaitedFor(t *testing.T) {
	idle := &flight{bound: time.Millisecond, slow: make(chan slowRequest, 1)}
	idle.took("redirect", time.Millisecond)
	for range 3 {
		idle.took("look-up", time.Second)
	}
	if len(idle.slow) != 1 || (<-idle.slow).what != "look-up" {
		t.Error("of three slow requests not one waits to be looked after")
	}
	never := &flight{slow: make(chan slowRequest, 1)}
	if never.took("redirect", time.Hour); len(never.slow) != 0 {
		t.Error("without a bound a request is slow")
	}
	logs, writer := io.Pipe()
	dir := t.TempDir()
	f, err := startFlight(t.Context(), dir, time.Millisecond, slog.New(slog.NewTextHandler(writer, nil)))
	if err != nil {
		t.Fatal(err)
	}
	f.took("redirect", time.Second)
	if line, err := bufio.NewReader(logs).ReadString('\n'); err != nil || !strings.Contains(line, "what=redirect took=1s") {
		t.Errorf("the log has %q, %v", line, err)
	}
	for range 3 { // that the third has room says that the first was taken, and passed over
		f.slow <- slowRequest{"redirect", time.Second}
	}
	if err := f.end(t.Context()); err != nil {
		t.Fatal(err)
	}
	if kept, err := filepath.Glob(filepath.Join(dir, flightPattern)); err != nil || len(kept) != 1 {
		t.Errorf("%d traces are kept (%v) of slow requests in one minute, want 1", len(kept), err)
	}
}
