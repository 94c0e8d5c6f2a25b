package observe_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/carom-dev/carom/loadtest/program"
	"github.com/carom-dev/carom/persistence/testservices"
)

// Secrets that occur nowhere else.
const (
	databasePassword  = "canary-database-password-7f3a"
	redisPassword     = "canary-redis-password-91bc"
	collectorPassword = "canary-collector-password-55d0"
	guessedKey        = "carom_canary_guessed_key_0123456789abcdef"
	visitorV4         = "203.0.113.77"
	visitorV6         = "2001:db8:1234:5678:9abc:def0:1234:5678"
	truncatedV4       = "203.0.113.0"
)

// log collects what the program writes.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// canaries are what must not be found, by what they are.
type canaries map[string]string

func (c canaries) absent(t *testing.T, where, text string) {
	t.Helper()
	for what, secret := range c {
		if i := strings.Index(text, secret); i >= 0 {
			t.Errorf("%s has %s: ...%.200q", where, what, text[max(i-80, 0):])
		}
	}
}

// file looks through a file as bytes, also for the address as bytes.
func (c canaries) file(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c.absent(t, path, string(text))
	if bytes.Contains(text, []byte{203, 0, 113, 77}) {
		t.Errorf("%s has a visitor's whole address as bytes", path)
	}
}

