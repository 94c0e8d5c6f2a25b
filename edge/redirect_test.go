package edge

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/engine/limit"
)

func TestRedirect(t *testing.T) {
	f := newFixture(t, nil)
	for _, tt := range []struct {
		path, location, cache string
		status                int
	}{
		{"/abc", "https://example.com/a%2Fb?x=1#frag", "private, no-store", 302},
		{"/abc?utm=1", "https://example.com/a%2Fb?x=1#frag", "private, no-store", 302},
		{"/perm", "https://example.com/", "private, max-age=300", 301},
		{"/perm8", "https://example.com/", "private, max-age=300", 308},
		{"/temp7", "https://example.com/", "private, no-store", 307},
		{"/few", "https://example.com/", "private, no-store", 301},
		{"/cold", "https://example.com/cold", "private, no-store", 302},
		{"/fwd?a=b", "https://example.com/p?x=1&a=b#frag", "private, no-store", 302},
		{"/fwd", "https://example.com/p?x=1#frag", "private, no-store", 302},
		{"http://other.example/abc", "https://example.com/a%2Fb?x=1#frag", "private, no-store", 302},
	} {
		t.Run(tt.path, func(t *testing.T) {
			got := f.get(t, tt.path)
			if got.status != tt.status || got.get("Location") != tt.location || got.get("Cache-Control") != tt.cache {
				t.Errorf("GET %s = %d %q %q, want %d %q %q", tt.path, got.status, got.get("Location"), got.get("Cache-Control"), tt.status, tt.location, tt.cache)
			}
			if got.body != "" || got.get("Content-Type") != "" || got.get("Server") != "" {
				t.Errorf("body %q, Content-Type %q, Server %q, want none of them", got.body, got.get("Content-Type"), got.get("Server"))
			}
			if got.get("Date") == "" || got.get("X-Request-ID") != "" {
				t.Errorf("header lacks a date, or has a request id that nobody asked for: %s", got.header)
			}
		})
	}
}

func TestRedirectWithoutACode(t *testing.T) {
	f := newFixture(t, nil)
	for _, path := range []string{
		"/nosuch", "/missing", "//abc", "/abc/", "/abc/def", "/%61bc", "/a%62c", "/%2561bc", "/ab%63", "/abc%00", "/abc%2F", "/ab.c", "/\u00e4\u00f6", "/a%C3%A4",
		"/" + strings.Repeat("a", 65), "/abc;x", "/abc@x", "/abc=", "/+abc", "/~abc", "/.", "/..", "/abc:", "/abc,", "/a'b",
	} {
		if got := f.get(t, path); got.status != 404 || got.get("Location") != "" {
			t.Errorf("GET %s = %d to %q, want 404", path, got.status, got.get("Location"))
		}
	}
	if n := len(f.journal.clicks); n != 0 {
		t.Errorf("%d clicks were recorded, want none", n)
	}
}

func TestRefusals(t *testing.T) {
	f := newFixture(t, nil)
	for _, tt := range []struct {
		code       string
		status     int
		retryAfter string
	}{
		{"missing", 404, ""}, {"gone", 410, ""}, {"expired", 410, ""}, {"exhausted", 410, ""}, {"away", 503, "1"}, {"shed", 503, "1"},
	} {
		plain := f.get(t, "/"+tt.code)
		if plain.status != tt.status || plain.get("Retry-After") != tt.retryAfter || !strings.HasPrefix(plain.get("Content-Type"), "text/plain") {
			t.Errorf("GET /%s = %d, Retry-After %q, %q; want %d, %q, text/plain", tt.code, plain.status, plain.get("Retry-After"), plain.get("Content-Type"), tt.status, tt.retryAfter)
		}
		if plain.get("Cache-Control") != "private, no-store" || plain.get("X-Frame-Options") != "DENY" || plain.get("X-Request-ID") == "" || len(plain.body) > 100 {
			t.Errorf("GET /%s has the header\n%s\nand body %q", tt.code, plain.header, plain.body)
		}
		page := f.get(t, "/"+tt.code, "accept: text/html,*/*")
		if !strings.HasPrefix(page.get("Content-Type"), "text/html") || !strings.HasPrefix(page.body, "<!doctype html>") {
			t.Errorf("a browser's GET /%s = %q %q, want a page", tt.code, page.get("Content-Type"), page.body)
		}
		head := f.ask(t, "HEAD /"+tt.code+" HTTP/1.1\r\nHost: a\r\n\r\n")
		if head.status != tt.status || head.body != "" {
			t.Errorf("HEAD /%s = %d %q, want %d without a body", tt.code, head.status, head.body, tt.status)
		}
	}
	if n := len(f.journal.clicks); n != 0 {
		t.Errorf("%d clicks were recorded, want none", n)
	}
	st := f.Stats()
	for o, want := range map[engine.Outcome]uint64{engine.OutcomeNotFound: 3, engine.OutcomeInactive: 3, engine.OutcomeShed: 3, engine.OutcomeRedirect: 0} {
		if got := st.Of(o); got != want {
			t.Errorf("Stats().Of(%v) = %d, want %d", o, got, want)
		}
	}
	if len(engine.Outcomes()) != outcomeCount {
		t.Errorf("there are %d outcomes, outcomeCount is %d", len(engine.Outcomes()), outcomeCount)
	}
}

