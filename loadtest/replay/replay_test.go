package main

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const lines = `{"_heartbeat_": 1331923261}
{"h": "a", "u": "http://a.example/", "a": "one", "al": "en", "r": "http://r.example/x"}

{"h": "b", "u": "http://b.example/", "a": "two", "r": "direct"}
{"h": "a", "u": "http://a.example/", "r": "direct"}
`

// target answers as a Carom would and keeps what it was asked.
type target struct {
	mu    sync.Mutex
	asked []string     // guarded by mu
	after atomic.Int64 // the request that breaks
	shed  atomic.Int64 // how many requests are shed at first
}

func (s *target) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.after.Add(-1) == 0 {
		panic(http.ErrAbortHandler) // the connection breaks without an answer
	}
	if s.shed.Add(-1) >= 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	s.mu.Lock()
	s.asked = append(s.asked, strings.Join([]string{r.URL.Path, r.UserAgent(), r.Header.Get("Accept-Language"), r.Referer()}, "|"))
	s.mu.Unlock()
	w.Header().Set("Location", "http://example.com/")
	w.WriteHeader(http.StatusFound)
}

func setup(t *testing.T, clicks string) (*target, config) {
	t.Helper()
	s := &target{}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "clicks.jsonl")
	if err := os.WriteFile(file, []byte(clicks), 0o600); err != nil {
		t.Fatal(err)
	}
	return s, config{
		Server: server.Listener.Addr().String(), Clicks: file, Connections: 1, Repeat: 1, Timeout: 5 * time.Second,
		Answered: filepath.Join(t.TempDir(), "answered"),
	}
}

func TestReplaySendsEachClickAsItWas(t *testing.T) {
	s, cfg := setup(t, lines)
	got, err := replay(t.Context(), cfg)
	if err != nil || got.Answered != 3 || got.Unanswered != 0 || got.Before != 0 {
		t.Fatalf("replay = %+v, %v, want 3 answered", got, err)
	}
	want := "/a|one|en|http://r.example/x\n/b|two||\n/a|||"
	if asked := strings.Join(s.asked, "\n"); asked != want {
		t.Errorf("asked\n%s\nwant\n%s", asked, want)
	}
	notes, err := os.ReadFile(cfg.Answered)
	if err != nil || string(notes) != "0\ta\t1\n1\tb\t1\n2\ta\t1\n" {
		t.Errorf("answered clicks %q, %v", notes, err)
	}
}

func TestReplayGoesOnWhereTheServerWentAway(t *testing.T) {
	s, cfg := setup(t, lines)
	cfg.Mark = true
	s.after.Store(2)
	got, err := replay(t.Context(), cfg)
	if err != nil || got.Answered != 1 || got.Unanswered != 2 || got.Gone == nil {
		t.Fatalf("replay = %+v, %v, want 1 answered and the server gone", got, err)
	}
	got, err = replay(t.Context(), cfg)
	if err != nil || got.Answered != 2 || got.Unanswered != 0 || got.Before != 1 {
		t.Fatalf("replay again = %+v, %v, want the other 2 answered", got, err)
	}
	want := "/a|one click/0.1|en|http://r.example/x\n/b|two click/1.2||\n/a|click/2.2||"
	if asked := strings.Join(s.asked, "\n"); asked != want {
		t.Errorf("asked\n%s\nwant each once, with the attempt that was answered\n%s", asked, want)
	}
}

func TestReplaySendsAShedClickAgain(t *testing.T) {
	s, cfg := setup(t, lines)
	s.shed.Store(2)
	got, err := replay(t.Context(), cfg)
	if err != nil || got.Answered != 3 || len(s.asked) != 3 {
		t.Errorf("replay = %+v, %v with %d clicks taken, want 3", got, err, len(s.asked))
	}
}

func TestReplayRepeats(t *testing.T) {
	s, cfg := setup(t, lines)
	cfg.Repeat, cfg.Connections = 10, 4
	got, err := replay(t.Context(), cfg)
	if err != nil || got.Answered != 30 || len(s.asked) != 30 {
		t.Errorf("replay = %+v, %v with %d requests, want 30", got, err, len(s.asked))
	}
}

func TestReplayKeepsItsRate(t *testing.T) {
	_, cfg := setup(t, lines)
	cfg.Rate = 20
	got, err := replay(t.Context(), cfg)
	if err != nil || got.Answered != 3 || got.Took < 2*time.Second/20 {
		t.Errorf("replay = %+v, %v, want 3 answered, the last not before %v", got, err, 2*time.Second/20)
	}

	cfg.Rate, cfg.Repeat, cfg.Answered = 1, 3600, ""
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if got, err := replay(ctx, cfg); !errors.Is(err, context.Canceled) || got.Unanswered == 0 {
		t.Errorf("replay = %+v, %v, want it to end with its context", got, err)
	}
}

func TestReplayStopsWithoutAServer(t *testing.T) {
	_, cfg := setup(t, lines)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	cfg.Server = ln.Addr().String()
	if got, err := replay(t.Context(), cfg); err != nil || got.Unanswered != 3 || got.Gone == nil {
		t.Errorf("replay = %+v, %v, want 3 unanswered", got, err)
	}
}

func TestReplayRefusesWhatItCanNotReplay(t *testing.T) {
	for name, clicks := range map[string]string{
		"no JSON": "hello\n", "no code": `{"u": "http://a.example/"}`, "a path": `{"h": "a/b"}`, "a line end in a header": `{"h": "a", "a": "x\r\ny"}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, cfg := setup(t, clicks)
			if got, err := replay(t.Context(), cfg); err == nil {
				t.Errorf("replay = %+v, want an error", got)
			}
		})
	}
	_, cfg := setup(t, lines)
	if err := os.WriteFile(cfg.Answered, []byte("hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := replay(t.Context(), cfg); err == nil {
		t.Error("a file of answered clicks that is none was accepted")
	}
	cfg.Clicks += "-missing"
	if _, err := replay(t.Context(), cfg); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no clicks: %v, want a missing file", err)
	}
}

func TestReplayRefusesAnAnswerThatIsNoRedirect(t *testing.T) {
	_, cfg := setup(t, lines)
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	cfg.Server = server.Listener.Addr().String()
	if _, err := replay(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "status 404") {
		t.Errorf("replay to a server that knows no code: %v, want its 404", err)
	}
}

func TestReplayEndsWithItsContext(t *testing.T) {
	_, cfg := setup(t, lines)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := replay(ctx, cfg); err == nil {
		t.Errorf("replay = %+v, want the context's error", got)
	}
}
