package api

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/engine/limit"
)

// TestScopes asks each route with a key of each scope, with an unknown key and with none.
func TestScopes(t *testing.T) {
	body := map[string]string{
		"POST /shorten": `{"url":"https://example.com"}`, "PUT /urls/{id}": `{"url":"https://example.com"}`, "PATCH /urls/{id}": `{}`,
		"POST /keys": `{"name":"n","scopes":["admin"]}`,
	}
	f := newFixture(t, nil)
	f.store.insert(engine.Link{Code: "abc", Target: "https://example.com/", Active: true, RedirectStatus: 302}, engine.ActionCreated, engine.Author{})
	for _, rt := range f.routes() {
		path := strings.Replace(rt.path, "{id}", "1", 1)
		if rt.path == "/keys/{id}" {
			path = "/keys/5" // made by POST /keys before
		}
		line := rt.method + " " + rt.path
		for _, scope := range engine.Scopes() {
			want := rt.open || scope == rt.scope || scope == engine.ScopeAdmin
			got := f.as(t, scope, rt.method, path, body[line])
			if want && got.status == 403 || !want && got.status != 403 || got.status >= 500 {
				t.Errorf("%s with %s = %d %s, want allowed: %v", line, scope, got.status, got.body, want)
			}
			if !want && !strings.Contains(got.body, string(rt.scope)) {
				t.Errorf("%s with %s says %s, want the scope %s named", line, scope, got.body, rt.scope)
			}
		}
		for _, header := range []string{"", "Authorization: Bearer carom_wrong\r\n", "X-Api-Key: x\r\n", "Authorization: Basic eDp5\r\n", "Authorization: Bearer \r\n"} {
			got := f.raw(t, rt.method+" "+path+" HTTP/1.1\r\nHost: a\r\n"+header+"\r\n")
			if rt.open {
				if got.status == 401 {
					t.Errorf("%s without a key = 401, want it open", line)
				}
				continue
			}
			if got.status != 401 || !strings.HasPrefix(got.get("WWW-Authenticate"), "Bearer ") {
				t.Errorf("%s with %q = %d, WWW-Authenticate %q; want 401 with a challenge", line, header, got.status, got.get("WWW-Authenticate"))
			}
		}
	}
}

func TestKeysByBothHeaders(t *testing.T) {
	f := newFixture(t, nil)
	secret := f.secrets[engine.ScopeLinksRead]
	for _, header := range []string{"Authorization: Bearer " + secret, "authorization: bearer  " + secret, "X-Api-Key: " + secret, "x-api-key: " + secret} {
		if got := f.raw(t, "GET /urls HTTP/1.1\r\nHost: a\r\n"+header+"\r\n\r\n"); got.status != 200 {
			t.Errorf("%.20s = %d, want 200", header, got.status)
		}
	}
	if got := f.raw(t, "GET /urls HTTP/1.1\r\nHost: a\r\nX-Api-Key: "+strings.Repeat("x", 600)+"\r\n\r\n"); got.status != 401 || f.store.lookups != 1 {
		t.Errorf("a key of 600 bytes = %d after %d look-ups, want 401 without one", got.status, f.store.lookups)
	}
}

func TestKeysAreCachedForSeconds(t *testing.T) {
	f := newFixture(t, nil)
	for range 10 {
		f.ask(t, "GET", "/urls", "")
		f.raw(t, "GET /urls HTTP/1.1\r\nHost: a\r\nX-Api-Key: carom_unknown\r\n\r\n")
	}
	if f.store.lookups != 11 {
		t.Errorf("%d look-ups, want one for the known key and one for each use of the unknown, which may be made at any moment", f.store.lookups)
	}
	f.store.keys[3].RevokedAt = f.clock // on another instance
	if got := f.ask(t, "GET", "/urls", ""); got.status != 200 {
		t.Errorf("a key revoked elsewhere = %d at once, want 200", got.status)
	}
	f.clock = f.clock.Add(keyTTL)
	if got := f.ask(t, "GET", "/urls", ""); got.status != 401 {
		t.Errorf("a key revoked elsewhere = %d after %v, want 401", got.status, keyTTL)
	}
}

// TestKeyInUseOutlivesItsCache has somebody on the user's own network guess keys until the network may not.
func TestKeyInUseOutlivesItsCache(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Rate = limit.Rate{Requests: 10, Period: time.Minute} })
	guess := func() int {
		return f.raw(t, "GET /urls HTTP/1.1\r\nHost: a\r\nX-Api-Key: carom_unknown\r\n\r\n").status
	}
	if got := f.ask(t, "GET", "/urls", ""); got.status != 200 {
		t.Fatalf("a known key = %d, want 200", got.status)
	}
	for guess() != 429 {
	}
	f.clock = f.clock.Add(keyTTL)
	if guess() != 429 {
		t.Fatal("whoever guesses is let in again, so nothing is shown")
	}
	if got := f.ask(t, "GET", "/urls", ""); got.status != 200 {
		t.Errorf("a key in use = %d while its network is over the limit, want 200", got.status)
	}
	f.store.keys[3].RevokedAt = f.clock
	f.clock = f.clock.Add(keyTTL)
	for range 2 {
		if got := f.ask(t, "GET", "/urls", ""); got.status == 200 {
			t.Errorf("a key that was revoked = %d, want it refused", got.status)
		}
	}
	lookups := f.store.lookups
	f.store.keys = slices.Delete(f.store.keys, 3, 4)
	f.clock = f.clock.Add(keyTTL)
	for range 3 {
		if got := f.ask(t, "GET", "/urls", ""); got.status == 200 {
			t.Errorf("a key that is gone = %d, want it refused", got.status)
		}
	}
	if n := f.store.lookups - lookups; n != 1 {
		t.Errorf("%d look-ups of a key that is gone, want one: it is unknown from then on, and its network over the limit", n)
	}
}