func TestClick(t *testing.T) {
	long := strings.Repeat("x", 3000)
	for _, tt := range []struct {
		rule, raw string
		flags     engine.ClickFlags
		ua        string
		referrer  string
		language  string
	}{
		{"a plain GET", "GET /abc HTTP/1.1\r\nHost: a\r\nUser-Agent: ua\r\nReferer: https://r.example/x\r\nAccept-Language: de\r\n\r\n", 0, "ua", "https://r.example/x", "de"},
		{"names have no case", "GET /abc HTTP/1.1\r\nhost: a\r\nuser-agent: ua\r\nREFERER: r\r\naccept-LANGUAGE: de\r\n\r\n", 0, "ua", "r", "de"},
		{"nothing known", "GET /abc HTTP/1.1\r\nHost: a\r\n\r\n", 0, "", "", ""},
		{"HEAD", "HEAD /abc HTTP/1.1\r\nHost: a\r\n\r\n", engine.ClickHead, "", "", ""},
		{"Sec-Purpose", "GET /abc HTTP/1.1\r\nHost: a\r\nSec-Purpose: prefetch;prerender\r\n\r\n", engine.ClickPrefetch, "", "", ""},
		{"Purpose", "GET /abc HTTP/1.1\r\nHost: a\r\nPurpose: prefetch\r\n\r\n", engine.ClickPrefetch, "", "", ""},
		{"X-Moz", "GET /abc HTTP/1.1\r\nHost: a\r\nX-moz: Prefetch\r\n\r\n", engine.ClickPrefetch, "", "", ""},
		{"another purpose", "GET /abc HTTP/1.1\r\nHost: a\r\nPurpose: navigate\r\n\r\n", 0, "", "", ""},
		{"a budgeted visit", "GET /few HTTP/1.1\r\nHost: a\r\n\r\n", engine.ClickBudgeted, "", "", ""},
		{"HEAD uses up no visit", "HEAD /few HTTP/1.1\r\nHost: a\r\n\r\n", engine.ClickHead, "", "", ""},
		{"a prefetch uses up no visit", "GET /few HTTP/1.1\r\nHost: a\r\nPurpose: prefetch\r\n\r\n", engine.ClickPrefetch, "", "", ""},
		{
			"long values are cut", "GET /abc HTTP/1.1\r\nHost: a\r\nUser-Agent: " + long + "\r\nReferer: " + long + "\r\nAccept-Language: " + long[:100] + "\r\n\r\n",
			0, long[:engine.UserAgentMaxLen], long[:engine.ReferrerMaxLen], long[:engine.LanguageMaxLen],
		},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			f := newFixture(t, nil)
			f.ask(t, tt.raw)
			if len(f.journal.clicks) != 1 {
				t.Fatalf("%d clicks were recorded, want 1", len(f.journal.clicks))
			}
			c := f.journal.clicks[0]
			if c.Flags != tt.flags || string(c.UserAgent) != tt.ua || string(c.Referrer) != tt.referrer || string(c.Language) != tt.language {
				t.Errorf("click = %+v %q %q %q, want %v %q %q %q", c.Flags, c.UserAgent, c.Referrer, c.Language, tt.flags, tt.ua, tt.referrer, tt.language)
			}
			if c.Address.String() != "198.51.100.0" || c.Link != 7 || c.At == 0 || f.journal.lanes[0] != 3 || c.Visitor != (fakeHasher{}).Visitor(c.At, c.Address, c.UserAgent) {
				t.Errorf("click = %+v in lane %d, want link 7 from 198.51.100.0 in lane 3", c, f.journal.lanes[0])
			}
		})
	}
}

