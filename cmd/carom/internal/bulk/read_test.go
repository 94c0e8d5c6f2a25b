package bulk_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/carom-dev/carom/cmd/carom/internal/bulk"
	"github.com/carom-dev/carom/engine"
)

// readAll reads everything: good links as "line code target", problems as they print.
func readAll(t *testing.T, format bulk.Format, text string) (lines []string, fatal error) {
	t.Helper()
	r, err := bulk.NewLinkReader(strings.NewReader(text), format, &engine.TargetPolicy{})
	if err != nil {
		return nil, err
	}
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return lines, nil
		}
		if err != nil {
			return lines, err
		}
		if len(rec.Problems) == 0 {
			lines = append(lines, fmt.Sprintf("%d %s %s", rec.Line, rec.Link.Code, rec.Link.Target))
		}
		for _, p := range rec.Problems {
			lines = append(lines, p.String())
		}
	}
}

func TestReadLines(t *testing.T) {
	long := strings.Repeat("x", bulk.RecordMax)
	for _, test := range []struct {
		name   string
		format bulk.Format
		text   string
		want   []string // each is the beginning of a line
	}{
		{"CSV in any order of columns", bulk.CSV, "url,code\nhttps://a.example,a\n", []string{"2 a https://a.example/"}},
		{"CSV with a byte order mark, CRLF and no last line end", bulk.CSV, "\ufeffcode,url\r\na,https://a.example/\r\nb,https://b.example/", []string{"2 a https://a.example/", "3 b https://b.example/"}},
		{"CSV with empty lines", bulk.CSV, "code,url\n\n\na,https://a.example/\n\n", []string{"4 a https://a.example/"}},
		{"CSV with a quoted line break", bulk.CSV, "code,url,title\na,https://a.example/,\"x\ny\"\nb,https://b.example/,z\n", []string{"line 2: title has control", "4 b https://b.example/"}},
		{"CSV with quoted commas and quotes", bulk.CSV, "code,url,title\na,https://a.example/,\"x, \"\"y\"\"\"\n", []string{"2 a"}},
		{"CSV with too few and too many fields", bulk.CSV, "code,url\na\nb,https://b.example/,x\nc,https://c.example/\n", []string{"line 2: the record has 1 fields; the header has 2", "line 3: the record has 3", "4 c"}},
		{"CSV with a stray quote", bulk.CSV, "code,url\na,https://a.example/\"\nb,https://b.example/\n", []string{"line 2: the record has a quote", "3 b"}},
		{"CSV with a quote left open", bulk.CSV, "code,url\nb,https://b.example/\na,\"https://a.example/\nc,d\n", []string{"2 b", "line 3: the record has a quote that is not closed"}},
		{"CSV with own columns", bulk.CSV, "id,code,url,clicks,created_at\n7,a,https://a.example/,9,yesterday\n", []string{"2 a"}},
		{"CSV with wrong values", bulk.CSV, "code,url,redirect_status,max_visits,active,forward_query,valid_since,valid_until\na,https://a.example/,x,0,maybe,2,now,2026-13-01T00:00:00Z\n", []string{
			`line 2: redirect_status is "x"; give 301`, `line 2: max_visits is "0"; give 1 to`, `line 2: active is "maybe"; give true`,
			`line 2: forward_query is "2"; give true`, `line 2: valid_since is "now"; give a time`, `line 2: valid_until is "2026-13-01T00:00:00Z"; give a time`,
		}},
		{"CSV that is not UTF-8", bulk.CSV, "code,url,title\na,https://a.example/,\xff\n", []string{"line 2: title is not UTF-8"}},
		{"CSV with what the engine refuses", bulk.CSV, "code,url,redirect_status\nadmin,javascript:x,303\n,https://a.example/,\n", []string{
			`line 2: url has the scheme "javascript"`, `line 2: code "admin" is reserved`, "line 2: redirect_status is 303", "line 3: code is empty; an import names",
		}},
		{"NDJSON", bulk.NDJSON, `{"code":"a","url":"https://a.example"}` + "\n" + `{"url":"https://b.example/","code":"b"}`, []string{"1 a https://a.example/", "2 b https://b.example/"}},
		{"NDJSON with a byte order mark, CRLF and empty lines", bulk.NDJSON, "\ufeff{\"code\":\"a\",\"url\":\"https://a.example/\"}\r\n\r\n  \n{\"code\":\"b\",\"url\":\"https://b.example/\"}\r\n", []string{"1 a", "4 b"}},
		{"NDJSON with own members", bulk.NDJSON, `{"id":"x","short_url":null,"clicks":{},"version":-1,"created_at":"?","updated_at":0,"code":"a","url":"https://a.example/"}`, []string{"1 a"}},
		{"NDJSON with nulls", bulk.NDJSON, `{"code":"a","url":"https://a.example/","title":null,"active":null,"max_visits":null,"valid_since":null,"redirect_status":null,"forward_query":null}`, []string{"1 a"}},
		{"NDJSON that is broken", bulk.NDJSON, "{\n[]\n1\n{\"code\":\"a\",\"url\":\"https://a.example/\"} x\n{\"code\":\"\xff\"}\n{\"code\":\"b\",\"url\":\"https://b.example/\"}\n", []string{
			"line 1: the record is not JSON", "line 2: the record is not accepted; give a JSON object", "line 3: the record is not accepted; give a JSON object",
			"line 4: the record is not JSON", "line 5: the record is not JSON", "6 b",
		}},
		{"NDJSON with wrong members", bulk.NDJSON, strings.Join([]string{
			`{"cod":"a"}`, `{"Code":"a"}`, `{"code":"a","code":"b"}`, `{"code":1}`, `{"code":"a","redirect_status":"302"}`, `{"code":"a","max_visits":1.5}`,
			`{"code":"a","active":"yes"}`, `{"code":"a","valid_until":"tomorrow"}`, `{"code":"a","url":"https://a.example/","max_visits":0}`, `{"code":{"x":{"y":1}}}`,
		}, "\n"), []string{
			"line 1: cod is no field of a link; accepted are code, url", "line 2: Code is no field", "line 3: code is there twice", "line 4: code is not accepted; give a string",
			"line 5: redirect_status is not accepted; give 301", "line 6: max_visits is not accepted; give 1 to", "line 7: active is not accepted; give true",
			"line 8: valid_until is not accepted; give a time", "line 9: max_visits is 0; give 1", "line 10: code is not accepted; give a string",
		}},
		{"NDJSON with a line that is too long", bulk.NDJSON, `{"code":"a","url":"https://a.example/"}` + "\n" + `{"title":"` + long + `"}` + "\n" + `{"code":"b","url":"https://b.example/"}`, []string{
			"1 a", "line 2: the record has more than 1048576 bytes", "3 b",
		}},
		{"NDJSON that ends in a line that is too long", bulk.NDJSON, long + "x", []string{"line 1: the record has more than"}},
		{"NDJSON without anything", bulk.NDJSON, "", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := readAll(t, test.format, test.text)
			if err != nil {
				t.Fatalf("read = %v", err)
			}
			if len(got) != len(test.want) {
				t.Fatalf("read = %q, want %q", got, test.want)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], test.want[i]) {
					t.Errorf("line %d = %q, want %q", i, got[i], test.want[i])
				}
			}
		})
	}
}

