package faults_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/carom-dev/carom/loadtest/program"
	"github.com/carom-dev/carom/persistence/testservices"
)

// patience is far above what anything here takes, also under the race detector on a busy machine.
const patience = 40 * time.Second

// instance is a running carom.
type instance struct {
	*program.Process
	api    *program.API
	http   *http.Client
	binary string
	dir    string
	env    []string
}

// start runs a carom on a data directory with further settings. It is killed at the end of the test if it is still there, and its
// log is shown if the test failed.
func start(t *testing.T, dir string, env ...string) *instance {
	t.Helper()
	return startBinary(t, caromBinary, dir, env...)
}

// startFailpoint is start for the program with the failpoints in it.
func startFailpoint(t *testing.T, dir string, env ...string) *instance {
	t.Helper()
	binary, err := failpointCarom()
	if err != nil {
		t.Fatal(err)
	}
	return startBinary(t, binary, dir, env...)
}

func startBinary(t *testing.T, binary, dir string, env ...string) *instance {
	t.Helper()
	log := &program.Tail{}
	all := env
	if cover := os.Getenv(envCoverDir); cover != "" {
		all = append([]string{"GOCOVERDIR=" + cover}, env...)
	}
	p, err := program.Start(t.Context(), program.Config{Binary: binary, DataDir: dir, Env: all, Stderr: log})
	if err != nil {
		t.Fatal(err)
	}
	i := &instance{Process: p, api: p.API(), binary: binary, dir: dir, env: env, http: &http.Client{
		Timeout:       patience,
		Transport:     &http.Transport{MaxIdleConnsPerHost: 64},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	t.Cleanup(func() {
		i.api.Close()
		i.http.CloseIdleConnections()
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("log of carom at %s:\n%s", p.Addr, log)
		}
	})
	return i
}

// again starts a carom that is gone on the same data.
func again(t *testing.T, i *instance) *instance {
	t.Helper()
	return startBinary(t, i.binary, i.dir, i.env...)
}

func kill(t *testing.T, i *instance) {
	t.Helper()
	if err := i.Kill(); err != nil {
		t.Fatal(err)
	}
}

// stop ends a carom kindly; it has to drain and to exit with 0.
func stop(t *testing.T, i *instance) {
	t.Helper()
	if err := i.Stop(patience); err != nil {
		t.Fatal(err)
	}
}

// onDatabase and onBus are the settings of an instance that shares them.
func onDatabase(url string) string { return "DATABASE_URL=" + url }
func onBus(url string) string      { return "REDIS_URL=" + url }

// ownBus is a prefix on the shared Redis for one test.
func ownBus(t *testing.T) string {
	t.Helper()
	return "CAROM_REDIS_PREFIX=" + strings.ReplaceAll(t.Name(), "/", "-")
}

// answer is what came back from an instance.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do sends a request with the admin key.
func (i *instance) do(ctx context.Context, method, path, kind, body string) (a answer, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+i.Addr+path, strings.NewReader(body))
	if err != nil {
		return a, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+program.AdminKey)
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	return i.send(req)
}

func (i *instance) send(req *http.Request) (a answer, err error) {
	resp, err := i.http.Do(req)
	if err != nil {
		return a, fmt.Errorf("ask: %w", err)
	}
	defer resp.Body.Close()
	a.status, a.header = resp.StatusCode, resp.Header
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		return a, fmt.Errorf("read answer: %w", err)
	}
	return a, nil
}

// visit follows a short link once, as a visitor of some name.
func (i *instance) visit(ctx context.Context, code, name string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+i.Addr+"/"+code, nil)
	if err != nil {
		return answer{}, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("User-Agent", userAgent+name)
	return i.send(req)
}