func TestPermanentRedirectsFetchedAheadAreNotCached(t *testing.T) {
	f := newFixture(t, nil)
	if got := f.get(t, "/perm", "Purpose: prefetch").get("Cache-Control"); got != "private, no-store" {
		t.Errorf("Cache-Control of a prefetched 301 = %q, want private, no-store", got)
	}
}

func TestJournalFull(t *testing.T) {
	t.Run("dropped", func(t *testing.T) {
		f := newFixture(t, nil)
		f.journal.err = engine.ErrJournalFull
		if got := f.get(t, "/abc"); got.status != 302 {
			t.Errorf("GET = %d, want 302", got.status)
		}
		if st := f.Stats(); st.Unrecorded != 1 || st.Of(engine.OutcomeRedirect) != 1 || st.Refused != 0 {
			t.Errorf("Stats = %+v, want one unrecorded redirect", st)
		}
		// A budget can only be exact when each of its visits leaves a click.
		if got := f.get(t, "/few"); got.status != 503 || len(f.resolver.refunded) != 1 {
			t.Errorf("GET of a link with a budget = %d with %d refunds, want 503 and its visit back", got.status, len(f.resolver.refunded))
		}
	})
	t.Run("refused", func(t *testing.T) {
		f := newFixture(t, func(c *Config) { c.RefuseUnrecorded = true })
		f.journal.err = engine.ErrJournalClosed
		if got := f.get(t, "/few"); got.status != 503 || got.get("Retry-After") != "1" || got.get("Location") != "" {
			t.Errorf("GET = %d Retry-After %q to %q, want a 503", got.status, got.get("Retry-After"), got.get("Location"))
		}
		f.get(t, "/abc")
		if len(f.resolver.refunded) != 1 {
			t.Errorf("%d visits were refunded, want the budgeted one", len(f.resolver.refunded))
		}
		if st := f.Stats(); st.Refused != 2 || st.Of(engine.OutcomeRedirect) != 0 {
			t.Errorf("Stats = %+v, want two refused", st)
		}
	})
}

// TestClicksThatAreNotSynced holds that a click that is recorded, and only not safe against a loss of power, is never taken for one that is missing.
func TestClicksThatAreNotSynced(t *testing.T) {
	for name, tt := range map[string]struct {
		refuse  bool
		want    [2]int
		refused uint64
	}{"go on": {false, [2]int{302, 301}, 0}, "refused": {true, [2]int{503, 503}, 2}} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, func(c *Config) { c.RefuseUnrecorded = tt.refuse })
			f.journal.err = fmt.Errorf("append click: %w", engine.ErrNotDurable)
			if got := [2]int{f.get(t, "/abc").status, f.get(t, "/few").status}; got != tt.want {
				t.Errorf("a link and one with a budget = %d, want %d", got, tt.want)
			}
			if len(f.resolver.refunded) != 0 {
				t.Error("a visit was given back whose click will be stored")
			}
			if st := f.Stats(); st.Unrecorded != 0 || st.Refused != tt.refused {
				t.Errorf("Stats = %+v, want none unrecorded and %d refused", st, tt.refused)
			}
		})
	}
}

func TestUnknownCodesAreLimited(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.UnknownRate = limit.Rate{Requests: 5, Period: 3600e9} })
	for i := range 5 {
		if got := f.get(t, "/nosuch"); got.status != 404 {
			t.Fatalf("unknown code %d = %d, want 404", i, got.status)
		}
	}
	got := f.get(t, "/other")
	if got.status != 429 || got.get("Retry-After") != "720" {
		t.Errorf("the sixth unknown code = %d, Retry-After %q; want 429, 720", got.status, got.get("Retry-After"))
	}
	if f.resolver.loads != 5 {
		t.Errorf("%d codes were loaded, want 5: one over the limit must not reach the store", f.resolver.loads)
	}
	if got := f.get(t, "/missing"); got.status != 429 {
		t.Errorf("a code known to be missing = %d, want 429", got.status)
	}
	if got := f.get(t, "/abc"); got.status != 302 {
		t.Errorf("a known code = %d, want 302", got.status)
	}
	if st := f.Stats(); st.Limited != 2 {
		t.Errorf("Stats().Limited = %d, want 2", st.Limited)
	}
	if f.Limiters()["unknown"] == nil || f.Limiters()["redirects"] != nil {
		t.Errorf("Limiters = %v, want unknown alone", f.Limiters())
	}
}

