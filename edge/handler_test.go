package edge

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// fakeAPI answers its words with 299 and the path; "shorten/panic" panics.
type fakeAPI struct{}

func (fakeAPI) Handle(ctx *fasthttp.RequestCtx) {
	if bytes.HasSuffix(ctx.Path(), []byte("/panic")) {
		panic("poison")
	}
	ctx.SetStatusCode(299)
	ctx.SetBodyString(string(ctx.Method()) + " " + string(ctx.URI().PathOriginal()))
}

func (a fakeAPI) Operate(ctx *fasthttp.RequestCtx) { a.Handle(ctx) }
func (fakeAPI) Words() []string                    { return []string{"shorten", "urls", "openapi.json"} }

func TestRouting(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.API = fakeAPI{} })
	for _, tt := range []struct {
		line   string
		status int
		body   string
	}{
		{"GET /urls", 299, "GET /urls"},
		{"GET /urls/1/audit", 299, "GET /urls/1/audit"},
		{"POST /shorten", 299, "POST /shorten"},
		{"GET /openapi.json", 299, "GET /openapi.json"},
		{"GET /urlsx", 404, ""},
		{"GET /URLS", 404, ""},
		{"POST /abc", 405, ""},
		{"DELETE /abc", 405, ""},
		{"OPTIONS /abc", 405, ""},
		{"POST /", 405, ""},
		{"POST /a/b", 404, ""},
		{"GET /", 200, "Short links are answered here"},
		{"GET /robots.txt", 200, "User-agent: *\nDisallow: /\n"},
		{"GET /favicon.ico", 204, ""},
		{"BREW /abc", 405, ""},
	} {
		got := f.ask(t, tt.line+" HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
		if got.status != tt.status || !strings.Contains(got.body, tt.body) {
			t.Errorf("%s = %d %q, want %d %q", tt.line, got.status, got.body, tt.status, tt.body)
		}
		if tt.status == 405 && got.get("Allow") != "GET, HEAD" {
			t.Errorf("%s has Allow %q, want GET, HEAD", tt.line, got.get("Allow"))
		}
	}
	if st := f.Stats(); st.Managed != 4 {
		t.Errorf("Stats().Managed = %d, want 4", st.Managed)
	}
}

func TestHomeURL(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.HomeURL = "https://www.example.com/start" })
	if got := f.get(t, "/"); got.status != 302 || got.get("Location") != "https://www.example.com/start" {
		t.Errorf("GET / = %d to %q, want a redirect home", got.status, got.get("Location"))
	}
}

func TestHomeURLIsSentAsATargetIs(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.HomeURL = "HTTPS://Bücher.example/Straße?ä#ö" })
	if got, want := f.get(t, "/").get("Location"), "https://xn--bcher-kva.example/Stra%C3%9Fe?%C3%A4#%C3%B6"; got != want {
		t.Errorf("GET / leads to %q, want %q", got, want)
	}
}

func TestPanicIsAnswered(t *testing.T) {
	var log bytes.Buffer
	f := newFixture(t, func(c *Config) {
		c.API = fakeAPI{}
		c.Logger = slog.New(slog.NewJSONHandler(&log, nil))
	})
	got := f.get(t, "/urls/panic", "X-Request-ID: r1")
	if got.status != 500 || got.get("X-Request-ID") != "r1" || !strings.Contains(got.body, `"request_id":"r1"`) || strings.Contains(got.body, "poison") {
		t.Errorf("a panic = %d %s, want a 500 that tells the request id alone", got.status, got.body)
	}
	if !strings.Contains(log.String(), "poison") || !strings.Contains(log.String(), "r1") {
		t.Errorf("log = %s, want the panic with the request id", log.String())
	}
	if st := f.Stats(); st.Panics != 1 {
		t.Errorf("Stats().Panics = %d, want 1", st.Panics)
	}
}

func TestConfigValidate(t *testing.T) {
	ok := Config{Resolver: &fakeResolver{}, Clicks: &fakeJournal{}, Visitors: fakeHasher{}}
	if err := ok.Validate(); err != nil {
		t.Errorf("Validate of a good config: %v", err)
	}
	for field, spoil := range map[string]func(*Config){
		"Resolver":       func(c *Config) { c.Resolver = nil },
		"Shards":         func(c *Config) { c.Shards = 3 },
		"Listeners":      func(c *Config) { c.Listeners = 65 },
		"Concurrency":    func(c *Config) { c.Concurrency = -1 },
		"TrustedProxies": func(c *Config) { c.ProxyProtocol = true },
		"IdleTimeout":    func(c *Config) { c.IdleTimeout = -1 },
		"HomeURL":        func(c *Config) { c.HomeURL = "javascript:x" },
		"HomeURL is":     func(c *Config) { c.HomeURL = "https://example.com/a b" },
	} {
		c := ok
		spoil(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("New with a bad %s: %v, want an error that names it", field, err)
		}
	}
}

func FuzzPath(f *testing.F) {
	for _, seed := range []string{"/abc", "/%61bc", "//abc", "/abc?x=y", "/a/b", "/\x00", "*", "http://x/abc", "/abc#f", "/fwd?\xff'\"", "/urls/..", "/fwd?a#b"} {
		f.Add(seed)
	}
	s := newFixture(f, func(c *Config) { c.API = fakeAPI{} })
	f.Fuzz(func(t *testing.T, path string) {
		if strings.ContainsAny(path, " \r\n") || path == "" || strings.HasSuffix(path, "/panic") {
			return
		}
		ctx := &fasthttp.RequestCtx{}
		if !tryRequest(ctx, "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n") {
			return
		}
		s.handle(ctx)
		switch status := ctx.Response.StatusCode(); status {
		case 200, 204, 299, 301, 302, 307, 308, 400, 404, 410, 503:
		default:
			t.Errorf("GET %q = %d", path, status)
		}
		location := string(ctx.Response.Header.Peek("Location"))
		if location != "" && !strings.HasPrefix(location, "https://example.com/") {
			t.Errorf("GET %q leads to %q", path, location)
		}
		if strings.ContainsAny(location, "\r\n \x00") {
			t.Errorf("GET %q has the Location %q", path, location)
		}
	})
}