// visited follows a short link and fails when there is no answer.
func visited(t *testing.T, i *instance, code string) answer {
	t.Helper()
	a, err := i.visit(t.Context(), code, "")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// edit gives a link another target and returns what the answer said about who knows it.
func edit(t *testing.T, i *instance, path, target string) string {
	t.Helper()
	a, err := i.do(t.Context(), http.MethodPatch, path, "application/merge-patch+json", fmt.Sprintf(`{"url":%q}`, target))
	if err != nil {
		t.Fatal(err)
	}
	if a.status != http.StatusOK {
		t.Fatalf("edit of %s: %d %s", path, a.status, a.body)
	}
	return a.header.Get("Carom-Propagation")
}

func shorten(t *testing.T, i *instance, link map[string]any) program.Link {
	t.Helper()
	l, err := i.api.Shorten(t.Context(), link)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// shortenMany makes n links whose codes begin with prefix, and returns the codes.
func shortenMany(t *testing.T, i *instance, prefix string, n int) []string {
	t.Helper()
	const atOnce = 1000
	codes := make([]string, n)
	var lines bytes.Buffer
	for k := range n {
		codes[k] = fmt.Sprintf("%s%d", prefix, k)
		fmt.Fprintf(&lines, "{\"code\":%q,\"url\":\"https://example.com/%s\"}\n", codes[k], codes[k])
		if (k+1)%atOnce != 0 && k+1 < n {
			continue
		}
		a, err := i.do(t.Context(), http.MethodPost, "/shorten", "application/x-ndjson", lines.String())
		if err != nil || a.status != http.StatusOK {
			t.Fatalf("make links: %v, %d %s", err, a.status, a.body)
		}
		if want, got := min(k%atOnce+1, n), bytes.Count(a.body, []byte(`"created"`)); got != want {
			t.Fatalf("%d links made, want %d: %.300s", got, want, a.body)
		}
		lines.Reset()
	}
	return codes
}

// part is what an instance says of one of its parts.
type part struct {
	Status string `json:"status"`
	Output string `json:"output"`
}

// health asks an instance how its parts are.
func (i *instance) health(ctx context.Context) (map[string]part, error) {
	a, err := i.do(ctx, http.MethodGet, "/health", "", "")
	if err != nil {
		return nil, err
	}
	var said struct {
		Checks map[string][]part `json:"checks"`
	}
	if err := json.Unmarshal(a.body, &said); err != nil {
		return nil, fmt.Errorf("read health %q: %w", a.body, err)
	}
	parts := map[string]part{}
	for name, all := range said.Checks {
		parts[name] = all[0]
	}
	return parts, nil
}

// until asks again and again until done says so, and returns how long that took.
func until(t *testing.T, what string, done func() bool) time.Duration {
	t.Helper()
	return untilEvery(t, 5*time.Millisecond, what, done)
}

func untilEvery(t *testing.T, interval time.Duration, what string, done func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for !done() {
		if time.Since(began) > patience {
			t.Fatalf("not within %v: %s", patience, what)
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal(context.Cause(t.Context()))
		}
	}
	return time.Since(began)
}

// waitHealth waits until a part has a status, and returns how long that took and what it says. Health is asked at most once a second,
// so the time may be up to a second longer than it was for the part.
func waitHealth(t *testing.T, i *instance, name, status string) (time.Duration, string) {
	t.Helper()
	var last part
	took := until(t, name+" is at "+status, func() bool {
		parts, err := i.health(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		last = parts[name]
		return last.Status == status
	})
	return took, last.Output
}

// waitTogether waits until each instance knows of all.
func waitTogether(t *testing.T, instances ...*instance) {
	t.Helper()
	l := shorten(t, instances[0], map[string]any{"url": "https://example.com/together"})
	want := fmt.Sprintf("%d/%d", len(instances), len(instances))
	for k, i := range instances {
		edits := 0
		untilEvery(t, 50*time.Millisecond, want+" instances know an edit", func() bool {
			edits++
			return edit(t, i, l.Path(), fmt.Sprintf("https://example.com/together/%d/%d", k, edits)) == want
		})
	}
}

// proxied starts a proxy in front of a service for the test, and returns the service's URL through it.
func proxied(t *testing.T, addr, url string) (*testservices.Proxy, string) {
	t.Helper()
	p, err := testservices.StartProxy(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	through, err := p.URL(url)
	if err != nil {
		t.Fatal(err)
	}
	return p, through
}

// ownPostgres is a server that the test may stop.
func ownPostgres(t *testing.T) *testservices.Postgres {
	t.Helper()
	return startPostgres(t, testservices.PostgresConfig{Durable: true})
}

func startPostgres(t *testing.T, cfg testservices.PostgresConfig) *testservices.Postgres {
	t.Helper()
	pg, err := testservices.StartPostgres(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Close(); err != nil {
			t.Error(err)
		}
	})
	return pg
}

// ownRedis is a server that the test may stop.
func ownRedis(t *testing.T) *testservices.Redis {
	t.Helper()
	r, err := testservices.StartRedis()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}