func TestKeyCacheIsBounded(t *testing.T) {
	c := newKeyCache()
	for i := range keysMax + 10 {
		c.put(engine.HashSecret(itoa(i)), engine.APIKey{}, time.Unix(0, 0))
	}
	if n := len(c.keys); n > keysMax {
		t.Errorf("the cache holds %d keys, want at most %d", n, keysMax)
	}
}

func TestExpiredKey(t *testing.T) {
	f := newFixture(t, nil)
	f.store.keys[3].ExpiresAt = f.clock.Add(time.Second)
	if got := f.ask(t, "GET", "/urls", ""); got.status != 200 {
		t.Errorf("before the expiry = %d, want 200", got.status)
	}
	f.clock = f.clock.Add(time.Second)
	if got := f.ask(t, "GET", "/urls", ""); got.status != 401 || !strings.Contains(got.get("WWW-Authenticate"), "invalid_token") {
		t.Errorf("after the expiry = %d, want 401", got.status)
	}
}

func TestKeys(t *testing.T) {
	f := newFixture(t, nil)
	got := f.ask(t, "POST", "/keys", `{"name":"ci","scopes":["stats:read","links:read"],"expires_at":"2031-01-01T00:00:00Z"}`)
	var made keyJSON
	got.into(t, &made)
	if got.status != 201 || made.ID != 5 || made.Key == "" || !strings.HasPrefix(made.Key, made.Prefix) || !slices.Equal(made.Scopes, []engine.Scope{"links:read", "stats:read"}) || made.ExpiresAt == nil {
		t.Fatalf("POST = %d %s", got.status, got.body)
	}
	if got.get("Location") != "https://sho.rt/keys/5" || got.get("Cache-Control") != "no-store" {
		t.Errorf("Location %q, Cache-Control %q; want /keys/5, no-store", got.get("Location"), got.get("Cache-Control"))
	}
	f.secrets["new"] = made.Key
	if got := f.as(t, "new", "GET", "/urls", ""); got.status != 200 {
		t.Errorf("GET with the new key = %d, want 200", got.status)
	}
	list := f.ask(t, "GET", "/keys", "")
	if list.status != 200 || strings.Contains(list.body, made.Key) || strings.Contains(list.body, `"key"`) || strings.Count(list.body, `"id"`) != 5 {
		t.Errorf("GET /keys = %d %s, want five without secrets", list.status, list.body)
	}
	if got := f.ask(t, "DELETE", "/keys/5", ""); got.status != 204 {
		t.Errorf("DELETE = %d, want 204", got.status)
	}
	if got := f.as(t, "new", "GET", "/urls", ""); got.status != 401 {
		t.Errorf("GET with the revoked key = %d at once, want 401", got.status)
	}
	if got := f.ask(t, "DELETE", "/keys/99", ""); got.status != 404 {
		t.Errorf("DELETE of no key = %d, want 404", got.status)
	}
}

func TestTouchOnceAMinute(t *testing.T) {
	f := newFixture(t, nil)
	for range 5 {
		f.ask(t, "GET", "/urls", "")
		f.clock = f.clock.Add(10 * time.Second)
	}
	f.Close()
	if !slices.Equal(f.store.touched, []engine.KeyID{4}) {
		t.Errorf("touched %v, want key 4 once", f.store.touched)
	}
	f.clock = f.clock.Add(time.Minute)
	f.ask(t, "GET", "/urls", "")
	f.Close()
	if len(f.store.touched) != 2 {
		t.Errorf("touched %v, want twice after a minute", f.store.touched)
	}
}

