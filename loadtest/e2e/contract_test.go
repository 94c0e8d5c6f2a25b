package e2e_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/carom-dev/carom/loadtest/contract"
	"github.com/carom-dev/carom/loadtest/program"
)

// visitor makes single requests, each of which is held against the document. Redirects are not followed.
type visitor struct {
	t      *testing.T
	base   string
	client *http.Client
}

func visit(t *testing.T, c *contract.Contract, p *program.Process) *visitor {
	t.Helper()
	transport := c.Transport(&http.Transport{}, func(err error) { t.Error(err) })
	v := &visitor{t: t, base: "http://" + p.Addr, client: &http.Client{
		Transport: transport, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	t.Cleanup(v.client.CloseIdleConnections)
	return v
}

// said is an answer.
type said struct {
	status int
	header http.Header
	body   []byte
}

// do makes a request with the admin key and wants the status. headers are "Name: value"; an empty value takes a header away.
func (v *visitor) do(want int, method, path, body string, headers ...string) said {
	v.t.Helper()
	req, err := http.NewRequestWithContext(v.t.Context(), method, v.base+path, strings.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+program.AdminKey)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		req.Header.Del(name)
		if value = strings.TrimSpace(value); value != "" {
			req.Header.Set(name, value)
		}
	}
	resp, err := v.client.Do(req)
	if err != nil {
		v.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	if resp.StatusCode != want {
		v.t.Errorf("%s %s %v: status %d, want %d: %.300s", method, path, headers, resp.StatusCode, want, text)
	}
	return said{resp.StatusCode, resp.Header, text}
}

// member is a string member of the answer's JSON object.
func (s said) member(t *testing.T, name string) string {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal(s.body, &all); err != nil {
		t.Fatalf("body %.200q: %v", s.body, err)
	}
	text, _ := all[name].(string)
	return text
}

// unprovoked are the documented answers that this test can't bring about, each with its reason.
func unprovoked(a contract.Answer) string {
	switch {
	case a.Operation == "getHealth" && a.Status == "503":
		return "the journal has to be full, and to refuse"
	case a.Status == "503" && a.Operation != "getReadiness":
		return "the store has to be away"
	case a.Operation == "checkLink" && a.Status != "302":
		return "the same code answers as for GET"
	}
	return ""
}

// TestEveryAnswerIsDocumented brings about every answer that the document knows, and holds each against it.
func TestEveryAnswerIsDocumented(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), "CAROM_DRAIN_DELAY=20s")
	c, err := contract.Read(t.Context(), "http://"+p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	v := visit(t, c, p)
	t.Run("links", func(t *testing.T) { visit(t, c, p).links() })
	t.Run("refusals", func(t *testing.T) { visit(t, c, p).refusals(c) })
	t.Run("visitors", func(t *testing.T) { visit(t, c, p).redirects() })
	t.Run("clicks", func(t *testing.T) { visit(t, c, p).clicks(p) })
	t.Run("operation", func(t *testing.T) { visit(t, c, p).operation() })
	t.Run("limits", func(t *testing.T) {
		limited := start(t, t.TempDir(), "CAROM_RATE_LIMIT_API=1/h", "CAROM_RATE_LIMIT_UNKNOWN=1/h", "CAROM_HOME_URL=https://example.com/")
		visit(t, c, limited).limits(c)
	})

	// The last answers of a server that is being ended.
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(drained); ; {
		if v.poll("/health/ready") == http.StatusServiceUnavailable {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the server does not say that it is draining")
		}
	}
	for _, a := range c.Unseen() {
		if reason := unprovoked(a); reason == "" {
			t.Errorf("the document knows %s %s, which was never answered", a.Operation, a.Status)
		}
	}
}

// poll asks without a wish.
func (v *visitor) poll(path string) int {
	v.t.Helper()
	req, err := http.NewRequestWithContext(v.t.Context(), http.MethodGet, v.base+path, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	resp, err := v.client.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

const (
	mergePatch = "Content-Type: application/merge-patch+json"
	ndjson     = "Content-Type: application/x-ndjson"
)

// links is the life of links and keys, as far as it goes well, and what only a link's state can refuse.
func (v *visitor) links() {
	made := v.do(201, "POST", "/shorten", `{"url": "https://example.com/?a=1", "code": "full", "title": "T", "active": true, "redirect_status": 307,
		"valid_since": "2020-01-01T00:00:00Z", "valid_until": "2100-01-01T00:00:00+02:00", "max_visits": 9, "forward_query": true}`, "Idempotency-Key: k1")
	if again := v.do(201, "POST", "/shorten", `{"url": "https://example.com/"}`, "Idempotency-Key: k2"); again.header.Get("Idempotency-Replayed") != "" {
		v.t.Error("a first request is told as a repeat")
	}
	if again := v.do(201, "POST", "/shorten", `{"url": "https://example.com/"}`, "Idempotency-Key: k2"); again.header.Get("Idempotency-Replayed") != "true" {
		v.t.Error("a repeat is not told")
	}
	link, err := url.Parse(made.header.Get("Location"))
	if err != nil {
		v.t.Fatal(err)
	}
	path := link.Path
	v.do(409, "POST", "/shorten", `{"url": "https://example.com/", "code": "full"}`)
	v.do(200, "POST", "/shorten?on_conflict=skip", "{\"url\": \"https://example.com/other\", \"code\": \"full\"}\n\n{\"url\": \"https://example.com/b\"}\n", ndjson)
	v.do(200, "POST", "/shorten?on_conflict=error", "{\"url\": \"https://example.com/other\", \"code\": \"full\"}\n{\"url\": \"https://example.com/b\", \"code\": \"left\"}\n", ndjson)

	got := v.do(200, "GET", path, "")
	v.do(304, "GET", path, "", "If-None-Match: "+got.header.Get("ETag"))
	v.do(412, "PUT", path, `{"url": "https://example.com/"}`, `If-Match: "99"`)
	v.do(412, "PATCH", path, `{"title": null}`, mergePatch, `If-Match: "99"`)
	v.do(412, "DELETE", path, "", `If-Match: "99"`)
	v.do(200, "PUT", path, string(got.body), "If-Match: "+got.header.Get("ETag"))
	v.do(200, "PUT", path, `{"url": "https://example.org/"}`)
	v.do(200, "PATCH", path, `{"title": null, "max_visits": 5, "valid_until": null}`, mergePatch)
	v.do(200, "PATCH", path, `{"active": false}`)
	v.do(204, "DELETE", path, "")

	if next := v.do(200, "GET", "/urls?limit=1&sort=code&total=true&active=false&search=example", ""); next.member(v.t, "next_cursor") != "" {
		v.t.Error("one link is switched off, and there is another page")
	}
	first := v.do(200, "GET", "/urls?limit=1", "")
	if first.header.Get("Link") == "" {
		v.t.Error("a page of several has no Link")
	}
	v.do(200, "GET", "/urls?limit=1&cursor="+url.QueryEscape(first.member(v.t, "next_cursor")), "")
	v.do(200, "GET", "/urls?code=full", "")
	v.do(200, "GET", path+"/audit?limit=2", "")

	v.do(200, "GET", "/keys", "")
	key := v.do(201, "POST", "/keys", `{"name": "short", "scopes": ["links:read"], "expires_at": "2100-01-01T00:00:00Z"}`)
	revoke, err := url.Parse(key.header.Get("Location"))
	if err != nil {
		v.t.Fatal(err)
	}
	v.do(204, "DELETE", revoke.Path, "")
	v.do(401, "GET", "/urls", "", "Authorization: Bearer "+key.member(v.t, "key"))
}

// sample is a request to an operation that would be done if everything else about it were right.
func sample(o contract.Operation, id string) (path, body string) {
	path = strings.NewReplacer("{id}", id, "{code}", "no-such-code").Replace(o.Path)
	return path, map[string]string{
		"createLink": `{"url": "https://example.com/"}`, "replaceLink": `{"url": "https://example.com/"}`, "patchLink": `{"title": "T"}`,
		"createKey": `{"name": "n", "scopes": ["admin"]}`,
	}[o.ID]
}

// refusals asks each operation for what it refuses whatever the state.
func (v *visitor) refusals(c *contract.Contract) {
	other := map[string]string{}
	for scope, scopes := range map[string]string{"links:read": "stats:read", "": "links:read"} {
		key := v.do(201, "POST", "/keys", `{"name": "other", "scopes": ["`+scopes+`"]}`)
		other[scope] = key.member(v.t, "key")
	}
	for _, o := range c.Operations() {
		path, body := sample(o, "1") // a link that is there: it is looked for before the body
		if o.Body != "" {
			v.do(400, o.Method, path, `{`, "Content-Type: "+o.Body)
			v.do(415, o.Method, path, body, "Content-Type: text/plain")
			v.do(413, o.Method, path, strings.Repeat(" ", 1<<20)+body, "Content-Type: "+o.Body)
		}
		if o.Scope == "" {
			continue
		}
		path, body = sample(o, "999999")
		v.do(401, o.Method, path, body, "Authorization:")
		v.do(401, o.Method, path, body, "Authorization:", "X-Api-Key: not-a-key")
		lacking, ok := other[o.Scope]
		if !ok {
			lacking = other[""]
		}
		v.do(403, o.Method, path, body, "Authorization:", "X-Api-Key: "+lacking)
		v.do(422, o.Method, path+"?unknown=1", body)
		if strings.Contains(o.Path, "{id}") {
			v.do(404, o.Method, path, body)
		}
		if o.Method == "GET" {
			v.do(405, "TRACE", path, "")
		}
	}
	v.do(413, "POST", "/shorten", strings.Repeat("{\"url\": \"https://example.com/\"}\n", 1001), ndjson)
	v.do(404, "GET", "/urls/1/nothing", "")
	wrong := v.do(422, "POST", "/shorten", `{"url": "ftp://example.com/", "code": "docs", "more": 1}`)
	if !bytes.Contains(wrong.body, []byte(`"errors"`)) {
		v.t.Errorf("a refusal does not name the fields: %s", wrong.body)
	}
}

// redirects is what a visitor sees.
func (v *visitor) redirects() {
	for _, status := range []int{301, 302, 307, 308} {
		code := "s" + strconv.Itoa(status)
		v.do(201, "POST", "/shorten", `{"url": "https://example.com/", "code": "`+code+`", "redirect_status": `+strconv.Itoa(status)+`}`)
		v.do(status, "GET", "/"+code, "", "Authorization:", "Referer: https://news.example/x")
		v.do(status, "HEAD", "/"+code, "", "Authorization:", "X-Request-ID: given.1")
	}
	v.do(201, "POST", "/shorten", `{"url": "https://example.com/", "code": "query", "forward_query": true}`)
	if got := v.do(302, "GET", "/query?a=1", "").header.Get("Location"); got != "https://example.com/?a=1" {
		v.t.Errorf("the query was forwarded as %q", got)
	}
	gone := v.do(201, "POST", "/shorten", `{"url": "https://example.com/", "code": "gone", "active": false}`)
	v.do(410, "GET", "/gone", "", "Accept: text/html")
	v.do(410, "HEAD", "/gone", "")
	v.do(404, "GET", "/no-such-code", "")
	v.do(404, "GET", "/no-such-code", "", "Accept: text/html,*/*")
	v.do(405, "POST", "/s302", "")
	v.do(200, "GET", "/", "")
	v.do(200, "GET", "/", "", "Accept: text/html")
	v.do(200, "GET", "/robots.txt", "")
	v.do(204, "GET", "/favicon.ico", "")
	if gone.member(v.t, "short_url") == "" {
		v.t.Error("a link has no short_url")
	}
}

// clicks reads what the visits before have left.
func (v *visitor) clicks(p *program.Process) {
	api := p.API()
	defer api.Close()
	found := v.do(200, "GET", "/urls?code=s302", "")
	var page struct{ Data []program.Link }
	if err := json.Unmarshal(found.body, &page); err != nil || len(page.Data) != 1 {
		v.t.Fatalf("%s: %v", found.body, err)
	}
	path := page.Data[0].Path()
	if n, err := api.WaitClicks(v.t.Context(), []string{path}, 2, drained); err != nil || n != 2 {
		v.t.Fatalf("%d clicks stored, %v, want 2", n, err)
	}
	from := time.Now().Add(-time.Hour).UTC().Truncate(time.Hour).Format(time.RFC3339)
	for _, base := range []string{path + "/clicks", "/clicks"} {
		first := v.do(200, "GET", base+"?limit=1&from="+from+"&to=2100-01-01", "")
		v.do(200, "GET", base+"?limit=1&cursor="+url.QueryEscape(first.member(v.t, "next_cursor")), "")
		lines := v.do(200, "GET", base, "", "Accept: application/x-ndjson")
		if bytes.Count(lines.body, []byte("\n")) < 2 {
			v.t.Errorf("a stream of %s has %q, want each click on a line", base, lines.body)
		}
	}
	v.do(200, "GET", path+"/stats?interval=day&referrers=5&from="+from, "")
}

// operation is what those who run it ask.
func (v *visitor) operation() {
	for _, path := range []string{"/health", "/health/live", "/health/ready", "/metrics", "/openapi.json", "/docs"} {
		got := v.do(200, "GET", path, "", "Authorization:")
		head := v.do(200, "HEAD", path, "", "Authorization:")
		for name := range got.header {
			if head.header.Get(name) == "" {
				v.t.Errorf("HEAD %s has no %s, and GET has", path, name)
			}
		}
		if tag := got.header.Get("ETag"); tag != "" {
			v.do(304, "GET", path, "", "If-None-Match: "+tag)
		}
	}
}

// limits asks more often than is allowed.
func (v *visitor) limits(c *contract.Contract) {
	v.do(200, "GET", "/urls", "")
	for _, o := range c.Operations() {
		path, body := sample(o, "1")
		switch {
		case o.Scope != "":
			v.do(429, o.Method, path, body)
		case path == "/metrics" || path == "/openapi.json" || path == "/docs":
			v.poll(path) // the first of them is the one that is allowed
			v.do(429, o.Method, path, "", "Authorization:")
		}
	}
	v.do(404, "GET", "/no-such-code", "")
	v.do(429, "GET", "/no-such-code", "")
	v.do(302, "GET", "/", "")
}
