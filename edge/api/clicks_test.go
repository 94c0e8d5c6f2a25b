package api

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"

	"github.com/carom-dev/carom/engine"
)

// withClicks adds a link and n clicks on it, one a minute.
func withClicks(t *testing.T, n int) *fixture {
	f := newFixture(t, nil)
	f.ask(t, "POST", "/shorten", `{"url":"https://example.com","code":"abc"}`)
	for i := range n {
		f.store.clicks = append(f.store.clicks, engine.StoredClick{ID: engine.ClickID(i + 1), Code: "abc", Click: engine.Click{
			At: f.clock.Add(time.Duration(i) * time.Minute).UnixMicro(), Link: 1, Visitor: 0xabc, Address: engine.TruncateAddr(netip.MustParseAddr("203.0.113.9")), Status: 302,
			UserAgent: []byte("ua\xff"), Referrer: []byte("https://r.example/"),
		}})
	}
	return f
}

func TestClicks(t *testing.T) {
	f := withClicks(t, 5)
	f.store.clicks[1].Flags = engine.ClickHead
	f.store.clicks[2].Flags = engine.ClickPrefetch
	f.store.clicks[4].Link = 2
	id := func(c clickJSON) string { return itoa(int(c.ID)) }
	for path, want := range map[string]string{
		"/clicks?limit=2":                            "1 2 3 4 5",
		"/urls/1/clicks?limit=2":                     "1 2 3 4",
		"/urls/1/clicks?limit=4":                     "1 2 3 4",
		"/clicks?limit=9&from=2030-01-02T03:06:00Z":  "3 4 5",
		"/clicks?limit=9&to=2030-01-02T03:05:05Z":    "1",
		"/clicks?limit=9&from=2030-01-03":            "",
		"/clicks?limit=9&from=2030-01-02&to=2031-01": "x",
		"/clicks?limit=2&after=1":                    "2 3 4 5",
		"/clicks?limit=9&after=5":                    "",
		"/clicks?after=-1":                           "x",
	} {
		if want == "x" {
			if got := f.ask(t, "GET", path, ""); got.status != 422 {
				t.Errorf("GET %s = %d, want 422", path, got.status)
			}
			continue
		}
		if got, _ := pages(t, f, path, id); strings.Join(got, " ") != want {
			t.Errorf("GET %s = %v, want %s", path, got, want)
		}
	}
	got := f.ask(t, "GET", "/clicks?limit=1", "")
	want := `{"data":[{"id":1,"link_id":1,"code":"abc","at":"2030-01-02T03:04:05Z","status":302,"method":"GET","prefetch":false,"referrer":"https://r.example/",` +
		`"user_agent":"ua` + "\uFFFD" + `","language":null,"ip":"203.0.113.0","visitor":"0000000000000abc"}],`
	if !strings.HasPrefix(got.body, want) {
		t.Errorf("a click = %s, want %s", got.body, want)
	}
	var p page[clickJSON]
	f.ask(t, "GET", "/clicks", "").into(t, &p)
	if p.Data[1].Method != "HEAD" || !p.Data[2].Prefetch {
		t.Errorf("flags are lost: %+v", p.Data)
	}
	if got := f.ask(t, "GET", "/urls/9/clicks", ""); got.status != 404 {
		t.Errorf("clicks of no link = %d, want 404", got.status)
	}
}

// over runs the API on an in-memory listener and asks it one raw request.
func over(t *testing.T, f *fixture, raw string) (*bufio.Reader, func()) {
	ln := fasthttputil.NewInmemoryListener()
	server := &fasthttp.Server{Handler: f.Handle, DisableHeaderNamesNormalizing: true, NoDefaultContentType: true}
	done := make(chan error, 1)
	go func() { done <- server.Serve(ln) }()
	c, err := ln.Dial()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
	return bufio.NewReader(c), func() {
		c.Close()
		ln.Close()
		if err := <-done; err != nil {
			t.Errorf("Serve = %v", err)
		}
	}
}

func streamRequest(f *fixture, path string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: a\r\nAccept: application/x-ndjson\r\nX-Api-Key: " + f.secrets[engine.ScopeStatsRead] + "\r\n\r\n"
}

func TestClickStream(t *testing.T) {
	f := withClicks(t, 2*streamPage+5)
	for path, want := range map[string]int{
		"/clicks": 2*streamPage + 5, "/urls/1/clicks": 2*streamPage + 5, "/clicks?limit=7": 7, "/clicks?limit=1500": 1500,
		"/clicks?cursor=" + numberCursor(cursorClicks, streamPage+5): streamPage, "/clicks?from=2031-01-01": 0,
		"/clicks?after=" + itoa(streamPage+5): streamPage,
	} {
		r, stop := over(t, f, streamRequest(f, path))
		var resp fasthttp.Response
		if err := resp.Read(r); err != nil {
			t.Fatalf("GET %s: %v", path, err)
		}
		if n := strings.Count(string(resp.Body()), "\n"); n != want || string(resp.Header.ContentType()) != typeNDJSON || !strings.Contains(resp.Header.String(), "chunked") {
			t.Errorf("GET %s = %d lines of %s, want %d of NDJSON", path, n, resp.Header.ContentType(), want)
		}
		stop()
	}
	if got := f.raw(t, streamRequest(f, "/clicks?limit=0")); got.status != 422 {
		t.Errorf("limit=0 = %d, want 422", got.status)
	}
	old := strings.Replace(streamRequest(f, "/clicks"), "HTTP/1.1", "HTTP/1.0", 1)
	if got := f.raw(t, old); got.status != 400 || !strings.Contains(got.body, "HTTP/1.1") {
		t.Errorf("a stream for HTTP/1.0 = %d %s, want 400 that says what is needed", got.status, got.body)
	}
	f.store.fail(errAway)
	f.clock = f.clock.Add(time.Second) // within the key's time in memory
	if got := f.raw(t, streamRequest(f, "/clicks")); got.status != 503 {
		t.Errorf("a stream from a store that is away = %d, want 503", got.status)
	}
}