func TestRateLimits(t *testing.T) {
	f := newFixture(t, func(c *Config) {
		c.Rate, c.WriteRate = limit.Rate{Requests: 6, Period: time.Minute}, limit.Rate{Requests: 2, Period: time.Minute}
	})
	first := f.ask(t, "GET", "/urls", "")
	for name, want := range map[string]string{
		"RateLimit-Policy": `"api";q=6;w=60, "writes";q=2;w=60`, "RateLimit": `"api";r=5;t=10`, "X-RateLimit-Limit": "6", "X-RateLimit-Remaining": "5", "X-RateLimit-Reset": "10", "Retry-After": "",
	} {
		if got := first.get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	for _, want := range []int{201, 201, 429} {
		got := f.ask(t, "POST", "/shorten", `{"url":"https://example.com"}`)
		if got.status != want || !strings.HasPrefix(got.get("RateLimit"), `"writes";`) {
			t.Errorf("POST = %d with RateLimit %q, want %d by writes", got.status, got.get("RateLimit"), want)
		}
		if want == 429 && (got.get("Retry-After") != "30" || got.get("Content-Type") != "application/problem+json") {
			t.Errorf("Retry-After = %q, want 30", got.get("Retry-After"))
		}
	}
	for _, want := range []int{200, 200, 429} {
		if got := f.ask(t, "GET", "/urls", ""); got.status != want {
			t.Errorf("GET = %d, want %d", got.status, want)
		}
	}
	if got := f.as(t, engine.ScopeLinksRead, "GET", "/urls", ""); got.status != 200 {
		t.Errorf("another key = %d, want 200", got.status)
	}
	for range 100 {
		if got := f.raw(t, "GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n"); got.status != 200 {
			t.Fatalf("a probe = %d, want 200 always", got.status)
		}
	}
	metrics := "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
	for f.raw(t, metrics).status != 429 {
	}
	if got := f.operate(t, metrics); got.status != 404 {
		t.Errorf("/metrics for an operator = %d, want 404 as there are none, and no limit", got.status)
	}
	if got := f.operate(t, "GET /keys HTTP/1.1\r\nHost: a\r\n\r\n"); got.status != 429 {
		t.Errorf("/keys for an operator without a key = %d, want 429", got.status)
	}
	if l := f.Limiters(); l["api"].Rate().Requests != 6 || l["writes"].Rate().Requests != 2 {
		t.Errorf("Limiters = %v", l)
	}
}

func TestGuessingKeysIsLimited(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Rate = limit.Rate{Requests: 5, Period: time.Minute} })
	guess := func(i int) answer {
		return f.raw(t, "GET /urls HTTP/1.1\r\nHost: a\r\nX-Api-Key: guess"+itoa(i)+"\r\n\r\n")
	}
	for i := range 5 {
		if got := guess(i); got.status != 401 {
			t.Errorf("guess %d = %d, want 401", i, got.status)
		}
	}
	for i := range 5 {
		if got := guess(10 + i); got.status != 429 || got.get("Retry-After") == "" {
			t.Errorf("guess %d = %d, want 429 with Retry-After", i, got.status)
		}
	}
	if f.store.lookups != 5 {
		t.Errorf("%d look-ups, want 5: those over the limit must not reach the store", f.store.lookups)
	}
}

func TestLog(t *testing.T) {
	var log bytes.Buffer
	f := newFixture(t, func(c *Config) { c.Logger = slog.New(slog.NewJSONHandler(&log, nil)) })
	f.ask(t, "GET", "/urls/77", "", "X-Request-ID: r-1")
	line := log.String()
	for _, want := range []string{`"msg":"request"`, `"method":"GET"`, `"route":"/urls/{id}"`, `"status":404`, `"request_id":"r-1"`, `"client":"198.51.100.0"`, `"key":"carom_`} {
		if !strings.Contains(line, want) {
			t.Errorf("log %s lacks %s", line, want)
		}
	}
	if strings.Contains(line, f.secrets[engine.ScopeAdmin]) || strings.Contains(line, "198.51.100.7") {
		t.Errorf("log %s tells too much", line)
	}
	log.Reset()
	for range 50 {
		f.raw(t, "GET /urls HTTP/1.1\r\nHost: a\r\n\r\n")
	}
	f.clock = f.clock.Add(time.Second)
	f.raw(t, "GET /urls HTTP/1.1\r\nHost: a\r\n\r\n")
	if n := strings.Count(log.String(), "\n"); n != 2 || !strings.Contains(log.String(), `"swallowed":49`) {
		t.Errorf("51 requests without a key left %d lines, want 2 that tell of 49: %s", n, log.String())
	}
	log.Reset()
	f.raw(t, "GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n")
	if log.Len() != 0 {
		t.Errorf("a probe left %s, want nothing", log.String())
	}
	if got := f.Answers(); got[2] != 1 || got[4] != 52 {
		t.Errorf("Answers = %v, want 1 of 2xx and 52 of 4xx", got)
	}
}

func TestConfigValidate(t *testing.T) {
	s := &fakeStore{}
	good := Config{Links: s, Keys: s, Clicks: s, Announcer: &fakeAnnouncer{}}
	if _, err := New(good); err != nil {
		t.Errorf("New of a good config: %v", err)
	}
	for field, spoil := range map[string]func(*Config){
		"Links": func(c *Config) { c.Links = nil }, "StoreTimeout": func(c *Config) { c.StoreTimeout = -1 }, "BaseURL": func(c *Config) { c.BaseURL = "https://a.example/path" },
	} {
		c := good
		spoil(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("New with a bad %s: %v, want an error that names it", field, err)
		}
	}
	for _, base := range []string{"sho.rt", "ftp://sho.rt", "https://", "https://u@sho.rt", "https://sho.rt?x", "https://sho.rt#x", "::"} {
		c := good
		c.BaseURL = base
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), "BaseURL") {
			t.Errorf("New with BaseURL %q: %v, want an error that names it", base, err)
		}
	}
}
