package api

import (
	"bufio"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"

	"github.com/carom-dev/carom/engine"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp keeps one goroutine for the Date header for as long as the process lives.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		// Its worker pool looks only every 10 seconds whether it has ended.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	)
}

type fixture struct {
	*API
	store   *fakeStore
	bus     *fakeAnnouncer
	secrets map[engine.Scope]string
	clock   time.Time
}

// newFixture makes an API with one key a scope; change may alter its config.
func newFixture(t testing.TB, change func(*Config)) *fixture {
	t.Helper()
	f := &fixture{
		store: &fakeStore{idem: map[string]idemEntry{}}, bus: &fakeAnnouncer{}, secrets: map[engine.Scope]string{},
		clock: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	for i, scope := range engine.Scopes() {
		key, secret, err := engine.NewAPIKey(string(scope), []engine.Scope{scope}, f.clock, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		key.ID = engine.KeyID(i + 1)
		f.store.keys = append(f.store.keys, key)
		f.secrets[scope] = secret
	}
	cfg := Config{Links: f.store, Keys: f.store, Clicks: f.store, Announcer: f.bus, BaseURL: "https://sho.rt", Node: "node", Now: func() time.Time { return f.clock }}
	if change != nil {
		change(&cfg)
	}
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f.API = a
	t.Cleanup(a.Close)
	return f
}

// answer is a response as a client sees it.
type answer struct {
	status int
	header *fasthttp.ResponseHeader
	body   string
}

func (a answer) get(name string) string { return string(a.header.Peek(name)) }

// fields are the names in a problem's errors.
func (a answer) fields(t testing.TB) []string {
	t.Helper()
	var p struct {
		Errors []struct {
			Field, Detail string
		} `json:"errors"`
	}
	if err := json.Unmarshal([]byte(a.body), &p, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatalf("body %q: %v", a.body, err)
	}
	names := []string{}
	for _, e := range p.Errors {
		names = append(names, e.Field)
	}
	return names
}

func (a answer) into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		t.Fatalf("body %q: %v", a.body, err)
	}
}

// raw runs one request through the handler.
func (f *fixture) raw(t testing.TB, request string) answer {
	t.Helper()
	return through(t, f.Handle, request)
}

// operate is raw on an operator's listener.
func (f *fixture) operate(t testing.TB, request string) answer {
	t.Helper()
	return through(t, f.Operate, request)
}

func through(t testing.TB, handle fasthttp.RequestHandler, request string) answer {
	t.Helper()
	ctx := &fasthttp.RequestCtx{}
	ctx.Init(&fasthttp.Request{}, net.TCPAddrFromAddrPort(netip.MustParseAddrPort("198.51.100.7:1234")), nil)
	ctx.Request.Header.DisableNormalizing()
	ctx.Response.Header.DisableNormalizing()
	if err := ctx.Request.Read(bufio.NewReaderSize(strings.NewReader(request), 8<<10)); err != nil {
		t.Fatalf("Read(%.200q): %v", request, err)
	}
	handle(ctx)
	return answer{ctx.Response.StatusCode(), &ctx.Response.Header, string(ctx.Response.Body())}
}

// ask makes a request with the admin key. headers are lines.
func (f *fixture) ask(t testing.TB, method, path, body string, headers ...string) answer {
	t.Helper()
	return f.as(t, engine.ScopeAdmin, method, path, body, headers...)
}

func (f *fixture) as(t testing.TB, scope engine.Scope, method, path, body string, headers ...string) answer {
	t.Helper()
	var b strings.Builder
	b.WriteString(method + " " + path + " HTTP/1.1\r\nHost: sho.rt\r\nAuthorization: Bearer " + f.secrets[scope] + "\r\n")
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	if body != "" {
		b.WriteString("Content-Length: " + itoa(len(body)) + "\r\n")
	}
	return f.raw(t, b.String()+"\r\n"+body)
}

func itoa(n int) string {
	b, _ := json.Marshal(n)
	return string(b)
}