// TestSecretsAreNowhere runs the program through what it does and what it fails at, and looks for secrets in all that it shows
// and keeps. The store is Postgres; TestSecretsAreNotInTheFiles looks into the embedded one.
func TestSecretsAreNowhere(t *testing.T) {
	pg, err := testservices.StartPostgres(testservices.PostgresConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer pg.Close()
	cache, err := testservices.StartRedis("--user", "carom", "on", ">"+redisPassword, "~*", "&*", "+@all")
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	database, err := url.Parse(pg.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	database.User = url.UserPassword("postgres", databasePassword)

	dir, said := t.TempDir(), &log{}
	p := start(t, said, dir, "DATABASE_URL="+database.String(), "REDIS_URL=redis://carom:"+redisPassword+"@"+cache.Addr()+"/0",
		"CAROM_LOG_LEVEL=debug", "CAROM_TRUSTED_PROXIES=127.0.0.0/8", "CAROM_FLIGHT_RECORDER=true", "CAROM_LOOKUP_TIMEOUT=50ms",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_HEADERS=authorization="+collectorPassword, "OTEL_BSP_SCHEDULE_DELAY=200")
	made := exercise(t, p)
	secrets := canaries{
		"the database's password": databasePassword, "Redis's password": redisPassword, "the collector's password": collectorPassword,
		"the admin key": program.AdminKey, "an API key": made, "a guessed key": guessedKey, "a visitor's address": visitorV4, "a visitor's IPv6 address": visitorV6,
	}
	c := visitor(t)
	for _, path := range []string{
		"/metrics", "/health", "/health/ready", "/health/live", "/debug/flight", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1",
		"/debug/pprof/allocs", "/debug/pprof/cmdline", "/debug/pprof/delta_heap", "/debug/pprof/profile?seconds=1", "/nothing",
	} {
		_, text := ask(t, c, http.MethodGet, "http://"+p.Admin+path, nil)
		secrets.absent(t, "GET "+path+" of the admin listener", text)
	}
	rows := dump(t, database)
	secrets.absent(t, "the database", rows)
	if !strings.Contains(rows, truncatedV4) && !strings.Contains(rows, `\xcb007100`) {
		t.Errorf("the database has no truncated address either, so nothing was proved: %.2000s", rows)
	}

	// Failures have a way of quoting what they failed with.
	pg.Kill()
	cache.Kill()
	key := []string{"Authorization", "Bearer " + made}
	for _, path := range []string{"/not-there", "/urls", "/urls/1", "/keys", "/clicks", "/health"} {
		_, text := ask(t, c, http.MethodGet, "http://"+p.Addr+path, nil, append(key, "X-Forwarded-For", visitorV4)...)
		secrets.absent(t, "GET "+path+" without services", text)
	}
	if status, _ := ask(t, c, http.MethodGet, "http://"+p.Addr+"/hello", nil); status != http.StatusFound {
		t.Errorf("GET /hello = %d without services, want 302", status)
	}
	deadline := time.Now().Add(patience)
	noticed := func() bool {
		text := said.String()
		return strings.Contains(text, "clicks can't be stored") && strings.Contains(text, "redis does not answer")
	}
	for !noticed() && time.Now().Before(deadline) {
		_, text := ask(t, c, http.MethodGet, "http://"+p.Admin+"/health", nil)
		secrets.absent(t, "GET /health without services", text)
	}
	if err := p.Stop(patience); err == nil {
		t.Error("a stop that could not store its clicks exits with 0")
	}
	all := said.String()
	secrets.absent(t, "the log", all)
	for _, want := range []string{"redis does not answer", "clicks can't be stored", `"msg":"request"`, "traces can't be sent", truncatedV4} {
		if !strings.Contains(all, want) {
			t.Errorf("the log has no %q, so what failed was not seen: %.3000s", want, all)
		}
	}
	err = filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			secrets.file(t, path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestSecretsAreNotInTheFiles does the same on the embedded store.
func TestSecretsAreNotInTheFiles(t *testing.T) {
	dir, said := t.TempDir(), &log{}
	p := start(t, said, dir, "CAROM_TRUSTED_PROXIES=127.0.0.0/8", "CAROM_LOG_LEVEL=debug")
	made := exercise(t, p)
	secrets := canaries{"the admin key": program.AdminKey, "an API key": made, "a guessed key": guessedKey, "a visitor's address": visitorV4, "a visitor's IPv6 address": visitorV6}
	if err := p.Stop(patience); err != nil {
		t.Error(err)
	}
	secrets.absent(t, "the log", said.String())
	files := 0
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			secrets.file(t, path)
			files++
		}
		return err
	})
	if err != nil || files < 3 {
		t.Errorf("%d files were looked through, %v", files, err)
	}
}

// exercise does what visitors, editors and strangers do, right and wrong, and returns the secret of a key that it made.
func exercise(t *testing.T, p *program.Process) (secret string) {
	t.Helper()
	c := visitor(t)
	admin := []string{"Authorization", "Bearer " + program.AdminKey, "Content-Type", "application/json"}
	do := func(want int, method, path, body string, headers ...string) string {
		t.Helper()
		status, text := ask(t, c, method, "http://"+p.Addr+path, strings.NewReader(body), headers...)
		if status != want {
			t.Errorf("%s %s = %d %s, want %d", method, path, status, text, want)
		}
		return text
	}
	text := do(http.StatusCreated, http.MethodPost, "/keys", `{"name": "canary", "scopes": ["links:read", "links:write", "stats:read"]}`, admin...)
	var key struct{ Key, Secret string }
	if err := json.Unmarshal([]byte(text), &key); err != nil {
		t.Fatal(err)
	}
	if secret = key.Secret + key.Key; len(secret) < 20 {
		t.Fatalf("a new key is %s", text)
	}
	editor := []string{"X-Api-Key", secret, "Content-Type", "application/json", "X-Forwarded-For", visitorV4}
	do(http.StatusCreated, http.MethodPost, "/shorten", `{"url": "https://example.com/", "code": "hello"}`, editor...)
	do(http.StatusConflict, http.MethodPost, "/shorten", `{"url": "https://example.com/", "code": "hello"}`, editor...)
	do(http.StatusBadRequest, http.MethodPost, "/shorten", `{"url": `, editor...)
	do(http.StatusForbidden, http.MethodGet, "/keys", "", editor...)
	do(http.StatusOK, http.MethodPatch, "/urls/1", `{"title": "x"}`, "X-Api-Key", secret, "Content-Type", "application/merge-patch+json")
	do(http.StatusUnauthorized, http.MethodGet, "/urls", "", "Authorization", "Bearer "+guessedKey, "X-Forwarded-For", visitorV4)
	do(http.StatusUnauthorized, http.MethodGet, "/urls?key="+secret+"&token="+guessedKey, "", "X-Forwarded-For", visitorV6)
	do(http.StatusNotFound, http.MethodGet, "/urls/"+guessedKey, "", editor...)
	do(http.StatusNotFound, http.MethodGet, "/unknown", "", "X-Forwarded-For", visitorV4)
	do(http.StatusNotFound, http.MethodGet, "/a/"+secret, "", "X-Forwarded-For", visitorV4)
	for _, from := range []string{visitorV4, visitorV6, "[" + visitorV6 + "]:1234", visitorV4 + ", 127.0.0.1"} {
		do(http.StatusFound, http.MethodGet, "/hello", "", "X-Forwarded-For", from, "User-Agent", "Mozilla/5.0", "Referer", "https://news.example/")
	}
	api := p.API()
	defer api.Close()
	if n, err := api.WaitClicks(t.Context(), []string{"/urls/1"}, 4, patience); err != nil || n != 4 {
		t.Errorf("%d clicks are stored, %v; want 4", n, err)
	}
	do(http.StatusOK, http.MethodGet, "/clicks", "", editor...)
	do(http.StatusOK, http.MethodGet, "/urls/1/audit", "", editor...)
	return secret
}

// dump is all rows of a database as text.
func dump(t *testing.T, database *url.URL) string {
	t.Helper()
	name := "pg_dump"
	if _, err := exec.LookPath(name); err != nil {
		found, err := filepath.Glob("/usr/lib/postgresql/*/bin/pg_dump")
		if err != nil || len(found) == 0 {
			t.Fatal("there is no pg_dump; on Debian: apt-get install postgresql-client")
		}
		name = found[len(found)-1]
	}
	out, err := exec.CommandContext(t.Context(), name, "--data-only", "--inserts", database.String()).Output()
	if err != nil {
		t.Fatalf("pg_dump: %v", err)
	}
	return string(out)
}
