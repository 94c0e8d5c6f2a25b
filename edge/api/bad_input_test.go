package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/carom-dev/carom/engine"
)

func TestBadTargets(t *testing.T) {
	f := newFixture(t, nil)
	long := "https://example.com/" + strings.Repeat("x", 9<<10)
	for _, target := range []string{
		``, `javascript:alert(1)`, `data:text/html,x`, `ftp://example.com/`, `mailto:a@b.c`, `//example.com`, `/path`, `example.com`, `https://`,
		`https://example.com/\u0000`, `https://example.com/\r\nSet-Cookie:x`, `https://example.com/\t`, `https://example.com/\u007f`, `https://example.com/\u0085`,
		`https://user@example.com/`, `https://user:pw@example.com/`, `https://exa mple.com/`, ` https://example.com/`, `https://example.com/a b`,
		`http://0177.0.0.1/`, `http://0x7f.0.0.1/`, `http://0x7f000001/`, `http://2130706433/`, `http://127.1/`, `http://[::1]/`, `http://[::ffff:127.0.0.1]/`,
		`http://localhost/`, `http://10.0.0.1/`, `http://169.254.169.254/`, `https://sho.rt/abc`, `https://SHO.RT`, `https://sho.rt./x`, `https://sho.rt:8443/x`, long,
	} {
		got := f.ask(t, "POST", "/shorten", `{"url":"`+target+`"}`)
		if got.status != 422 || !slices.Equal(got.fields(t), []string{"url"}) {
			t.Errorf("target %.60q = %d %.200s, want 422 on url", target, got.status, got.body)
		}
	}
	for given, want := range map[string]string{
		`https://b\u00fccher.example/`: "https://xn--bcher-kva.example/", `https://example.com/\u00e4`: "https://example.com/%C3%A4",
	} {
		if got := f.ask(t, "POST", "/shorten", `{"url":"`+given+`"}`); got.status != 201 || !strings.Contains(got.body, `"url":"`+want+`"`) {
			t.Errorf("target %s = %d %s, want %s", given, got.status, got.body, want)
		}
	}
	if n := len(f.store.links); n != 2 {
		t.Errorf("%d links were stored, want 2", n)
	}
}

// TestManyWrongMembersAreToldInPart sends as many as a body has room for: it is an answer and a line of the log, and no more.
func TestManyWrongMembersAreToldInPart(t *testing.T) {
	f := newFixture(t, nil)
	var members, scopes strings.Builder
	for n := range 60_000 {
		fmt.Fprintf(&members, `,"m%d":1`, n)
		fmt.Fprintf(&scopes, `,"s%d"`, n)
	}
	for path, body := range map[string]string{
		"/shorten": `{"url":"https://example.com"` + members.String() + `}`,
		"/keys":    `{"name":"n","scopes":["links:read"` + scopes.String() + `]}`,
	} {
		got := f.ask(t, "POST", path, body)
		if n := len(got.fields(t)); got.status != 422 || n != engine.FieldErrorsMax || len(got.body) > 8<<10 {
			t.Errorf("%s = %d with %d fields in %d bytes, want 422 with %d in few", path, got.status, n, len(got.body), engine.FieldErrorsMax)
		}
	}
}

func TestBadCodes(t *testing.T) {
	f := newFixture(t, nil)
	for _, code := range []string{``, `urls`, `SHORTEN`, `Keys`, strings.Repeat("a", 65), `a/b`, `\u00e4`, `%61bc`, `%2561`, `a b`, `a.b`, `\u0000`, `..`} {
		got := f.ask(t, "POST", "/shorten", `{"url":"https://example.com","code":"`+code+`"}`)
		if got.status != 422 || !slices.Equal(got.fields(t), []string{"code"}) {
			t.Errorf("code %.20q = %d %.200s, want 422 on code", code, got.status, got.body)
		}
	}
}

