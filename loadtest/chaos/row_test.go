package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTableNamesEachRowOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range table() {
		if seen[r.id] || r.id == "" || r.fault == "" || r.bar == "" || r.run == nil {
			t.Errorf("row %q is there twice, or not whole", r.id)
		}
		seen[r.id] = true
	}
	for _, id := range []string{"D1/sqlite", "D1/postgres", "D2", "D7/memory", "D8/journal", "D9", "T1", "S1"} {
		if !seen[id] {
			t.Errorf("there is no row %s", id)
		}
	}
}

// TestDocumentsNameRowsThatThereAre holds that every alternative of a documented -run or RUN= is a row, as the whole id has to match.
func TestDocumentsNameRowsThatThereAre(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`(?:loadtest/chaos [^\x60\n]*-run|\x60-run|make chaos RUN=) *'?([^' \x60\n]+)`)
	found := 0
	for _, file := range append(files, "../../README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range named.FindAllStringSubmatch(string(text), -1) {
			pattern := strings.ReplaceAll(m[1], `\|`, "|") // as a table of Markdown has to write it
			for one := range strings.SplitSeq(pattern, "|") {
				found++
				pattern, err := regexp.Compile("^(?:" + one + ")$")
				if err != nil || !slices.ContainsFunc(table(), func(r row) bool { return pattern.MatchString(r.id) }) {
					t.Errorf("%s: %s names no row (%v)", filepath.Base(file), one, err)
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("%d rows are named, want those of all documents", found)
	}
}

func TestFailedRows(t *testing.T) {
	for name, c := range map[string]struct {
		r           result
		short, full bool
	}{
		"held":              {result{held: true}, false, false},
		"a ratio is over":   {result{}, false, true},
		"something is lost": {result{err: errors.New("lost"), held: true}, true, true},
	} {
		if got := c.r.failed(true); got != c.short {
			t.Errorf("%s, short: failed = %v", name, got)
		}
		if got := c.r.failed(false); got != c.full {
			t.Errorf("%s, full: failed = %v", name, got)
		}
	}
}

func TestReportHasEachRow(t *testing.T) {
	file := filepath.Join(t.TempDir(), "report.md")
	results := []result{
		{row: row{id: "A1", fault: "a | b", bar: "none"}, figure: "1 of 1", held: true, took: time.Second},
		{row: row{id: "A2"}, figure: "x 1.3"},
		{row: row{id: "A3"}, err: errors.New("one is lost\nwith a log")},
	}
	if err := writeReport(t.Context(), options{Report: file, Command: "chaos -x"}, &env{root: ".", seed: 42}, results); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"1 of 3 rows held", "seed: 42", "`chaos -x` (full form)", `| A1 | a \| b | none | 1 of 1 | held | 1 s |`,
		"x 1.3 | not held |", "| one is lost | FAILED |",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the report has no %q:\n%s", want, text)
		}
	}
}

func TestSlopeOfMemory(t *testing.T) {
	w := &watch{}
	began := time.Now()
	for n := range 100 {
		u := usage{anonymous: 100<<20 + int64(n)<<10, goroutines: 50, descriptor: 40 + n/50}
		if n < 20 {
			u.anonymous = int64(n) << 20 // warm-up
		}
		w.samples = append(w.samples, sample{began.Add(time.Duration(n) * time.Minute), u})
	}
	r := w.result()
	if want := 60.0 * 1024; r.slope < want*0.999 || r.slope > want*1.001 {
		t.Errorf("slope = %v bytes an hour, want %v", r.slope, want)
	}
	if r.first.goroutines != 50 || r.last.goroutines != 50 || r.first.descriptor != 40 || r.last.descriptor != 41 {
		t.Errorf("result = %+v, want 50 goroutines and 40 to 41 descriptors", r)
	}
}