func TestRedirectsAreLimitedWhenAsked(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.RedirectRate = limit.Rate{Requests: 2, Period: 60e9} })
	for _, want := range []int{302, 302, 429} {
		if got := f.get(t, "/abc"); got.status != want {
			t.Errorf("GET = %d, want %d", got.status, want)
		}
	}
	if got := f.get(t, "/few"); got.status != 429 || len(f.resolver.refunded) != 1 {
		t.Errorf("a budgeted visit over the limit = %d with %d refunds, want 429 with its visit given back", got.status, len(f.resolver.refunded))
	}
	if f.Limiters()["redirects"] == nil {
		t.Error("Limiters has no redirects")
	}
}

func TestRequestIDOfARedirect(t *testing.T) {
	f := newFixture(t, nil)
	if got := f.get(t, "/abc", "X-Request-Id: given-1").get("X-Request-ID"); got != "given-1" {
		t.Errorf("X-Request-ID = %q, want the given one", got)
	}
	if got := f.get(t, "/abc", "X-Request-ID: no good").get("X-Request-ID"); got != "" {
		t.Errorf("X-Request-ID = %q, want none", got)
	}
}

// TestRequestIDOfARefusal sends what can't be read, behind requests that could.
func TestRequestIDOfARefusal(t *testing.T) {
	f := newFixture(t, nil)
	addr, _ := f.serve(t)
	seen := map[string]string{}
	for name, raw := range map[string]string{
		"no HTTP":           "nonsense\r\n\r\n",
		"no HTTP, again":    "nonsense\r\n\r\n",
		"behind a readable": "GET /missing HTTP/1.1\r\nHost: a\r\n\r\nnonsense\r\n\r\n",
		"two lengths":       "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	} {
		c := dial(t, addr)
		if _, err := io.WriteString(c, raw); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(c)
		for {
			var resp fasthttp.Response
			if err := resp.Read(r); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			id := string(resp.Header.Peek("X-Request-ID"))
			if before, twice := seen[id]; id == "" || twice {
				t.Errorf("%s: X-Request-ID is %q, as of %s", name, id, before)
			}
			if resp.StatusCode() != 404 && !strings.Contains(string(resp.Body()), id) {
				t.Errorf("%s: the problem %s does not name %s", name, resp.Body(), id)
			}
			seen[id] = name
		}
	}
	if len(seen) != 5 {
		t.Errorf("%d request ids, want 5", len(seen))
	}
	got := exchange(t, dial(t, addr), "POST / HTTP/1.1\r\nHost: a\r\nX-Request-ID: mine\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	if id := string(got.Header.Peek("X-Request-ID")); got.StatusCode() != 400 || id != "mine" {
		t.Errorf("a refusal = %d with X-Request-ID %q, want 400 with the client's own", got.StatusCode(), id)
	}
}

func TestAppendForwarded(t *testing.T) {
	for _, tt := range []struct{ target, query, want string }{
		{"https://a.example/", "x=1", "https://a.example/?x=1"},
		{"https://a.example/p?y=2", "x=1", "https://a.example/p?y=2&x=1"},
		{"https://a.example/p?", "x=1", "https://a.example/p?x=1"},
		{"https://a.example/p?y&", "x=1", "https://a.example/p?y&x=1"},
		{"https://a.example/p#f?g", "x=1", "https://a.example/p?x=1#f?g"},
		{"https://a.example/p?y#f", "x=1", "https://a.example/p?y&x=1#f"},
		{"https://a.example/p", "", "https://a.example/p"},
		{"https://a.example/p", "?x", "https://a.example/p??x"},
		{"https://a.example/p", "a b\"<>'#\x7f\xc3\xa4\r\n", "https://a.example/p?a%20b%22%3C%3E%27%23%7F%C3%A4%0D%0A"},
		{"https://a.example/p", "q=%0d%0aSet-Cookie:x", "https://a.example/p?q=%0d%0aSet-Cookie:x"},
		{"https://a.example/p", strings.Repeat("x", forwardQueryMax), "https://a.example/p?" + strings.Repeat("x", forwardQueryMax)},
		{"https://a.example/p#f", strings.Repeat("x", forwardQueryMax+1), "https://a.example/p#f"},
	} {
		if got := string(appendForwarded(nil, []byte(tt.target), []byte(tt.query))); got != tt.want {
			t.Errorf("appendForwarded(%q, %.80q) = %q, want %q", tt.target, tt.query, got, tt.want)
		}
	}
}