func TestBadJSON(t *testing.T) {
	f := newFixture(t, nil)
	f.ask(t, "POST", "/shorten", `{"url":"https://example.com","code":"abc"}`)
	url := `"url":"https://example.com"`
	deep := strings.Repeat("[", 20000) + strings.Repeat("]", 20000)
	for _, tt := range []struct {
		rule, body string
		status     int
		fields     []string
	}{
		{"empty", ``, 400, nil},
		{"white space", ` `, 400, nil},
		{"truncated", `{` + url, 400, nil},
		{"truncated within a name", `{"ur`, 400, nil},
		{"no quotes", `{url:1}`, 400, nil},
		{"trailing comma", `{` + url + `,}`, 400, nil},
		{"comment", `{` + url + `/* */}`, 400, nil},
		{"two objects", `{` + url + `}{}`, 400, nil},
		{"trailing text", `{` + url + `} x`, 400, nil},
		{"not UTF-8", "{\"url\":\"https://example.com/\xff\"}", 400, nil},
		{"a lone surrogate", `{"url":"https://example.com/\ud800"}`, 400, nil},
		{"deep nesting", `{"x":` + deep + `}`, 400, nil},
		{"deep nesting in a known member", `{"url":` + deep + `}`, 400, nil},
		{"deep nesting alone", deep, 400, nil},
		{"an array", `[]`, 422, []string{}},
		{"a string", `"x"`, 422, []string{}},
		{"null", `null`, 422, []string{}},
		{"the same name twice", `{` + url + `,` + url + `}`, 422, []string{"url"}},
		{"unknown names, all of them", `{` + url + `,"foo":1,"bar":{}}`, 422, []string{"foo", "bar"}},
		{"names have a case", `{"URL":"https://example.com"}`, 422, []string{"URL"}},
		{"no url", `{}`, 422, []string{"url"}},
		{"url null", `{"url":null}`, 422, []string{"url"}},
		{"url a number", `{"url":1}`, 422, []string{"url"}},
		{"code a number", `{` + url + `,"code":1}`, 422, []string{"code"}},
		{"title an array", `{` + url + `,"title":[]}`, 422, []string{"title"}},
		{"title with a control character", `{` + url + `,"title":"a\u0000"}`, 422, []string{"title"}},
		{"title too long", `{` + url + `,"title":"` + strings.Repeat("x", 513) + `"}`, 422, []string{"title"}},
		{"active a string", `{` + url + `,"active":"true"}`, 422, []string{"active"}},
		{"active a number", `{` + url + `,"active":1}`, 422, []string{"active"}},
		{"redirect_status a string", `{` + url + `,"redirect_status":"302"}`, 422, []string{"redirect_status"}},
		{"redirect_status 303", `{` + url + `,"redirect_status":303}`, 422, []string{"redirect_status"}},
		{"redirect_status 0", `{` + url + `,"redirect_status":0}`, 422, []string{"redirect_status"}},
		{"redirect_status a fraction", `{` + url + `,"redirect_status":302.5}`, 422, []string{"redirect_status"}},
		{"max_visits 0", `{` + url + `,"max_visits":0}`, 422, []string{"max_visits"}},
		{"max_visits negative", `{` + url + `,"max_visits":-1}`, 422, []string{"max_visits"}},
		{"max_visits huge", `{` + url + `,"max_visits":1e30}`, 422, []string{"max_visits"}},
		{"max_visits beyond its bound", `{` + url + `,"max_visits":9007199254740993}`, 422, []string{"max_visits"}},
		{"forward_query null-like", `{` + url + `,"forward_query":"null"}`, 422, []string{"forward_query"}},
		{"valid_since a number", `{` + url + `,"valid_since":1700000000}`, 422, []string{"valid_since"}},
		{"valid_since no time", `{` + url + `,"valid_since":"tomorrow"}`, 422, []string{"valid_since"}},
		{"valid_since without zone", `{` + url + `,"valid_since":"2030-01-01T00:00:00"}`, 422, []string{"valid_since"}},
		{"valid_since day 32", `{` + url + `,"valid_since":"2030-01-32T00:00:00Z"}`, 422, []string{"valid_since"}},
		{"valid_until in the year 1", `{` + url + `,"valid_until":"0001-01-01T00:00:00Z"}`, 422, []string{"valid_until"}},
		{"valid_until before valid_since", `{` + url + `,"valid_since":"2030-01-02T00:00:00Z","valid_until":"2030-01-01T00:00:00Z"}`, 422, []string{"valid_until"}},
		{"several at once", `{"url":"x","redirect_status":1,"title":"\u0001"}`, 422, []string{"url", "title", "redirect_status"}},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			for _, line := range []string{"POST /shorten", "PUT /urls/1", "PATCH /urls/1"} {
				method, path, _ := strings.Cut(line, " ")
				if method == "PATCH" && tt.rule == "no url" {
					continue // leaves it as it is
				}
				got := f.ask(t, method, path, tt.body)
				if got.status != tt.status || got.get("Content-Type") != "application/problem+json" {
					t.Fatalf("%s = %d %.300s, want %d", line, got.status, got.body, tt.status)
				}
				if tt.fields != nil && !slices.Equal(got.fields(t), tt.fields) {
					t.Errorf("%s names %v, want %v: %s", line, got.fields(t), tt.fields, got.body)
				}
				if !strings.Contains(got.body, `"request_id":"`+got.get("X-Request-ID")+`"`) {
					t.Errorf("%s lacks the request id: %s", line, got.body)
				}
			}
		})
	}
	if len(f.store.links) != 1 || f.store.links[0].Version != 1 {
		t.Errorf("the store has %+v, want it as it was", f.store.links)
	}
}