func TestReadRefusesFiles(t *testing.T) {
	for _, test := range []struct {
		name, text, want string
	}{
		{"empty", "", "the file is empty"},
		{"unknown column", "code,url,colour\n", `the column "colour" is no field of a link; accepted are code, url`},
		{"column in another case", "Code,url\n", `the column "Code" is no field`},
		{"doubled column", "code,url,code\n", `the column "code" is there twice`},
		{"no code", "url\n", `the column "code" is missing; the header is "url"`},
		{"no url", "code\n", `the column "url" is missing`},
		{"UTF-16", "\xff\xfec\x00", "UTF-16"},
		{"a quote that is open for too long", "code,url\na,https://a.example/\nb,\"" + strings.Repeat("x\n", bulk.RecordMax), "the record after line 2 has more than 1048576 bytes; a quote may be left open"},
		{"a header that is too long", strings.Repeat("x", 2*bulk.RecordMax), "more than 1048576 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := readAll(t, bulk.CSV, test.text)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("read = %q, %v; want an error with %q", got, err, test.want)
			}
		})
	}
}

func TestReadPassesErrorsOn(t *testing.T) {
	broken := errors.New("disk is gone")
	for format, text := range map[bulk.Format]string{bulk.CSV: "code,url\na,https://a.example/\n", bulk.NDJSON: `{"code":"a","url":"https://a.example/"}` + "\n"} {
		r, err := bulk.NewLinkReader(io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken)), format, nil)
		if err != nil {
			t.Fatal(err)
		}
		if rec, err := r.Next(); err != nil || rec.Link.Code != "a" {
			t.Errorf("%s: Next() = %+v, %v; want the link before the error", format, rec, err)
		}
		if _, err := r.Next(); !errors.Is(err, broken) {
			t.Errorf("%s: Next() = %v, want %v", format, err, broken)
		}
	}
}

