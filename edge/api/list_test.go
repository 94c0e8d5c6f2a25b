package api

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

// pages follows next_cursor to the end and gathers what each item yields.
func pages[T any](t *testing.T, f *fixture, path string, of func(T) string) (all []string, count int) {
	t.Helper()
	cursor := ""
	for count < 100 {
		got := f.ask(t, "GET", path+cursor, "")
		if got.status != 200 {
			t.Fatalf("GET %s%s = %d %s", path, cursor, got.status, got.body)
		}
		var p page[T]
		got.into(t, &p)
		count++
		for _, item := range p.Data {
			all = append(all, of(item))
		}
		if p.NextCursor == nil {
			if got.get("Link") != "" {
				t.Errorf("the last page has Link %q", got.get("Link"))
			}
			return all, count
		}
		cursor = "&cursor=" + *p.NextCursor
		if want := "<https://sho.rt" + path + cursor + `>; rel="next"`; got.get("Link") != want {
			t.Errorf("Link = %q, want %q", got.get("Link"), want)
		}
	}
	t.Fatal("the pages do not end")
	return nil, 0
}

func TestListLinks(t *testing.T) {
	f := newFixture(t, nil)
	for _, code := range []string{"bb", "aa", "dd", "cc", "ee"} {
		f.ask(t, "POST", "/shorten", `{"url":"https://`+code+`.example/","code":"`+code+`"}`)
	}
	f.ask(t, "DELETE", "/urls/3", "")
	code := func(l linkJSON) string { return l.Code }
	for path, want := range map[string]string{
		"/urls?limit=2":                           "ee cc dd aa bb",
		"/urls?limit=2&sort=created_at":           "bb aa dd cc ee",
		"/urls?limit=2&sort=code":                 "aa bb cc dd ee",
		"/urls?limit=2&sort=-updated_at":          "ee cc dd aa bb",
		"/urls?limit=1&active=false":              "dd",
		"/urls?limit=3&active=true&sort=code":     "aa bb cc ee",
		"/urls?limit=5&code=cc":                   "cc",
		"/urls?limit=5&search=aa.ex":              "aa",
		"/urls?limit=5&search=nothing&total=true": "",
	} {
		if got, _ := pages(t, f, path, code); strings.Join(got, " ") != want {
			t.Errorf("GET %s = %v, want %s", path, got, want)
		}
	}
	if got := f.ask(t, "GET", "/urls?total=true&limit=1", ""); !strings.Contains(got.body, `"total":5`) {
		t.Errorf("GET with total = %s, want 5", got.body)
	}
	if got := f.ask(t, "GET", "/urls?code=none", ""); got.body != `{"data":[],"next_cursor":null}` {
		t.Errorf("an empty list = %s", got.body)
	}
}

func TestAudit(t *testing.T) {
	f := newFixture(t, nil)
	f.ask(t, "POST", "/shorten", `{"url":"https://example.com","code":"abc"}`, "X-Request-ID: r1")
	f.ask(t, "PATCH", "/urls/1", `{"title":"T"}`)
	f.ask(t, "DELETE", "/urls/1", "")
	actions, count := pages(t, f, "/urls/1/audit?limit=2", func(e auditJSON) string { return string(e.Action) })
	if !slices.Equal(actions, []string{"created", "updated", "deactivated"}) || count != 2 {
		t.Errorf("audit = %v in %d pages, want three events in two", actions, count)
	}
	var p page[auditJSON]
	f.ask(t, "GET", "/urls/1/audit", "").into(t, &p)
	if e := p.Data[0]; e.Before != nil || e.After.Target != "https://example.com/" || *e.Key != 4 || *e.RequestID != "r1" || e.Link != 1 {
		t.Errorf("the first event = %+v", e)
	}
	if e := p.Data[1]; e.Before.Title != "" || e.After.Title != "T" || e.After.Version != 2 {
		t.Errorf("the second event = %+v", e)
	}
	if got := f.ask(t, "GET", "/urls/9/audit", ""); got.status != 404 {
		t.Errorf("audit of no link = %d, want 404", got.status)
	}
}

func TestCursorsAreOfOneList(t *testing.T) {
	at := time.Date(2030, 1, 2, 3, 4, 5, 6000, time.UTC)
	for _, sort := range sorts() {
		c := engine.LinkCursor{Sort: sort, ID: 1 << 40, Time: at, Code: "abc"}
		got, ok := parseLinkCursor(linkCursor(c), sort)
		if !ok || got.ID != c.ID || (sort == engine.SortCode) != (got.Code == "abc") || (sort == engine.SortCode) == got.Time.Equal(c.Time) {
			t.Errorf("cursor of %s comes back as %+v, %v", sort, got, ok)
		}
		for _, other := range sorts() {
			if _, ok := parseLinkCursor(linkCursor(c), other); ok != (sort == other) {
				t.Errorf("cursor of %s in a list by %s: %v", sort, other, ok)
			}
		}
	}
	if _, ok := parseNumberCursor(numberCursor(cursorClicks, 5), cursorAudit); ok {
		t.Error("a cursor of clicks is taken for one of audit events")
	}
}

func FuzzCursor(f *testing.F) {
	f.Add(linkCursor(engine.LinkCursor{Sort: engine.SortCode, ID: 1, Code: "abc"}))
	f.Add(linkCursor(engine.LinkCursor{Sort: engine.SortNewest, ID: 1}))
	f.Add(numberCursor(cursorClicks, 1<<62))
	f.Add("")
	f.Add("====")
	f.Fuzz(func(t *testing.T, cursor string) {
		for _, sort := range sorts() {
			if c, ok := parseLinkCursor(cursor, sort); ok && (c.ID <= 0 || c.Sort != sort || linkCursor(*c) != cursor) {
				t.Errorf("%q is taken as %+v", cursor, c)
			}
		}
		for _, kind := range []byte{cursorAudit, cursorClicks} {
			if n, ok := parseNumberCursor(cursor, kind); ok && numberCursor(kind, n) != cursor {
				t.Errorf("%q is taken as %d", cursor, n)
			}
		}
	})
}

func FuzzShorten(f *testing.F) {
	for _, seed := range []string{`{"url":"https://example.com"}`, `{`, `{"url":1,"x":[[]]}`, `{"url":null}`, "{\"url\":\"\xff\"}", `[]`, `{"valid_until":"2030-01-01T00:00:00Z"}`, `{"a":1,"a":2}`} {
		f.Add(seed)
	}
	api := newFixture(f, nil)
	f.Fuzz(func(t *testing.T, body string) {
		for _, line := range []string{"POST /shorten", "PUT /urls/1", "PATCH /urls/1"} {
			method, path, _ := strings.Cut(line, " ")
			got := api.ask(t, method, path, body)
			if got.status >= 500 || got.status < 200 {
				t.Errorf("%s %q = %d %s", line, body, got.status, got.body)
			}
		}
		if got := api.ask(t, "POST", "/shorten", body, "Content-Type: application/x-ndjson"); got.status >= 500 {
			t.Errorf("bulk %q = %d %s", body, got.status, got.body)
		}
	})
}
