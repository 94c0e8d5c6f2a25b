package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParseWrk(t *testing.T) {
	out := []byte("Running 1s test\n  2 threads\nRequests/sec: 53911.26\n\n" +
		`{"requests":5000,"micros":1000000,"status":29,"broken":3,"p50":700,"p99":2500,"p999":9000}` + "\n")
	want := load{Right: 4971, Wrong: 29, Broken: 3, Took: time.Second, P50: 700 * time.Microsecond, P99: 2500 * time.Microsecond, P999: 9 * time.Millisecond}
	if got, err := parseWrk(out, http.StatusFound); err != nil || got != want {
		t.Errorf("parseWrk = %+v, %v, want %+v", got, err, want)
	}
	want.Right, want.Wrong = want.Wrong, want.Right
	if got, err := parseWrk(out, http.StatusNotFound); err != nil || got != want {
		t.Errorf("parseWrk where 404 is right = %+v, %v, want %+v", got, err, want)
	}
	if got, err := parseWrk([]byte("unable to connect"), http.StatusFound); err == nil {
		t.Errorf("parseWrk of nothing = %+v, want an error", got)
	}
}

// asked is a server that redirects as the workload wants, and notes what it was asked for. Every wrongEvery-th answer is wrong.
type asked struct {
	mu         sync.Mutex
	codes      map[string]int // guarded by mu
	count      int            // guarded by mu
	wrongEvery int
}

