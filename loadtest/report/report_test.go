package report_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/carom-dev/carom/loadtest/report"
)

func sample() *report.Report {
	s := report.NewSeries(600)
	for i := range 600 {
		s.Requests[i], s.VUs[i], s.P50[i], s.P99[i] = 1500, 500, 0.4, 12+math.Sin(float64(i))
	}
	s.P99[10] = math.NaN()
	s.CPU["carom"], s.CPU["k6"] = s.P50, s.P50
	run := report.Run{
		Topology: "single", TopologyWords: "one <instance>", Load: "soak", LoadWords: "long", Seconds: 600, Requests: 1_000_000, Redirects: 900_000, Stored: 900_000,
		Latency: map[string]report.Latency{"redirect": {Count: 900_000, P50: 0.4, P99: 12}}, BarP99: 100, Drained: true, Drain: 0.3, BarDrain: 5,
		CPU: map[string]float64{"carom": 20}, MemoryMax: 100 << 20, Series: s,
	}
	return &report.Report{At: time.Unix(1.7e9, 0).UTC(), Commit: "abc", Command: "make loadtest", Machine: "2 cores", Generator: "k6", Notes: []string{"a note"}, Runs: []report.Run{run}}
}

func TestEveryFaultIsFound(t *testing.T) {
	if r := sample(); !r.Good() {
		t.Fatalf("a clean run is not good: %v %v", r.Runs[0].Faults(), r.Runs[0].Behind())
	}
	if (&report.Report{}).Good() {
		t.Error("a report of nothing is good")
	}
	for name, spoil := range map[string]func(*report.Run){
		"a lost click":            func(r *report.Run) { r.Stored-- },
		"a click twice":           func(r *report.Run) { r.Stored++ },
		"a click of another link": func(r *report.Run) { r.Unequal = []string{"x"} },
		"a click not recorded":    func(r *report.Run) { r.Lost = 1 },
		"a wrong answer":          func(r *report.Run) { r.Wrong = 1 },
		"a failed request":        func(r *report.Run) { r.Failed = 1 },
		"a run of nothing":        func(r *report.Run) { r.Redirects, r.Stored = 0, 0 },
	} {
		r := sample()
		if spoil(&r.Runs[0]); r.Good() || len(r.Runs[0].Faults()) != 1 {
			t.Errorf("%s passes: %v", name, r.Runs[0].Faults())
		}
	}
	for name, spoil := range map[string]func(*report.Run){
		"p99":       func(r *report.Run) { r.Latency["redirect"] = report.Latency{P99: 100.1} },
		"drain":     func(r *report.Run) { r.Drain = 5.1 },
		"not clear": func(r *report.Run) { r.Drained = false },
	} {
		r := sample()
		if spoil(&r.Runs[0]); r.Good() || len(r.Runs[0].Behind()) != 1 || len(r.Runs[0].Faults()) != 0 {
			t.Errorf("behind its bar in %s: %v, %v", name, r.Runs[0].Behind(), r.Runs[0].Faults())
		}
		r.Runs[0].BarP99, r.Runs[0].BarDrain = 0, 0
		if !r.Good() {
			t.Errorf("without bars, %s fails the run", name)
		}
	}
}

func TestPrint(t *testing.T) {
	r := sample()
	r.Runs[0].Stored--
	r.Runs[0].Drain = 9
	r.Runs[0].Complaints = []string{"oh"}
	var out bytes.Buffer
	if err := r.Print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"single  soak   1000000   1667", "FAULT: single, soak: 900000 redirects were answered, 899999 clicks stored", "BEHIND: single, soak: all clicks", "said: oh"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table has no %q:\n%s", want, out.String())
		}
	}
}

func TestWrittenPageNeedsNothingElse(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "results")
	if err := sample().Write(dir, "k6"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "k6.json"))
	if err != nil {
		t.Fatal(err)
	}
	var back report.Report
	if err := json.Unmarshal(text, &back); err != nil || back.Runs[0].Stored != 900_000 {
		t.Errorf("read back: %+v, %v", back, err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "k6.html"))
	if err != nil {
		t.Fatal(err)
	}
	if found := regexp.MustCompile(`(?i)<script|<link|<img|<iframe|src=|href=|url\(|@import`).Find(page); found != nil {
		t.Errorf("the page loads or runs something: %s", found)
	}
	if !bytes.Contains(page, []byte("one &lt;instance&gt;")) {
		t.Error("text is not escaped")
	}
	pictures := regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAll(page, -1)
	if len(pictures) != 9 {
		t.Errorf("%d pictures, want 9", len(pictures))
	}
	for _, picture := range pictures {
		for d := xml.NewDecoder(bytes.NewReader(picture)); ; {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("picture: %v\n%s", err, picture)
			}
		}
		if bytes.Contains(picture, []byte("NaN")) || bytes.Contains(picture, []byte("Inf")) {
			t.Errorf("a picture has a point that is no number: %s", picture)
		}
	}
	// 600 seconds are joined to 200 points.
	if line := regexp.MustCompile(`<path class="line c1" d="(M[^"]*)"`).FindSubmatch(page); line == nil || bytes.Count(line[1], []byte("L")) != 199 {
		t.Error("the requests are not a line of 200 points")
	}
}

func TestWriteSaysWhatFailed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := sample().Write(file, "k6"); err == nil || !strings.HasPrefix(err.Error(), "make directory of results: ") {
		t.Errorf("Write into a file: %v", err)
	}
}

func TestMachineAndCommit(t *testing.T) {
	if m := report.Machine(); !strings.Contains(m, "cores, ") {
		t.Errorf("Machine() = %q", m)
	}
	if c := report.CommitOf(t.Context(), "no such program"); !regexp.MustCompile(`^[0-9a-f]{12}( with changes)?$|^unknown$`).MatchString(c) {
		t.Errorf("CommitOf = %q, want the tree's commit", c)
	}
}
