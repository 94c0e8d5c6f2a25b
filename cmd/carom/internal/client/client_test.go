package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/carom-dev/carom/cmd/carom/internal/bulk"
	"github.com/carom-dev/carom/cmd/carom/internal/client"
	"github.com/carom-dev/carom/engine"
)

// serve starts a server and a client for it.
func serve(t *testing.T, handler http.HandlerFunc) *client.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c, err := client.New(server.URL, "secret")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func answer(w http.ResponseWriter, status int, contentType, body string) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func TestNewRefusesWhatIsNoServer(t *testing.T) {
	for _, base := range []string{"", "127.0.0.1:8080", "ftp://x", "http://", "http://u:p@h", "http://h/?x=1", "http://%zz"} {
		if _, err := client.New(base, ""); err == nil || !strings.Contains(err.Error(), "http://127.0.0.1:8080") {
			t.Errorf("New(%q) = %v, want an error with an example", base, err)
		}
	}
}

func TestRequestsCarryTheKey(t *testing.T) {
	var got http.Header
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		answer(w, 200, "application/json", `{"data":[]}`)
	})
	if _, err := c.Keys(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got.Get("Authorization") != "Bearer secret" || got.Get("Accept") != "application/json" {
		t.Errorf("headers = %v", got)
	}
}

func TestProblemsAreRead(t *testing.T) {
	for _, test := range []struct {
		status            int
		contentType, body string
		want              string
	}{
		{422, "application/problem+json", `{"status":422,"title":"x","detail":"the key is not accepted","errors":[{"field":"name","detail":"is empty"}]}`, "the server answered 422: the key is not accepted; name is empty"},
		{403, "application/problem+json", `{"title":"Forbidden"}`, "the server answered 403: Forbidden"},
		{500, "text/html", "<h1>no</h1>", "the server answered 500: Internal Server Error"},
		{502, "application/json", "{", "the server answered 502: Bad Gateway"},
		{503, "text/plain", "", "the server answered 503: Service Unavailable"},
		{301, "text/plain", "", "it redirects to https://elsewhere.example/; give that as --server"},
	} {
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if test.status == 301 {
				w.Header().Set("Location", "https://elsewhere.example/")
			}
			answer(w, test.status, test.contentType, test.body)
		})
		err := c.RevokeKey(t.Context(), 7)
		problem, ok := errors.AsType[*client.Problem](err)
		if !ok || problem.Status != test.status || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "DELETE /keys/7") {
			t.Errorf("%d %s: error = %v, want %q", test.status, test.body, err, test.want)
		}
	}
}

func TestWaitsWhenToldSo(t *testing.T) {
	var asked []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, string(body))
		switch len(asked) {
		case 1:
			w.Header().Set("Retry-After", "7")
			answer(w, 429, "text/plain", "")
		case 2:
			w.Header().Set("Retry-After", "1")
			answer(w, 503, "text/plain", "")
		default:
			answer(w, 200, "application/x-ndjson", `{"line":1,"outcome":"created","id":1,"code":"a"}`+"\n")
		}
	})
	var waited []time.Duration
	c.SetWait(func(_ context.Context, d time.Duration) error {
		waited = append(waited, d)
		return nil
	})
	links := []engine.Link{{Code: "a", Target: "https://a.example/", Active: true, RedirectStatus: 302}}
	if results, err := c.ImportLinks(t.Context(), links, "skip"); err != nil || len(results) != 1 {
		t.Fatalf("ImportLinks() = %v, %v", results, err)
	}
	if len(waited) != 2 || waited[0] != 7*time.Second || waited[1] != time.Second {
		t.Errorf("waited %v, want 7s and 1s", waited)
	}
	if len(asked) != 3 || asked[0] == "" || asked[2] != asked[0] {
		t.Errorf("asked %q, want the same body three times", asked)
	}
}