func TestBadIDs(t *testing.T) {
	f := newFixture(t, nil)
	for _, id := range []string{"0", "-1", "01", "+1", "abc", "1.0", "%31", "9223372036854775807", "9223372036854775808", strings.Repeat("9", 300), "\u00e4"} {
		for _, line := range []string{"GET /urls/%", "PUT /urls/%", "PATCH /urls/%", "DELETE /urls/%", "GET /urls/%/audit", "GET /urls/%/clicks", "GET /urls/%/stats", "DELETE /keys/%"} {
			method, path, _ := strings.Cut(strings.Replace(line, "%", id, 1), " ")
			body := ""
			if method == "PUT" || method == "PATCH" {
				body = `{"url":"https://example.com"}`
			}
			if got := f.ask(t, method, path, body); got.status != 404 {
				t.Errorf("%s %.60s = %d %s, want 404", method, path, got.status, got.body)
			}
		}
	}
}

func TestBadQueries(t *testing.T) {
	f := newFixture(t, nil)
	f.ask(t, "POST", "/shorten", `{"url":"https://example.com","code":"abc"}`)
	other := numberCursor(cursorAudit, 1)
	newest := linkCursor(engine.LinkCursor{Sort: engine.SortNewest, Time: f.clock, ID: 1})
	for _, tt := range []struct{ path, field string }{
		{"/urls?limit=0", "limit"},
		{"/urls?limit=1001", "limit"},
		{"/urls?limit=x", "limit"},
		{"/urls?limit=", "limit"},
		{"/urls?limit=1e2", "limit"},
		{"/urls?limit=99999999999999999999", "limit"},
		{"/urls?active=yes", "active"},
		{"/urls?sort=clicks", "sort"},
		{"/urls?total=1", "total"},
		{"/urls?code=", "code"},
		{"/urls?code=a%2Fb", "code"},
		{"/urls?search=" + strings.Repeat("x", 257), "search"},
		{"/urls?page=2", "page"},
		{"/urls?limit=1&limit=2", "limit"},
		{"/urls?cursor=x", "cursor"},
		{"/urls?cursor=", "cursor"},
		{"/urls?cursor=" + other, "cursor"},
		{"/urls?cursor=" + strings.Repeat("A", 300), "cursor"},
		{"/urls?cursor=" + newest + "&sort=code", "cursor"},
		{"/urls?cursor=" + newest[:len(newest)-1], "cursor"},
		{"/urls/1/audit?cursor=" + newest, "cursor"},
		{"/urls/1/audit?limit=-1", "limit"},
		{"/urls/1?x=y", "x"},
		{"/keys?x=y", "x"},
		{"/clicks?from=yesterday", "from"},
		{"/clicks?to=2030-02-30", "to"},
		{"/clicks?from=2030-01-02&to=2030-01-01", "to"},
		{"/clicks?from=2030-01-01&to=2030-01-01", "to"},
		{"/clicks?limit=1001", "limit"},
		{"/clicks?cursor=" + other, "cursor"},
		{"/urls/1/clicks?sort=x", "sort"},
		{"/urls/1/stats?interval=week", "interval"},
		{"/urls/1/stats?from=2030-01-01T00:30:00Z", "from"},
		{"/urls/1/stats?to=1969-01-01", "to"},
		{"/urls/1/stats?referrers=-1", "referrers"},
	} {
		got := f.ask(t, "GET", tt.path, "")
		if got.status != 422 || !slices.Equal(got.fields(t), []string{tt.field}) {
			t.Errorf("GET %.80s = %d %s, want 422 on %s", tt.path, got.status, got.body, tt.field)
		}
	}
}

