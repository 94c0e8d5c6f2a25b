package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/pprof/profile"
)

// pushes takes profiles as Pyroscope does.
type pushes struct {
	*httptest.Server
	mu       sync.Mutex
	profiles []*profile.Profile // guarded by mu
	names    []string           // guarded by mu
}

func startPushes(t *testing.T) *pushes {
	p := &pushes{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		file, _, err := r.FormFile("profile")
		if err != nil || r.URL.Path != "/ingest" {
			t.Errorf("%s %s is no push of a profile: %v", r.Method, r.URL, err)
			return
		}
		defer file.Close()
		body, err := io.ReadAll(file)
		if err != nil || len(body) == 0 { // an idle second has an empty CPU profile
			return
		}
		parsed, err := profile.ParseData(body)
		if err != nil {
			t.Errorf("a pushed profile can't be read: %v", err)
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.profiles = append(p.profiles, parsed)
		p.names = append(p.names, r.URL.Query().Get("name"))
	}))
	t.Cleanup(p.Close)
	return p
}

// seen joins the functions of the profiles that have values of sampleType.
func seen(profiles []*profile.Profile, sampleType string) map[string]bool {
	functions := map[string]bool{}
	for _, p := range profiles {
		for _, s := range p.SampleType {
			if s.Type != sampleType {
				continue
			}
			for _, f := range p.Function {
				functions[f.Name] = true
			}
		}
	}
	return functions
}

// hotPath are functions that a profile of redirects under load has, whatever the compiler inlines.
func hotPath() []string {
	return []string{
		"github.com/carom-dev/carom/edge.(*Server).decide", "github.com/carom-dev/carom/actors.(*Actors).Lookup",
		"github.com/carom-dev/carom/engine/table.(*Table).Lookup", "github.com/carom-dev/carom/persistence/journal.(*Journal).Append",
	}
}

func TestPushedProfilesHaveTheHotPath(t *testing.T) {
	received := startPushes(t)
	watchContention()
	t.Cleanup(func() {
		runtime.SetMutexProfileFraction(0)
		runtime.SetBlockProfileRate(0)
	})
	h := startHits(t)
	sender, err := startProfiler(received.URL, map[string]string{"instance": "n1", "version": "v1.2.3"}, true, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	missing := func() []string {
		received.mu.Lock()
		defer received.mu.Unlock()
		functions := seen(received.profiles, "cpu")
		var not []string
		for _, name := range hotPath() {
			if !functions[name] {
				not = append(not, name)
			}
		}
		for _, sampleType := range []string{"alloc_objects", "alloc_space", "inuse_objects", "inuse_space", "contentions"} {
			if len(seen(received.profiles, sampleType)) == 0 {
				not = append(not, "samples of "+sampleType)
			}
		}
		return not
	}
	// 100 samples a second of all that runs: a round gives some hundred, of which the table's look-up has less than one. It takes a
	// few rounds; that it is in none of so many by chance will not be seen.
	for range 60 {
		for range 50_000 {
			h.hit(t)
		}
		runtime.GC() // the heap's profile is of the latest collection, and sending does not force one
		sender.sender.Flush(true)
		if len(missing()) == 0 {
			break
		}
	}
	if not := missing(); len(not) > 0 {
		t.Errorf("no profile of the load has %v", not)
	}
	if err := sender.stop(t.Context()); err != nil {
		t.Errorf("stop() = %v", err)
	}
	for _, name := range received.names {
		if !strings.HasPrefix(name, "carom") || !strings.Contains(name, "instance=n1") || !strings.Contains(name, "version=v1.2.3") {
			t.Errorf("a profile is named %s, which does not tell the instance and the version", name)
		}
	}
}

func TestProfilesAreFetched(t *testing.T) {
	received := startPushes(t)
	r := startHere(t, t.TempDir(), []string{"PYROSCOPE_SERVER_ADDRESS=" + received.URL}, "--profile-contention")
	// While profiles are sent, too: there is only one CPU profiler.
	for path, sampleType := range map[string]string{
		"profile?seconds=1": "cpu", "allocs": "alloc_space", "heap": "inuse_space", "mutex": "contentions", "block": "contentions",
		"delta_heap": "alloc_space", "delta_mutex": "contentions", "delta_block": "contentions",
	} {
		status, body := fetch(t, "http://"+r.admin+"/debug/pprof/"+path)
		p, err := profile.Parse(bytes.NewReader([]byte(body)))
		if status != http.StatusOK || err != nil {
			t.Errorf("GET /debug/pprof/%s = %d, no profile: %v", path, status, err)
			continue
		}
		types := ""
		for _, s := range p.SampleType {
			types += s.Type + " "
		}
		if !strings.Contains(types, sampleType) {
			t.Errorf("GET /debug/pprof/%s has the samples %s, want %s", path, types, sampleType)
		}
	}
	if status, _ := fetch(t, "http://"+r.addr+"/debug/pprof/heap"); status != http.StatusNotFound {
		t.Errorf("the public listener answers %d for a profile", status)
	}
	if code := r.stop(); code != exitOK {
		t.Errorf("exit %d, want 0: %s", code, r.rest)
	}
}

func TestAServerOfProfilesThatIsAway(t *testing.T) {
	var log lockedBuffer
	p, err := startProfiler("http://127.0.0.1:1", nil, false, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.stop(t.Context()); err != nil {
		t.Errorf("stop() = %v", err)
	}
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "profiles can't be sent") {
		t.Errorf("the log has %q, want one line however many profiles could not be sent", text)
	}
	if _, err := startProfiler("::", nil, false, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a wrong address is no error")
	}
}

func TestAStopOfProfilesIsBounded(t *testing.T) {
	release := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(silent.Close)
	p, err := startProfiler(silent.URL, nil, false, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.stop(ctx); err == nil {
		t.Error("a stop that sent nothing is no error")
	}
	close(release)
}

// lockedBuffer is a log for several goroutines.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
