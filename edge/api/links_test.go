package api

import (
	"strings"
	"testing"

	"github.com/carom-dev/carom/engine"
)

func TestShorten(t *testing.T) {
	f := newFixture(t, nil)
	got := f.ask(t, "POST", "/shorten", `{"url":"https://example.com/A b"}`)
	if got.status != 422 {
		t.Errorf("a target with a space = %d, want 422", got.status)
	}
	got = f.ask(t, "POST", "/shorten", `{"url":"HTTPS://Example.com","code":"abc","title":"T","redirect_status":308,"valid_since":"2030-01-01T00:00:00+01:00","valid_until":"2031-01-01T00:00:00.123456789Z","max_visits":5,"forward_query":true,"active":false}`)
	want := `{"id":1,"code":"abc","short_url":"https://sho.rt/abc","url":"https://example.com/","title":"T","active":false,"redirect_status":308,` +
		`"valid_since":"2029-12-31T23:00:00Z","valid_until":"2031-01-01T00:00:00.123456Z","max_visits":5,"forward_query":true,"clicks":0,"version":1,` +
		`"created_at":"2030-01-02T03:04:05Z","updated_at":"2030-01-02T03:04:05Z"}`
	if got.status != 201 || got.body != want {
		t.Errorf("POST = %d %s, want 201 %s", got.status, got.body, want)
	}
	for name, want := range map[string]string{
		"Location": "https://sho.rt/urls/1", "ETag": `"1"`, "Carom-Propagation": "2/3", "Content-Type": "application/json", "X-Content-Type-Options": "nosniff",
	} {
		if got.get(name) != want {
			t.Errorf("%s = %q, want %q", name, got.get(name), want)
		}
	}
	got = f.ask(t, "POST", "/shorten", `{"url":"https://example.com","code":null,"title":null,"active":null,"redirect_status":null,"valid_since":null,"valid_until":null,"max_visits":null,"forward_query":null}`)
	var l linkJSON
	got.into(t, &l)
	if got.status != 201 || len(l.Code) != 7 || !l.Active || l.RedirectStatus != 302 || l.Title != nil || l.ValidSince != nil || l.MaxVisits != nil {
		t.Errorf("POST with nulls = %d %s, want the defaults and a drawn code", got.status, got.body)
	}
	if len(f.bus.changes) != 2 || f.store.audit[0].Key != 4 || f.store.audit[0].RequestID == "" {
		t.Errorf("announced %v, audit %+v; want two changes by the admin key with their request ids", f.bus.changes, f.store.audit)
	}
}

func TestShortenConflicts(t *testing.T) {
	f := newFixture(t, nil)
	f.ask(t, "POST", "/shorten", `{"url":"https://example.com","code":"abc"}`)
	if got := f.ask(t, "POST", "/shorten", `{"url":"https://example.com","code":"abc"}`); got.status != 409 {
		t.Errorf("a taken code = %d, want 409", got.status)
	}
	f.store.taken = newCodeTries - 1
	if got := f.ask(t, "POST", "/shorten", `{"url":"https://example.com"}`); got.status != 201 {
		t.Errorf("a drawn code that is taken at first = %d, want 201", got.status)
	}
	f.store.taken = newCodeTries
	if got := f.ask(t, "POST", "/shorten", `{"url":"https://example.com"}`); got.status != 409 {
		t.Errorf("drawn codes that are all taken = %d, want 409", got.status)
	}
}

func TestIdempotency(t *testing.T) {
	f := newFixture(t, nil)
	first := f.ask(t, "POST", "/shorten", `{"url":"https://example.com","title":"T"}`, "Idempotency-Key: k1")
	again := f.ask(t, "POST", "/shorten", ` {"title":"T", "url":"https:\/\/example.com"}`, "idempotency-key: k1")
	if again.status != 201 || again.body != first.body || again.get("Idempotency-Replayed") != "true" || first.get("Idempotency-Replayed") != "" {
		t.Errorf("the repeat = %d %s, want the first answer %s, marked", again.status, again.body, first.body)
	}
	if len(f.store.links) != 1 {
		t.Errorf("%d links, want 1", len(f.store.links))
	}
	if got := f.ask(t, "POST", "/shorten", `{"url":"https://example.com/other"}`, "Idempotency-Key: k1"); got.status != 422 {
		t.Errorf("the key for another request = %d, want 422", got.status)
	}
	for _, bad := range []string{strings.Repeat("k", 256), "k\xc3\xa4"} {
		if got := f.ask(t, "POST", "/shorten", `{"url":"https://example.com"}`, "Idempotency-Key: "+bad); got.status != 422 {
			t.Errorf("Idempotency-Key %.20q = %d, want 422", bad, got.status)
		}
	}
}