func (a *asked) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	code := strings.TrimPrefix(r.URL.Path, "/")
	a.mu.Lock()
	a.codes[code]++
	a.count++
	wrong := a.wrongEvery > 0 && a.count%a.wrongEvery == 0
	a.mu.Unlock()
	switch {
	case wrong:
		w.Header().Set("Location", targetOf("another"))
		w.WriteHeader(http.StatusFound)
	case strings.HasPrefix(code, "b"):
		w.Header().Set("Location", targetOf(code))
		w.WriteHeader(http.StatusFound)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func ask(t *testing.T, a *asked, w workload, s shape, d time.Duration) load {
	t.Helper()
	a.codes = map[string]int{}
	server := httptest.NewServer(a)
	defer server.Close()
	l, err := ownLoad(t.Context(), server.Listener.Addr().String(), &w, s, d)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestOwnLoadAsksForEachCodeOnce(t *testing.T) {
	for _, s := range []shape{{3, 1}, {3, 4}} {
		a := &asked{}
		l := ask(t, a, coldLoad(101), s, 0)
		if l.Right != 101 || l.Wrong != 0 || l.Broken != 0 || len(a.codes) != 101 || a.count != 101 {
			t.Errorf("%v: %+v, asked %d times for %d codes, want each of 101 once", s, l, a.count, len(a.codes))
		}
	}
}

func TestOwnLoadComparesEveryAnswer(t *testing.T) {
	for _, w := range []workload{hotLoad(), unknownLoad(), freshLoad()} {
		a := &asked{wrongEvery: 10}
		l := ask(t, a, w, shape{3, 4}, 100*time.Millisecond)
		if l.Broken != 0 || l.Right+l.Wrong != int64(a.count) || l.Wrong != int64(a.count/10) || l.Right == 0 {
			t.Errorf("%d requests of which every tenth gets a wrong answer: %+v", a.count, l)
		}
		if w.fresh && len(a.codes) != a.count {
			t.Errorf("%d requests for new codes were for %d", a.count, len(a.codes))
		}
	}
}

func TestOwnLoadTellsOfBrokenRequests(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer server.Close()
	w := hotLoad()
	l, err := ownLoad(t.Context(), server.Listener.Addr().String(), &w, shape{3, 1}, time.Second)
	if err != nil || l.Broken != 3 || l.Right != 0 {
		t.Errorf("load on a server that answers nothing: %+v, %v, want 3 broken", l, err)
	}
}

func TestLinksAreDistinct(t *testing.T) {
	var out bytes.Buffer
	if err := writeLinks(&out, 1000); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(strings.TrimSpace(out.String()), "\n"); len(lines) != 1000 || len(distinct(lines)) != 1000 {
		t.Errorf("1000 links are %d lines, %d of them different", len(lines), len(distinct(lines)))
	}
	if a, b := codeOf(9_999_999), codeOf(0); len(a) != len(b) || a == b {
		t.Errorf("codes %q and %q, want two of one length", a, b)
	}
	if a, b := zipfCodes(1000, 5000), zipfCodes(1000, 5000); strings.Join(a, " ") != strings.Join(b, " ") || len(distinct(a)) < 200 {
		t.Errorf("two draws differ, or have %d codes alone", len(distinct(a)))
	}
}

func TestHistogram(t *testing.T) {
	var a, b histogram
	for i := range 1000 {
		h := &a
		if i%2 == 0 {
			h = &b
		}
		h.add(time.Duration(i+1) * time.Microsecond)
	}
	a.merge(&b)
	for q, want := range map[float64]time.Duration{0: time.Microsecond, 0.5: 501 * time.Microsecond, 0.99: 991 * time.Microsecond, 0.999: time.Millisecond} {
		if got := a.quantile(q); got < want || float64(got) > 1.04*float64(want) {
			t.Errorf("quantile %v = %v, want %v or up to a thirty-second more", q, got, want)
		}
	}
}

func testReport() *report {
	r := newReport(&config{Carom: "none", Args: []string{"-run", "hot", "-carom", "x", "-json=y", "-rounds=2"}}, "own")
	bareRow, hotRow := &row{name: nameBare}, &row{name: nameHot, want: http.StatusFound}
	none := counts{Redirects: -1, Stored: -1, Lost: -1, Mallocs: -1, GCs: -1}
	all := counts{Redirects: 1000, Stored: 1000, GCs: 1}
	s := shape{64, 1}
	for i := range 2 {
		l := load{Right: 1000, Took: time.Second, P99: time.Millisecond}
		r.add(bareRow, s, figures{load: l, Rate: 1000, CPU: 10 * float64(i+1), Counted: none, Mallocs: -1})
		r.add(hotRow, s, figures{load: l, Rate: 800, CPU: 20 * float64(i+1) * float64(i+1), CPUStored: 50, Counted: all})
	}
	return r
}

func TestReport(t *testing.T) {
	r := testReport()
	if want := "go run ./loadtest/bench -run hot -rounds=2"; r.Command != want {
		t.Errorf("command %q, want %q", r.Command, want)
	}
	file := filepath.Join(t.TempDir(), "out.json")
	if err := r.finish(&config{JSON: file}); err != nil {
		t.Errorf("a run without a fault: %v", err)
	}
	hot := r.find(nameHot, shape{64, 1})
	if hot.Median.CPU != 50 || hot.Median.Right != 2000 || hot.CPURatio != (ratio{Median: 3, Low: 2, High: 4}) {
		t.Errorf("median %v us of %d answers, ratio %+v, want 50 us of 2000, 3 (2 to 4)", hot.Median.CPU, hot.Median.Right, hot.CPURatio)
	}
	var out bytes.Buffer
	if err := r.print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"64 connections, 1 requests", "2000 / 2000", "2.000 to 4.000  not reached"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
}

func TestReportFindsFaults(t *testing.T) {
	good := figures{load: load{Right: 1000, Uncounted: 5}, Counted: counts{Redirects: 1003, Stored: 1003}}
	for name, spoil := range map[string]func(f *figures, r *row){
		"":                     func(*figures, *row) {},
		"a lost click":         func(f *figures, _ *row) { f.Counted.Stored-- },
		"a click twice":        func(f *figures, _ *row) { f.Counted.Stored++ },
		"an unrecorded click":  func(f *figures, _ *row) { f.Counted.Lost = 1; f.Counted.Stored-- },
		"a wrong answer":       func(f *figures, _ *row) { f.Wrong = 1 },
		"a broken request":     func(f *figures, _ *row) { f.Broken = 1 },
		"a round of nothing":   func(f *figures, _ *row) { f.Right = 0 },
		"answers from nowhere": func(f *figures, _ *row) { f.Right += 4 },
		"answers into nowhere": func(f *figures, _ *row) { f.Right -= 3 },
	} {
		r, f, row := &report{}, good, &row{name: nameHot, want: http.StatusFound}
		spoil(&f, row)
		if r.add(row, shape{1, 1}, f); (len(r.Faults) > 0) != (name != "") {
			t.Errorf("%q: faults %q", name, r.Faults)
		}
	}
}

func TestSettings(t *testing.T) {
	good := config{Rounds: 1, Seconds: 1, Client: "own", Imports: 1, Cold: 1, Shapes: "64,500x16"}
	if err := good.validate(); err != nil {
		t.Fatal(err)
	}
	if s, err := good.shapes(); err != nil || len(s) != 2 || s[0] != (shape{64, 1}) || s[1] != (shape{500, 16}) || s[1].String() != "500x16" {
		t.Errorf("shapes %v, %v", s, err)
	}
	for name, change := range map[string]func(*config){
		"-rounds": func(c *config) { c.Rounds = 0 }, "-seconds": func(c *config) { c.Seconds = 0 }, "-shapes": func(c *config) { c.Shapes = "64x" },
		"-warmup": func(c *config) { c.Warmup = -1 }, "-client": func(c *config) { c.Client = "ab" }, "-links": func(c *config) { c.Links = 10 },
		"-cold": func(c *config) { c.Cold = 1 << 30 }, "-imports": func(c *config) { c.Imports = 0 }, "-run": func(c *config) { c.Run = "(" },
	} {
		bad := good
		change(&bad)
		if err := bad.validate(); err == nil || !strings.HasPrefix(err.Error(), name+":") {
			t.Errorf("a wrong %s: %v, want a refusal that names it", name, err)
		}
	}
}

func TestHeaderLines(t *testing.T) {
	got, err := headerLines("HTTP/1.1 302 Found\r\nDate: x\r\nContent-Length: 0\r\nLocation: https://a\r\nX-B: c\r\n\r\n")
	if want := "Location: https://a\nX-B: c"; err != nil || got != want {
		t.Errorf("headerLines = %q, %v, want %q", got, err, want)
	}
	if got, err := headerLines("HTTP/1.1 404 Not Found\r\n\r\n"); err == nil {
		t.Errorf("headerLines of a 404 = %q, want an error", got)
	}
}

func TestForcedCollections(t *testing.T) {
	log := "gc 1 @0.1s 2%: 0.1+1.0+0.2 ms clock, 0.2+0/0.5/0+0.1 ms cpu, 4->4->2 MB, 4 MB goal, 2 P\n" +
		"gc 2 @0.3s 1%: 0.25+3.5+0.25 ms clock, 0.1+0/0.5/0+0.1 ms cpu, 4->4->2 MB, 4 MB goal, 0 MB stacks, 0 MB globals, 2 P (forced)\n"
	if got := forcedCollections(log); len(got) != 1 || got[0] != 4*time.Millisecond {
		t.Errorf("forced collections %v, want one of 4ms", got)
	}
}