func TestWaitingEnds(t *testing.T) {
	asked := 0
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		w.Header().Set("Retry-After", "1")
		answer(w, 429, "text/plain", "")
	})
	c.SetWait(func(context.Context, time.Duration) error { return nil })
	if _, err := c.Keys(t.Context()); err == nil || asked != 10 {
		t.Errorf("asked %d times, %v; want an error after 10", asked, err)
	}
	asked = 0
	ctx, cancel := context.WithCancel(t.Context())
	c.SetWait(func(ctx context.Context, _ time.Duration) error {
		cancel()
		return ctx.Err()
	})
	if _, err := c.Keys(ctx); !errors.Is(err, context.Canceled) || asked != 1 {
		t.Errorf("asked %d times, %v; want the end of the context", asked, err)
	}
}

func TestDoesNotWaitTooLong(t *testing.T) {
	asked := 0
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		w.Header().Set("Retry-After", "86400")
		answer(w, 429, "text/plain", "")
	})
	if _, err := c.Keys(t.Context()); err == nil || asked != 1 {
		t.Errorf("asked %d times, %v; want an error at once", asked, err)
	}
}

func TestReady(t *testing.T) {
	status := 200
	c := serve(t, func(w http.ResponseWriter, r *http.Request) { answer(w, status, "text/plain", r.URL.Path) })
	if err := c.Ready(t.Context()); err != nil {
		t.Errorf("Ready() = %v", err)
	}
	status = 503
	if err := c.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "not ready") {
		t.Errorf("Ready() = %v, want not ready", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Ready(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Ready() = %v, want the end of the context", err)
	}
}

func TestKeys(t *testing.T) {
	var body string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		body = string(text)
		switch r.Method {
		case http.MethodPost:
			answer(w, 201, "application/json", `{"id":3,"name":"n","prefix":"carom_x","scopes":["admin"],"created_at":"2026-01-01T00:00:00Z","expires_at":null,"last_used_at":null,"revoked_at":null,"key":"carom_secret"}`)
		case http.MethodGet:
			answer(w, 200, "application/json", `{"data":[{"id":3,"name":"n"},{"id":4,"name":"m"}],"next_cursor":null}`)
		default:
			w.WriteHeader(204)
		}
	})
	key, err := c.CreateKey(t.Context(), "n", []engine.Scope{engine.ScopeAdmin}, time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil || key.ID != 3 || key.Secret != "carom_secret" || body != `{"name":"n","scopes":["admin"],"expires_at":"2027-01-01T00:00:00Z"}` {
		t.Errorf("CreateKey() = %+v, %v after %s", key, err, body)
	}
	if _, err := c.CreateKey(t.Context(), "n", []engine.Scope{engine.ScopeAdmin}, time.Time{}); err != nil || strings.Contains(body, "expires_at") {
		t.Errorf("CreateKey() = %v after %s", err, body)
	}
	if keys, err := c.Keys(t.Context()); err != nil || len(keys) != 2 || keys[1].ID != 4 {
		t.Errorf("Keys() = %+v, %v", keys, err)
	}
	if err := c.RevokeKey(t.Context(), 3); err != nil {
		t.Errorf("RevokeKey() = %v", err)
	}
}

func TestEachFollowsTheCursor(t *testing.T) {
	var queries []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		queries = append(queries, r.URL.Path+"?"+r.URL.RawQuery)
		next := `"c1"`
		if r.URL.Query().Get("cursor") == "c1" {
			next = "null"
		}
		answer(w, 200, "application/json", fmt.Sprintf(`{"data":[{"id":%d,"code":"a","url":"https://a.example/","redirect_status":301}],"next_cursor":%s}`, len(queries), next))
	})
	var ids []engine.LinkID
	if err := c.EachLink(t.Context(), func(l *engine.Link) error {
		ids = append(ids, l.ID)
		return nil
	}); err != nil || len(ids) != 2 || ids[1] != 2 {
		t.Errorf("EachLink() = %v, %v", ids, err)
	}
	clicks := 0
	from, to := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	queries = nil
	if err := c.EachClick(t.Context(), from, to, func(*bulk.ClickJSON) error {
		clicks++
		return nil
	}); err != nil || clicks != 2 {
		t.Errorf("EachClick() = %d clicks, %v", clicks, err)
	}
	want := "/clicks?cursor=c1&from=2026-01-01T00%3A00%3A00Z&limit=1000&to=2026-02-01T00%3A00%3A00Z"
	if len(queries) != 2 || queries[1] != want {
		t.Errorf("asked %q, want %q last", queries, want)
	}
	full := errors.New("disk is full")
	if err := c.EachLink(t.Context(), func(*engine.Link) error { return full }); !errors.Is(err, full) {
		t.Errorf("EachLink() = %v, want %v", err, full)
	}
	if err := c.EachClick(t.Context(), from, to, func(*bulk.ClickJSON) error { return full }); !errors.Is(err, full) {
		t.Errorf("EachClick() = %v, want %v", err, full)
	}
}