func TestGetLink(t *testing.T) {
	f := newFixture(t, nil)
	made := f.ask(t, "POST", "/shorten", `{"url":"https://example.com","code":"abc"}`)
	got := f.ask(t, "GET", "/urls/1", "")
	if got.status != 200 || got.body != made.body || got.get("ETag") != `"1"` {
		t.Errorf("GET = %d %s, want what POST gave", got.status, got.body)
	}
	for match, want := range map[string]int{`"1"`: 304, `W/"1"`: 304, `"0", "1"`: 304, `*`: 304, `"2"`: 200, `1`: 200} {
		if got := f.ask(t, "GET", "/urls/1", "", "If-None-Match: "+match); got.status != want || (want == 304) != (got.body == "") {
			t.Errorf("If-None-Match: %s = %d %q, want %d", match, got.status, got.body, want)
		}
	}
	if got := f.ask(t, "GET", "/urls/1", "", `If-None-Match: "0"`, `If-None-Match: "1"`); got.status != 304 {
		t.Errorf("If-None-Match on two lines = %d, want 304", got.status)
	}
	if got := f.ask(t, "PATCH", "/urls/1", `{}`, `If-Match: "0"`, `If-Match: "1"`); got.status != 200 {
		t.Errorf("If-Match on two lines = %d, want 200", got.status)
	}
	if got := f.ask(t, "HEAD", "/urls/1", ""); got.status != 200 || got.get("ETag") != `"1"` {
		t.Errorf("HEAD = %d, want 200 with its ETag", got.status)
	}
}

func TestPut(t *testing.T) {
	f := newFixture(t, nil)
	made := f.ask(t, "POST", "/shorten", `{"url":"https://example.com","code":"abc","title":"T","max_visits":5}`)
	same := f.ask(t, "PUT", "/urls/1", made.body)
	if same.status != 200 || same.body != made.body || len(f.bus.changes) != 1 {
		t.Errorf("PUT of what GET gave = %d %s, want nothing changed", same.status, same.body)
	}
	got := f.ask(t, "PUT", "/urls/1", `{"url":"https://example.org/x"}`)
	var l linkJSON
	got.into(t, &l)
	if got.status != 200 || l.URL != "https://example.org/x" || l.Code != "abc" || l.Title != nil || l.MaxVisits != nil || l.Version != 2 || got.get("ETag") != `"2"` {
		t.Errorf("PUT = %d %s, want all but the code at its default", got.status, got.body)
	}
	if got := f.ask(t, "PUT", "/urls/1", `{"title":"x"}`); got.status != 422 || got.fields(t)[0] != "url" {
		t.Errorf("PUT without url = %d %s, want 422 on url", got.status, got.body)
	}
}

func TestPatch(t *testing.T) {
	f := newFixture(t, nil)
	f.ask(t, "POST", "/shorten", `{"url":"https://example.com","code":"abc","title":"T","max_visits":5,"active":false,"redirect_status":301,"valid_until":"2031-01-01T00:00:00Z"}`)
	got := f.ask(t, "PATCH", "/urls/1", `{"title":null,"active":null,"redirect_status":null,"valid_until":null}`, "Content-Type: application/merge-patch+json")
	var l linkJSON
	got.into(t, &l)
	if got.status != 200 || l.Title != nil || !l.Active || l.RedirectStatus != 302 || l.ValidUntil != nil || l.MaxVisits == nil || *l.MaxVisits != 5 || l.Version != 2 {
		t.Errorf("PATCH = %d %s, want what is null unset and the rest kept", got.status, got.body)
	}
	if got.get("Carom-Propagation") != "2/3" {
		t.Errorf("Carom-Propagation = %q, want 2/3", got.get("Carom-Propagation"))
	}
	if got := f.ask(t, "PATCH", "/urls/1", `{}`); got.status != 200 || got.get("ETag") != `"2"` {
		t.Errorf("an empty PATCH = %d %s, want nothing changed", got.status, got.get("ETag"))
	}
	for _, body := range []string{`{"url":null}`, `{"code":null}`, `{"id":1}`, `{"clicks":1}`, `{"code":"urls"}`} {
		if got := f.ask(t, "PATCH", "/urls/1", body); got.status != 422 {
			t.Errorf("PATCH %s = %d, want 422", body, got.status)
		}
	}
}