func TestReadAllFields(t *testing.T) {
	since, until := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	want := engine.Link{
		Domain: engine.DefaultDomain, Code: "a", Target: "https://a.example/x", Title: "Ä", RedirectStatus: 301, ValidSince: since, ValidUntil: until, MaxVisits: 7, ForwardQuery: true,
	}
	for format, text := range map[bulk.Format]string{
		bulk.CSV: "code,url,title,redirect_status,valid_since,valid_until,max_visits,active,forward_query\n" +
			"a,https://a.example/x,Ä,301,2026-01-02T04:04:05+01:00,2027-01-01T00:00:00Z,7,false,true\n",
		bulk.NDJSON: `{"code":"a","url":"https://a.example/x","title":"Ä","redirect_status":301,"valid_since":"2026-01-02T04:04:05+01:00","valid_until":"2027-01-01T00:00:00Z","max_visits":7,"active":false,"forward_query":true}`,
	} {
		r, err := bulk.NewLinkReader(strings.NewReader(text), format, &engine.TargetPolicy{})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.Next(); err != nil || got.Link != want {
			t.Errorf("%s: Next() = %+v, %v; want %+v", format, got, err, want)
		}
	}
}

func TestWithoutPolicyTheTargetStays(t *testing.T) {
	r, err := bulk.NewLinkReader(strings.NewReader(`{"code":"a","url":"HTTP://10.0.0.1"}`), bulk.NDJSON, nil)
	if err != nil {
		t.Fatal(err)
	}
	if rec, err := r.Next(); err != nil || len(rec.Problems) > 0 || rec.Link.Target != "HTTP://10.0.0.1" {
		t.Errorf("Next() = %+v, %v; want the target as it was given", rec, err)
	}
}

func TestFormatOf(t *testing.T) {
	for _, test := range []struct{ given, name, want string }{
		{"", "a.csv", "csv"},
		{"", "A.CSV", "csv"},
		{"", "a.ndjson", "ndjson"},
		{"", "a.jsonl", "ndjson"},
		{"ndjson", "a.csv", "ndjson"},
		{"", "a.txt", ""},
		{"", "-", ""},
		{"xml", "a.csv", ""},
	} {
		got, err := bulk.FormatOf(test.given, test.name)
		if string(got) != test.want || (err == nil) != (test.want != "") {
			t.Errorf("FormatOf(%q, %q) = %q, %v; want %q", test.given, test.name, got, err, test.want)
		}
	}
}

func TestReportIsBounded(t *testing.T) {
	var said []string
	r := bulk.NewReport(nil, func(line string) { said = append(said, line) })
	for i := range 50 {
		r.Add(bulk.Problem{Line: i + 1, Field: "url", Detail: "is bad"})
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if len(said) != 21 || said[0] != "line 1: url is bad" || said[20] != "and 30 more; --report FILE takes them all" {
		t.Errorf("said %d lines: %q", len(said), said)
	}
}

func TestReportFileHasEverything(t *testing.T) {
	var file strings.Builder
	r := bulk.NewReport(&file, func(line string) { t.Errorf("said %q", line) })
	for i := range 50 {
		r.Add(bulk.Problem{Line: i + 1, Field: "url", Detail: `is "bad", very`})
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(file.String()), "\n")
	if len(lines) != 51 || lines[0] != "line,field,problem" || lines[50] != `50,url,"is ""bad"", very"` {
		t.Errorf("report = %q", lines)
	}
}

// FuzzRead holds that no file panics or hangs a reader, and that what is read as good is good.
func FuzzRead(f *testing.F) {
	for _, text := range []string{
		"code,url\na,https://a.example/\n", "\ufeffcode,url\r\n\"a\",\"https://a.example/\"\r\n", "code,url,title\na,\"b\nc\",d\n",
		`{"code":"a","url":"https://a.example/"}`, `{"code":"a","code":"b"}`, "{\"code\":1}\n\n[]\n", "",
	} {
		f.Add(text, true)
		f.Add(text, false)
	}
	policy := engine.TargetPolicy{}
	f.Fuzz(func(t *testing.T, text string, asCSV bool) {
		format := bulk.NDJSON
		if asCSV {
			format = bulk.CSV
		}
		r, err := bulk.NewLinkReader(strings.NewReader(text), format, &policy)
		if err != nil {
			return
		}
		last := 0
		for {
			rec, err := r.Next()
			if err != nil {
				return
			}
			if rec.Line <= last || rec.Line > strings.Count(text, "\n")+strings.Count(text, "\r")+1 {
				t.Fatalf("line %d after line %d", rec.Line, last)
			}
			last = rec.Line
			if len(rec.Problems) > 0 {
				if slices.ContainsFunc(rec.Problems, func(p bulk.Problem) bool { return p.Line != rec.Line || p.Detail == "" }) {
					t.Fatalf("problems = %+v of line %d", rec.Problems, rec.Line)
				}
				continue
			}
			if err := rec.Link.Check(); err != nil {
				t.Fatalf("a link that is not accepted was read: %v", err)
			}
			if target, err := policy.Canonical(rec.Link.Target); err != nil || target != rec.Link.Target {
				t.Fatalf("target %q is not canonical: %q, %v", rec.Link.Target, target, err)
			}
		}
	})
}