func TestImportStaysBelowTheServersBounds(t *testing.T) {
	small := make([]engine.Link, 2500)
	large := make([]engine.Link, 300)
	for i := range small {
		small[i] = engine.Link{Code: fmt.Sprint("s", i), Target: "https://a.example/", RedirectStatus: 302}
	}
	for i := range large {
		large[i] = engine.Link{Code: fmt.Sprint("l", i), Target: "https://a.example/" + strings.Repeat("x", 8000), RedirectStatus: 302}
	}
	for name, links := range map[string][]engine.Link{"many": small, "large": large} {
		stored := 0
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			n := bytes.Count(body, []byte("\n"))
			if len(body) >= 1<<20 || n > 1000 || r.URL.RawQuery != "on_conflict=overwrite" || r.Header.Get("Content-Type") != "application/x-ndjson" {
				t.Errorf("%s: request of %d bytes, %d lines, %s", name, len(body), n, r.URL)
			}
			stored += n
			w.Header().Set("Content-Type", "application/x-ndjson")
			for i := range n {
				fmt.Fprintf(w, `{"line":%d,"outcome":"updated","id":1,"code":"a"}`+"\n", i+1)
			}
		})
		for left := links; len(left) > 0; {
			results, err := c.ImportLinks(t.Context(), left, "overwrite")
			if err != nil || len(results) == 0 || results[0].Outcome != engine.ImportUpdated {
				t.Fatalf("%s: ImportLinks() = %d results, %v", name, len(results), err)
			}
			left = left[len(results):]
		}
		if stored != len(links) {
			t.Errorf("%s: %d links arrived, want %d", name, stored, len(links))
		}
	}
}

func TestImportReadsRefusals(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{`{"line":1,"outcome":"invalid","error":{"detail":"no","errors":[{"field":"url","detail":"is empty"}]}}`, "[{url is empty}]"},
		{`{"line":1,"outcome":"error","error":{"detail":"no"}}`, "[{ is refused: no}]"},
		{`{"line":1,"outcome":"error","error":"no such"}`, "[{ no such}]"},
		{`{"line":1,"outcome":"error","error":[1]}`, "[{ is refused: [1]}]"},
	} {
		c := serve(t, func(w http.ResponseWriter, r *http.Request) { answer(w, 200, "application/x-ndjson", test.line) })
		results, err := c.ImportLinks(t.Context(), make([]engine.Link, 1), "skip")
		if err != nil || fmt.Sprint(results[0].Refused) != test.want {
			t.Errorf("%s: ImportLinks() = %+v, %v; want %s", test.line, results, err, test.want)
		}
	}
}

func TestImportRefusesOddAnswers(t *testing.T) {
	for _, body := range []string{"", "{", `{"line":1,"outcome":"eaten"}`, `{"line":1,"outcome":"created"}` + "\n" + `{"line":2,"outcome":"created"}`, strings.Repeat("x", 2<<20)} {
		c := serve(t, func(w http.ResponseWriter, r *http.Request) { answer(w, 200, "application/x-ndjson", body) })
		if results, err := c.ImportLinks(t.Context(), make([]engine.Link, 1), "skip"); err == nil {
			t.Errorf("%.40q: ImportLinks() = %+v, want an error", body, results)
		}
	}
}