func TestAStreamThatBreaksOffIsNotWhole(t *testing.T) {
	f := withClicks(t, 50)
	s := &clickStream{api: f.API, query: engine.ClickQuery{}, left: 1 << 20}
	s.api.cfg.Clicks = &failingReader{fakeStore: f.store}
	f.store.clicks = append(f.store.clicks, make([]engine.StoredClick, streamPage)...)
	for i := range f.store.clicks {
		f.store.clicks[i].ID = engine.ClickID(i + 1)
	}
	if err := s.fill(); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(s)
	if err == nil || len(all) == 0 || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the stream ends with %v after %d bytes, want the store's error after the first page", err, len(all))
	}
}

// failingReader reads one page, then fails.
type failingReader struct {
	*fakeStore
	pages int
}

func (r *failingReader) Clicks(ctx context.Context, q engine.ClickQuery) ([]engine.StoredClick, error) {
	if r.pages++; r.pages > 1 {
		return nil, errAway
	}
	return r.fakeStore.Clicks(ctx, q)
}

func TestStats(t *testing.T) {
	f := withClicks(t, 0)
	got := f.ask(t, "GET", "/urls/1/stats", "")
	want := `{"clicks":3,"visits":2,"interval":"hour","series":[{"start":"1970-01-01T01:00:00Z","clicks":3}],"referrers":[{"host":"news.example","clicks":2},{"host":"","clicks":1}]}`
	if got.status != 200 || got.body != want {
		t.Errorf("GET = %d %s, want %s", got.status, got.body, want)
	}
	day := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for query, want := range map[string]engine.StatsQuery{
		"":                               {Link: 1, Referrers: 20},
		"?interval=day&referrers=0":      {Link: 1, Daily: true},
		"?from=2030-01-01&to=2030-01-02": {Link: 1, From: day, To: day.AddDate(0, 0, 1), Referrers: 20},
		"?from=2030-01-01T01:00:00%2B01:00&interval=hour": {Link: 1, From: day, To: day.AddDate(0, 0, 1).Add(4 * time.Hour), Referrers: 20},
		"?to=2030-01-01":   {Link: 1, From: time.Unix(0, 0).UTC(), To: day, Referrers: 20},
		"?from=2040-01-01": {Link: 1, From: day.AddDate(10, 0, 0), To: day.AddDate(10, 0, 0).Add(time.Hour), Referrers: 20},
	} {
		if got := f.ask(t, "GET", "/urls/1/stats"+query, ""); got.status != 200 || f.store.stats != want {
			t.Errorf("GET stats%s = %d, asks %+v, want %+v", query, got.status, f.store.stats, want)
		}
	}
	if got := f.ask(t, "GET", "/urls/9/stats", ""); got.status != 404 {
		t.Errorf("stats of no link = %d, want 404", got.status)
	}
}

// TestASeriesIsBounded asks for a series by the hour that is one point too long.
func TestASeriesIsBounded(t *testing.T) {
	f := withClicks(t, 0)
	for hour := range 10001 {
		f.store.series = append(f.store.series, engine.StatsPoint{Start: time.Unix(int64(hour)*3600, 0), Clicks: 2})
	}
	f.wantInvalid(t, "/urls/1/stats?interval=hour", "interval", "makes a series of 10001 points; at most 10000 are given")
	f.wantInvalid(t, "/urls/1/stats?interval=day", "interval", "a series of 10001 points") // as long as if they were days
	got := f.ask(t, "GET", "/urls/1/stats", "")
	const last = `{"start":"1971-02-21T00:00:00Z","clicks":34}],`
	if got.status != 200 || !strings.Contains(got.body, `"interval":"day","series":[{"start":"1970-01-01T00:00:00Z","clicks":48},`) || !strings.Contains(got.body, last) {
		t.Errorf("GET without an interval = %d %.200s, want days, the last of them %s", got.status, got.body, last)
	}
	f.store.series = f.store.series[1:]
	if got := f.ask(t, "GET", "/urls/1/stats", ""); got.status != 200 || strings.Count(got.body, `"start"`) != 10000 || !strings.Contains(got.body, `"interval":"hour"`) {
		t.Errorf("GET of 10000 points = %d %.200s, want all of them", got.status, got.body)
	}
}

// wantInvalid wants a 422 that names the field and says so.
func (f *fixture) wantInvalid(t *testing.T, path, field, detail string) {
	t.Helper()
	got := f.ask(t, "GET", path, "")
	if got.status != 422 || !strings.Contains(got.body, `"field":"`+field+`"`) || !strings.Contains(got.body, detail) {
		t.Errorf("GET %s = %d %.300s, want 422 for %s: %s", path, got.status, got.body, field, detail)
	}
}