func TestBadContentTypes(t *testing.T) {
	f := newFixture(t, nil)
	f.ask(t, "POST", "/shorten", `{"url":"https://example.com","code":"abc"}`)
	for _, tt := range []struct {
		line, header string
		want         int
	}{
		{"POST /shorten", "Content-Type: application/json", 201},
		{"POST /shorten", "content-type: application/json; charset=UTF-8", 201},
		{"POST /shorten", "Content-Type: application/json; charset=latin1", 415},
		{"POST /shorten", "Content-Type: text/plain", 415},
		{"POST /shorten", "Content-Type: application/x-www-form-urlencoded", 415},
		{"POST /shorten", "Content-Type: multipart/form-data", 415},
		{"POST /shorten", "Content-Type: ;;;", 415},
		{"POST /shorten", "Content-Type: application/merge-patch+json", 415},
		{"POST /shorten", "Content-Encoding: gzip", 415},
		{"POST /shorten", "Content-Encoding: identity", 201},
		{"PUT /urls/1", "Content-Type: application/merge-patch+json", 415},
		{"PATCH /urls/1", "Content-Type: application/merge-patch+json", 200},
		{"PATCH /urls/1", "Content-Type: application/json-patch+json", 415},
		{"POST /keys", "Content-Type: text/plain", 415},
	} {
		method, path, _ := strings.Cut(tt.line, " ")
		if got := f.ask(t, method, path, `{"url":"https://example.com"}`, tt.header); got.status != tt.want {
			t.Errorf("%s with %s = %d %s, want %d", tt.line, tt.header, got.status, got.body, tt.want)
		}
	}
}

func TestBadMethodsAndPaths(t *testing.T) {
	f := newFixture(t, nil)
	for line, allow := range map[string]string{
		"GET /shorten": "POST", "DELETE /shorten": "POST", "POST /urls": "GET, HEAD", "POST /urls/1": "DELETE, GET, HEAD, PATCH, PUT", "PUT /keys": "GET, HEAD, POST",
		"POST /urls/1/audit": "GET, HEAD", "OPTIONS /urls": "GET, HEAD", "PATCH /health": "GET, HEAD", "BREW /urls": "GET, HEAD", "GET /keys/1": "DELETE",
	} {
		method, path, _ := strings.Cut(line, " ")
		if got := f.ask(t, method, path, ""); got.status != 405 || got.get("Allow") != allow {
			t.Errorf("%s = %d, Allow %q; want 405, %q", line, got.status, got.get("Allow"), allow)
		}
	}
	for _, path := range []string{"/urls/", "/urls/1/", "/urls/1/other", "/URLS", "/urls//1", "/shorten/x", "/health/x", "/urls/1/audit/2", "/%75rls"} {
		if got := f.ask(t, "GET", path, ""); got.status != 404 || got.get("Location") != "" {
			t.Errorf("GET %s = %d to %q, want 404", path, got.status, got.get("Location"))
		}
	}
}

func TestBadKeyRequests(t *testing.T) {
	f := newFixture(t, nil)
	before := len(f.store.keys)
	for body, field := range map[string]string{
		`{}`:                                    "name",
		`{"name":"","scopes":["admin"]}`:        "name",
		`{"name":1,"scopes":["admin"]}`:         "name",
		`{"name":"a\u0000","scopes":["admin"]}`: "name",
		`{"name":"a"}`:                          "scopes",
		`{"name":"a","scopes":[]}`:              "scopes",
		`{"name":"a","scopes":"admin"}`:         "scopes",
		`{"name":"a","scopes":[1]}`:             "scopes",
		`{"name":"a","scopes":["root"]}`:        "scopes",
		`{"name":"a","scopes":["admin"],"expires_at":"2020-01-01T00:00:00Z"}`: "expires_at",
		`{"name":"a","scopes":["admin"],"expires_at":1}`:                      "expires_at",
		`{"name":"a","scopes":["admin"],"key":"x"}`:                           "key",
	} {
		got := f.ask(t, "POST", "/keys", body)
		if got.status != 422 || !slices.Contains(got.fields(t), field) {
			t.Errorf("POST /keys %s = %d %s, want 422 on %s", body, got.status, got.body, field)
		}
	}
	if len(f.store.keys) != before {
		t.Errorf("%d keys were made, want none", len(f.store.keys)-before)
	}
}
