package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/sqlite"
)

// store opens the store of a data directory; it is closed with the test at the latest.
func store(t *testing.T, dir string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(dir, storeFile)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

const sampleCSV = "code,url,title,redirect_status,valid_since,valid_until,max_visits,active,forward_query\n" +
	"plain,https://a.example/,,,,,,,\n" +
	"full,https://b.example/?q=1,\"A, \"\"title\"\"\",308,2026-01-01T00:00:00Z,2027-01-01T00:00:00.5Z,12,false,true\n" +
	"uni,https://münchen.example/ä,Größe,301,,,,true,false\n"

func TestKeysAtRest(t *testing.T) {
	dir := "--data-dir=" + t.TempDir()
	refuse(t, invocation{}.run(t, "keys", "list", dir), exitFail, "there is no store")
	secret := strings.TrimSpace(carom(t, "keys", "create", dir, "--name=ci", "--scopes=links:read, links:write", "--expires=720h").out)
	if !strings.HasPrefix(secret, "carom_") || strings.ContainsAny(secret, " \n") {
		t.Errorf("secret = %q, want it alone", secret)
	}
	list := carom(t, "keys", "list", dir).out
	if strings.Contains(list, secret) || !regexp.MustCompile(`(?m)^1\s+ci\s+carom_\S+\s+links:read,links:write\s+\S+Z\s+\S+Z\s+-\s+-$`).MatchString(list) {
		t.Errorf("list = %s", list)
	}
	carom(t, "keys", "revoke", dir, "1")
	if list := carom(t, "keys", "list", dir).out; !regexp.MustCompile(`(?m)^1 .*-\s+\S+Z$`).MatchString(list) {
		t.Errorf("list after the revocation = %s", list)
	}
	refuse(t, invocation{}.run(t, "keys", "revoke", dir, "9"), exitFail, "9")
	refuse(t, invocation{}.run(t, "keys", "create", dir, "--name=x", "--scopes=fly"), exitUsage, "scopes", `"fly"`, "links:read")
	refuse(t, invocation{}.run(t, "keys", "create", dir, "--name=", "--scopes=admin"), exitUsage, "name")
	refuse(t, invocation{}.run(t, "keys", "create", dir, "--name=x", "--scopes=admin", "--expires=-1h"), exitUsage, "--expires", `"-1h"`, "1h")
}

func TestRoundTrip(t *testing.T) {
	first := t.TempDir()
	if r := carom(t, "import", "--data-dir="+first, write(t, "links.csv", sampleCSV)); !strings.Contains(r.out, "3 created, 0 updated, 0 unchanged, 0 skipped, 0 failed") {
		t.Errorf("import = %s", r.out)
	}
	for _, format := range []string{"csv", "ndjson"} {
		second, file := t.TempDir(), filepath.Join(t.TempDir(), "links."+format)
		carom(t, "export", "links", "--data-dir="+first, "--output="+file)
		carom(t, "import", "--data-dir="+second, file)
		if r := carom(t, "import", "--data-dir="+first, file); !strings.Contains(r.out, " 3 unchanged") {
			t.Errorf("%s: import of the export into its own store = %s", format, r.out)
		}
		a, b := readLinks(t, first), readLinks(t, second)
		if len(a) != 3 || len(b) != 3 {
			t.Fatalf("%s: %d and %d links, want 3", format, len(a), len(b))
		}
		for i := range a {
			if !a[i].Same(&b[i]) {
				t.Errorf("%s: %+v came back as %+v", format, a[i], b[i])
			}
		}
		if left, err := filepath.Glob(file + "*"); err != nil || len(left) != 1 {
			t.Errorf("%s: the export left %q", format, left)
		}
	}
}

func readLinks(t *testing.T, dir string) []engine.Link {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(dir, storeFile)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	page, err := s.ListLinks(t.Context(), engine.LinkQuery{Domain: engine.DefaultDomain, Sort: engine.SortCode, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return page.Links
}

func TestImportOnConflict(t *testing.T) {
	other := "code,url\nplain,https://other.example/\nfresh,https://fresh.example/\n"
	for _, test := range []struct {
		choice string
		code   int
		want   string
		target string // of plain afterwards
		fresh  bool   // whether the other link is there
	}{
		{"skip", exitOK, "1 created, 0 updated, 0 unchanged, 1 skipped, 0 failed", "https://a.example/", true},
		{"overwrite", exitOK, "1 created, 1 updated, 0 unchanged, 0 skipped, 0 failed", "https://other.example/", true},
		{"error", exitFail, "0 created, 0 updated, 0 unchanged, 0 skipped, 1 failed", "https://a.example/", false},
	} {
		t.Run(test.choice, func(t *testing.T) {
			dir := t.TempDir()
			carom(t, "import", "--data-dir="+dir, write(t, "links.csv", sampleCSV))
			file := write(t, "other.csv", other)
			dry := invocation{}.run(t, "import", "--data-dir="+dir, "--on-conflict="+test.choice, "--dry-run", file)
			if dry.code != test.code || !strings.Contains(dry.out, test.want) || len(readLinks(t, dir)) != 3 {
				t.Errorf("dry run = exit %d, %s; want exit %d, %s", dry.code, dry.out, test.code, test.want)
			}
			r := invocation{}.run(t, "import", "--data-dir="+dir, "--on-conflict="+test.choice, file)
			if r.code != test.code || !strings.Contains(r.out, test.want) {
				t.Errorf("import = exit %d, %s%s; want exit %d, %s", r.code, r.out, r.err, test.code, test.want)
			}
			if test.code != exitOK && !strings.Contains(r.err, `line 2: code "plain" leads elsewhere already`) {
				t.Errorf("errors = %s", r.err)
			}
			targets := map[string]string{}
			for _, l := range readLinks(t, dir) {
				targets[l.Code] = l.Target
			}
			if _, fresh := targets["fresh"]; targets["plain"] != test.target || fresh != test.fresh {
				t.Errorf("afterwards %v", targets)
			}
		})
	}
	refuse(t, invocation{}.run(t, "import", "--on-conflict=ask", write(t, "a.csv", other)), exitUsage, "--on-conflict", `"ask"`, "overwrite")
}

func TestImportReportsLines(t *testing.T) {
	dir := t.TempDir()
	var text strings.Builder
	text.WriteString("code,url\n")
	for i := range 100 {
		fmt.Fprintf(&text, "good%d,https://a.example/%d\nbad%d,javascript:alert(%d)\n", i, i, i, i)
	}
	file, report := write(t, "links.csv", text.String()), filepath.Join(t.TempDir(), "report.csv")
	r := invocation{}.run(t, "import", "--data-dir="+dir, file)
	if r.code != exitFail || !strings.Contains(r.out, "200 records") || !strings.Contains(r.out, "100 created") || !strings.Contains(r.out, "100 failed") {
		t.Errorf("import = exit %d, %s", r.code, r.out)
	}
	if n := strings.Count(r.err, "\n"); n != 22 || !strings.Contains(r.err, `line 3: url has the scheme "javascript"`) || !strings.Contains(r.err, "and 80 more; --report FILE") {
		t.Errorf("%d lines of errors: %s", n, r.err)
	}
	r = invocation{}.run(t, "import", "--data-dir="+dir, "--report="+report, file)
	refuse(t, r, exitFail, "100 of 200 records were not imported")
	f, err := os.Open(report)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) != 101 || rows[100][0] != "201" || rows[100][1] != "url" {
		t.Errorf("report = %q, %v", rows, err)
	}
}

func TestImportFromStandardInput(t *testing.T) {
	dir := t.TempDir()
	in := invocation{in: `{"code":"a","url":"https://a.example"}` + "\n"}
	refuse(t, in.run(t, "import", "--data-dir="+dir, "-"), exitUsage, "--format")
	if r := in.run(t, "import", "--data-dir="+dir, "--format=ndjson", "-"); r.code != exitOK || len(readLinks(t, dir)) != 1 {
		t.Errorf("import = exit %d, %s", r.code, r.err)
	}
}

func TestImportOfManyBatches(t *testing.T) {
	dir := t.TempDir()
	var text strings.Builder
	text.WriteString("code,url\n")
	const n = 2*importBatch + 7
	for i := range n {
		fmt.Fprintf(&text, "c%d,https://a.example/%d\n", i, i)
	}
	r := carom(t, "import", "--data-dir="+dir, write(t, "links.csv", text.String()))
	if !strings.Contains(r.out, fmt.Sprintf("%d created", n)) {
		t.Errorf("import = %s", r.out)
	}
	out := carom(t, "export", "links", "--data-dir="+dir, "--format=ndjson").out
	codes := map[string]bool{}
	for _, m := range regexp.MustCompile(`"code":"(c\d+)"`).FindAllStringSubmatch(out, -1) {
		codes[m[1]] = true
	}
	if lines := strings.Count(out, "\n"); lines != n || len(codes) != n {
		t.Errorf("export has %d lines and %d codes, want %d", lines, len(codes), n)
	}
}

func TestImportRefuses(t *testing.T) {
	dir := "--data-dir=" + t.TempDir()
	good := write(t, "a.csv", sampleCSV)
	refuse(t, invocation{}.run(t, "import", dir, "/none.csv"), exitFail, "/none.csv")
	refuse(t, invocation{}.run(t, "import", dir, write(t, "a.csv", "code,url,colour\n")), exitFail, `"colour"`, "forward_query")
	refuse(t, invocation{}.run(t, "import", dir, write(t, "a.txt", sampleCSV)), exitUsage, "--format")
	refuse(t, invocation{}.run(t, "import", dir, "--base-url=sho.rt", good), exitUsage, "--base-url", `"sho.rt"`)
	refuse(t, invocation{}.run(t, "import", dir, "--report=/none/report.csv", good), exitFail, "/none/report.csv")
	refuse(t, invocation{}.run(t, "import", dir, "--server=http://127.0.0.1:1", good), exitUsage, "--key", "CAROM_KEY")
	refuse(t, invocation{}.run(t, "import", dir, "--server=x", "--key=k", good), exitUsage, `"x"`, "http://127.0.0.1:8080")
	if _, err := os.Stat(filepath.Join(strings.TrimPrefix(dir, "--data-dir="), storeFile)); !os.IsNotExist(err) {
		t.Errorf("a refused import made a store: %v", err)
	}
	if r := carom(t, "import", dir, "--dry-run", good); !strings.Contains(r.out, "nothing stored: 3 records") {
		t.Errorf("dry run without a store = %s", r.out)
	}
	if _, err := os.Stat(filepath.Join(strings.TrimPrefix(dir, "--data-dir="), storeFile)); !os.IsNotExist(err) {
		t.Errorf("a dry run made a store: %v", err)
	}
}

func TestImportStopsInTheMiddleOfABrokenFile(t *testing.T) {
	dir := t.TempDir()
	text := "code,url\na,https://a.example/\nb,\"" + strings.Repeat("x\n", 1<<20)
	r := invocation{}.run(t, "import", "--data-dir="+dir, write(t, "a.csv", text))
	refuse(t, r, exitFail, "after line 2", "quote")
	if len(readLinks(t, dir)) != 1 {
		t.Errorf("%d links, want the one before the damage", len(readLinks(t, dir)))
	}
}

func TestInterruptedImport(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errOut strings.Builder
	code := run(ctx, []string{"import", "--data-dir=" + t.TempDir(), write(t, "a.csv", sampleCSV)}, nil, strings.NewReader(""), &out, &errOut)
	if code != exitFail {
		t.Errorf("exit %d, %s; want exit %d", code, errOut.String(), exitFail)
	}
}

func TestExportClicks(t *testing.T) {
	dir := t.TempDir()
	func() {
		s := store(t, dir)
		link, _, err := s.CreateLink(t.Context(), engine.Link{Domain: engine.DefaultDomain, Code: "a", Target: "https://a.example/", Active: true, RedirectStatus: 302},
			engine.Author{At: time.Now()}, nil)
		if err != nil {
			t.Fatal(err)
		}
		batch := &engine.ClickBatch{Node: "n", Moves: []engine.LaneMove{{Lane: 0, To: engine.MakePosition(1, 9)}}}
		for day := range 3 {
			at := time.Date(2026, 1, 1+day, 12, 0, 0, 0, time.UTC)
			batch.Clicks = append(batch.Clicks, engine.Click{At: at.UnixMicro(), Link: link.ID, Status: 302, UserAgent: []byte("ua"), Address: engine.ParseTruncatedAddr("192.0.2.0")})
		}
		if err := s.WriteClicks(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}()
	place := "--data-dir=" + dir
	if out := carom(t, "export", "clicks", place).out; strings.Count(out, "\n") != 4 || !strings.HasPrefix(out, "id,link_id,code,at,") || !strings.Contains(out, ",a,2026-01-02T12:00:00Z,302,GET,false,,ua,,192.0.2.0,") {
		t.Errorf("export = %s", out)
	}
	if out := carom(t, "export", "clicks", place, "--format=ndjson", "--from=2026-01-02", "--to=2026-01-03T00:00:00Z").out; strings.Count(out, "\n") != 1 || !strings.Contains(out, `"at":"2026-01-02T12:00:00Z"`) {
		t.Errorf("export of a day = %s", out)
	}
	refuse(t, invocation{}.run(t, "export", "clicks", place, "--from=yesterday"), exitUsage, "--from", `"yesterday"`, "2026-01-31")
	refuse(t, invocation{}.run(t, "export", "clicks", place, "--from=2026-01-02", "--to=2026-01-01"), exitUsage, "--to")
	refuse(t, invocation{}.run(t, "export", "links", place, "--from=2026-01-02"), exitUsage, "--from")
}

func TestExportRefuses(t *testing.T) {
	dir := t.TempDir()
	refuse(t, invocation{}.run(t, "export", "links", "--data-dir="+dir), exitFail, "there is no store", "--server")
	carom(t, "migrate", "--data-dir="+dir)
	refuse(t, invocation{}.run(t, "export", "links", "--data-dir="+dir, "--output=x.txt"), exitUsage, "--format")
	refuse(t, invocation{}.run(t, "export", "links", "--data-dir="+dir, "--format=xml"), exitUsage, `"xml"`)
	refuse(t, invocation{}.run(t, "export", "links", "--data-dir="+dir, "--output=/none/x.csv"), exitFail, "/none/x.csv")
	output := filepath.Join(t.TempDir(), "x.csv")
	refuse(t, invocation{}.run(t, "export", "links", "--server=http://127.0.0.1:1", "--key=k", "--output="+output), exitFail, "127.0.0.1:1")
	if left, err := filepath.Glob(output + "*"); err != nil || len(left) > 0 {
		t.Errorf("a failed export left %q", left)
	}
}

func TestAHeldStoreIsRefusedWithTheHint(t *testing.T) {
	dir := t.TempDir()
	store(t, dir)
	file := write(t, "a.csv", sampleCSV)
	for _, args := range [][]string{
		{"keys", "list"}, {"keys", "create", "--name=x", "--scopes=admin"}, {"import", file}, {"import", "--dry-run", file}, {"export", "links"}, {"export", "clicks"}, {"migrate"},
	} {
		refuse(t, invocation{}.run(t, append(args, "--data-dir="+dir)...), exitFail, "--server URL --key KEY")
	}
}