func TestPatchKeepsATargetThatWouldNotBeAcceptedToday(t *testing.T) {
	f := newFixture(t, nil)
	f.store.insert(engine.Link{Code: "old", Target: "http://10.0.0.1/", Active: true, RedirectStatus: 302}, engine.ActionCreated, engine.Author{})
	if got := f.ask(t, "PATCH", "/urls/1", `{"title":"still there"}`); got.status != 200 {
		t.Errorf("PATCH of the title = %d %s, want 200", got.status, got.body)
	}
}

func TestACodeBelongsToItsLinkForEver(t *testing.T) {
	f := newFixture(t, nil)
	f.ask(t, "POST", "/shorten", `{"url":"https://example.com","code":"abc"}`)
	for _, method := range []string{"PATCH", "PUT"} {
		got := f.ask(t, method, "/urls/1", `{"url":"https://example.com","code":"xyz"}`)
		if got.status != 422 || !strings.Contains(string(got.body), `"field":"code"`) {
			t.Errorf("%s of another code = %d %s, want 422 that names it", method, got.status, got.body)
		}
		if got := f.ask(t, method, "/urls/1", `{"url":"https://example.com/2","code":"abc"}`); got.status != 200 {
			t.Errorf("%s of its own code = %d, want 200", method, got.status)
		}
	}
}

func TestDeactivate(t *testing.T) {
	f := newFixture(t, nil)
	f.ask(t, "POST", "/shorten", `{"url":"https://example.com","code":"abc"}`)
	for range 2 {
		got := f.ask(t, "DELETE", "/urls/1", "")
		if got.status != 204 || got.body != "" || got.get("ETag") != `"2"` || got.get("Carom-Propagation") == "" {
			t.Errorf("DELETE = %d %q %s, want 204 and version 2", got.status, got.body, got.get("ETag"))
		}
	}
	if l := f.store.links[0]; l.Active || len(f.store.audit) != 2 || f.store.audit[1].Action != engine.ActionDeactivated {
		t.Errorf("link %+v, audit %+v; want it kept, switched off once", l, f.store.audit)
	}
}

func TestIfMatch(t *testing.T) {
	f := newFixture(t, nil)
	f.ask(t, "POST", "/shorten", `{"url":"https://example.com","code":"abc"}`)
	for match, want := range map[string]int{`"2"`: 412, `W/"1"`: 412, `1`: 412, `"9", "8"`: 412, `"1"`: 200} {
		if got := f.ask(t, "PATCH", "/urls/1", `{}`, "If-Match: "+match); got.status != want {
			t.Errorf("If-Match: %s = %d, want %d", match, got.status, want)
		}
	}
	if got := f.ask(t, "PUT", "/urls/1", `{"url":"https://example.com/2"}`, `If-Match: "7"`); got.status != 412 || f.store.links[0].Version != 1 {
		t.Errorf("PUT on another version = %d, want 412 and nothing changed", got.status)
	}
	if got := f.ask(t, "DELETE", "/urls/1", "", `If-Match: "1"`); got.status != 204 {
		t.Errorf("DELETE on its version = %d, want 204", got.status)
	}
}

func TestShortURLWithoutABaseURL(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.BaseURL = "" })
	got := f.raw(t, "POST /shorten HTTP/1.1\r\nHost: Links.Example:8080\r\nX-Api-Key: "+f.secrets[engine.ScopeAdmin]+"\r\nX-Forwarded-Proto: https\r\nContent-Length: 44\r\n\r\n"+`{"url":"https://example.com/","code":"abcd"}`)
	if !strings.Contains(got.body, `"short_url":"http://links.example:8080/abcd"`) {
		t.Errorf("POST = %d %s, want the request's host and an untrusted peer's scheme not believed", got.status, got.body)
	}
	for target, want := range map[string]int{"http://links.example:8080/x": 422, "http://LINKS.example:8080": 422, "http://other.example/": 201} {
		body := `{"url":"` + target + `"}`
		got := f.raw(t, "POST /shorten HTTP/1.1\r\nHost: Links.Example:8080\r\nX-Api-Key: "+f.secrets[engine.ScopeAdmin]+"\r\nContent-Length: "+itoa(len(body))+"\r\n\r\n"+body)
		if got.status != want {
			t.Errorf("a link to %s = %d, want %d", target, got.status, want)
		}
	}
}
