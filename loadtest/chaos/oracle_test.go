package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/carom-dev/carom/loadtest/program"
)

// fakeStore answers as Carom's API would about clicks that a test chooses.
type fakeStore struct {
	clicks []program.Click
	counts map[string]int64 // what links and series claim; nil: the truth
}

func (f *fakeStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	count := map[string]int64{}
	for _, c := range f.clicks {
		count[c.Code]++
	}
	for code, n := range f.counts {
		count[code] = n
	}
	var out any
	switch path := r.URL.Path; {
	case path == "/clicks":
		from, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
		page := f.clicks[from:min(from+1000, len(f.clicks))]
		next := any(nil)
		if from+len(page) < len(f.clicks) {
			next = strconv.Itoa(from + len(page))
		}
		out = map[string]any{"data": page, "next_cursor": next}
	case path == "/urls":
		out = map[string]any{"data": []map[string]any{
			{"id": 1, "code": "a", "clicks": count["a"]}, {"id": 2, "code": "b", "clicks": count["b"]},
		}}
	case strings.HasSuffix(path, "/stats"):
		n := count[map[string]string{"/urls/1/stats": "a", "/urls/2/stats": "b"}[path]]
		out = map[string]any{
			"clicks": n, "visits": n, "referrers": []map[string]any{{"host": "chaos.example", "clicks": n}},
			"series": []map[string]any{{"start": time.Unix(0, 0).UTC(), "clicks": n}},
		}
	}
	_ = json.NewEncoder(w).Encode(out)
}

// click is the stored click of a request.
func click(id int, code string, request any) program.Click {
	return program.Click{ID: int64(id), Code: code, At: time.Unix(60, 0), Referrer: fmt.Sprint(referer, request)}
}

func newTestOracle(t *testing.T, f *fakeStore) (*oracle, *program.API) {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	api := (&program.Process{Addr: u.Host}).API()
	t.Cleanup(api.Close)
	return newOracle([]link{{code: "a", target: "https://example.com/a"}, {code: "b", target: "https://example.com/b"}}), api
}

// TestOracleFindsWhatIsWrong sends three requests for each case: 0 and 2 for a, 1 for b. 0 and 1 are answered, 2 is not.
func TestOracleFindsWhatIsWrong(t *testing.T) {
	good := []program.Click{click(1, "a", 0), click(2, "b", 1)}
	for name, c := range map[string]struct {
		clicks  []program.Click
		counts  map[string]int64
		refused bool // 2 was answered with 503
		want    string
	}{
		"all is well":                     {clicks: good},
		"unanswered and stored":           {clicks: append(good, click(3, "a", 2))},
		"lost":                            {clicks: good[:1], want: "1 of 2"},
		"stored twice":                    {clicks: append(good, click(3, "a", 0)), want: "request 0 is stored twice"},
		"unanswered and stored twice":     {clicks: append(good, click(3, "a", 2), click(4, "a", 2)), want: "request 2 is stored twice"},
		"stored for another link":         {clicks: []program.Click{click(1, "a", 0), click(2, "a", 1)}, want: "request 1 was for b and is stored for a"},
		"stored though refused":           {clicks: append(good, click(3, "a", 2)), refused: true, want: "request 2 was refused"},
		"never sent":                      {clicks: append(good, click(3, "a", 7)), want: "which nobody sent"},
		"no id":                           {clicks: append(good, click(3, "a", "x")), want: "which nobody sent"},
		"a link nobody asked for":         {clicks: append(good, click(3, "c", 2)), want: "which nobody asked for"},
		"a total that is not the clicks'": {clicks: good, counts: map[string]int64{"a": 2}, want: "link a counts 2 clicks and has 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fakeStore{clicks: c.clicks, counts: c.counts}
			o, api := newTestOracle(t, f)
			for _, link := range []int{0, 1, 0} {
				o.send(link)
			}
			o.answer(0, 302, "https://example.com/a")
			o.answer(1, 302, "https://example.com/b")
			if c.refused {
				o.answer(2, 503, "")
			}
			timeout := patience
			if c.want == "1 of 2" {
				timeout = time.Millisecond // it is waited for, and never comes
			}
			_, err := o.check(t.Context(), api, timeout)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("check = %v, want nothing wrong", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("check = %v, want %q", err, c.want)
			}
		})
	}
}

func TestOracleFindsWrongAnswers(t *testing.T) {
	for name, answer := range map[string]struct {
		status   int
		location string
	}{"another's target": {302, "https://example.com/b"}, "not found": {404, ""}, "another status": {301, "https://example.com/a"}, "used up without a budget": {410, ""}, "limited without a limit": {429, ""}} {
		t.Run(name, func(t *testing.T) {
			o, api := newTestOracle(t, &fakeStore{})
			o.answer(o.send(0), answer.status, answer.location)
			if err := o.await(t.Context(), api, patience); err == nil || !strings.Contains(err.Error(), "request 0 for a was answered with") {
				t.Errorf("await = %v, want the wrong answer", err)
			}
		})
	}
}

// TestOracleReadsOn reads what is stored in between, with more than a page of it.
func TestOracleReadsOn(t *testing.T) {
	f := &fakeStore{}
	o, api := newTestOracle(t, f)
	for n := range 2500 {
		o.answer(o.send(0), 302, "https://example.com/a")
		f.clicks = append(f.clicks, click(n+1, "a", n))
		if n%400 == 0 {
			if err := o.collect(t.Context(), api); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := o.await(t.Context(), api, patience); err != nil {
		t.Fatal(err)
	}
	if got := o.tally(); got != (tally{sent: 2500, answered: 2500}) {
		t.Errorf("tally = %v, want 2500 answered and stored", got)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := o.await(ended, api, time.Minute); err == nil && o.tally().missing > 0 {
		t.Error("an ended context is not told")
	}
}
