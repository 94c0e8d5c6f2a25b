package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// remote starts a server with testKey and returns it with the flags that lead a command to it.
func remote(t *testing.T, dir string, more ...string) (*running, []string) {
	t.Helper()
	r := startHere(t, dir, []string{"CAROM_ADMIN_KEY=" + testKey}, more...)
	return r, []string{"--server=http://" + r.addr, "--key=" + testKey}
}

// with is a command line with the flags of a place behind it.
func with(place []string, args ...string) []string { return append(args, place...) }

func TestHealth(t *testing.T) {
	r, _ := remote(t, t.TempDir())
	if got := carom(t, "health", "--server=http://"+r.addr); got.out != "ready\n" {
		t.Errorf("health = %q", got.out)
	}
	_, port, _ := strings.Cut(r.addr, ":")
	if got := (invocation{environ: []string{"CAROM_LISTEN=:" + port}}).run(t, "health"); got.code != exitOK {
		t.Errorf("health by --listen = exit %d, %s", got.code, got.err)
	}
	r.stop()
	refuse(t, invocation{}.run(t, "health", "--server=http://"+r.addr), exitFail, r.addr)
	refuse(t, invocation{}.run(t, "health", "--server="+r.addr), exitUsage, r.addr)
}

func TestKeysOfARunningCarom(t *testing.T) {
	_, place := remote(t, t.TempDir())
	secret := strings.TrimSpace(carom(t, with(place, "keys", "create", "--name=reader", "--scopes=links:read", "--expires=1h")...).out)
	if list := carom(t, with(place, "keys", "list")...).out; !regexp.MustCompile(`(?m)^2\s+reader\s+\S+\s+links:read\s+\S+Z\s+\S+Z\s+`).MatchString(list) {
		t.Errorf("list = %s", list)
	}
	weak := []string{place[0], "--key=" + secret}
	carom(t, with(weak, "export", "links")...)
	refuse(t, invocation{}.run(t, with(weak, "keys", "list")...), exitFail, "403", "admin")
	carom(t, with(place, "keys", "revoke", "2")...)
	refuse(t, invocation{}.run(t, with(weak, "export", "links")...), exitFail, "401")
	refuse(t, invocation{}.run(t, with(place, "keys", "revoke", "99")...), exitFail, "404")
}

func TestImportAndExportOfARunningCarom(t *testing.T) {
	dir := t.TempDir()
	r, place := remote(t, dir)
	file := write(t, "links.csv", sampleCSV)
	for _, want := range []string{"3 created, 0 updated, 0 unchanged", "0 created, 0 updated, 3 unchanged"} {
		if got := carom(t, with(place, "import", file)...); !strings.Contains(got.out, want) {
			t.Errorf("import = %s, want %s", got.out, want)
		}
	}
	if status, target := get(t, "http://"+r.addr+"/uni"); status != 301 || target != "https://xn--mnchen-3ya.example/%C3%A4" {
		t.Errorf("GET /uni = %d %s", status, target)
	}
	// The change of a link that is in memory is seen at once.
	changed := write(t, "changed.ndjson", `{"code":"uni","url":"https://new.example/"}`+"\n")
	carom(t, with(place, "import", "--on-conflict=overwrite", changed)...)
	if status, target := get(t, "http://"+r.addr+"/uni"); status != 302 || target != "https://new.example/" {
		t.Errorf("GET /uni after the import = %d %s", status, target)
	}
	bad := write(t, "bad.csv", "code,url\nown,http://"+r.addr+"/x\nok,https://ok.example/\n")
	got := invocation{}.run(t, with(place, "import", bad)...)
	if got.code != exitFail || !strings.Contains(got.err, "line 2: url leads to") || !strings.Contains(got.out, "1 created, 0 updated, 0 unchanged, 0 skipped, 1 failed") {
		t.Errorf("import of a bad target = exit %d, %s%s", got.code, got.out, got.err)
	}
	taken := write(t, "taken.csv", "code,url\nfresh,https://fresh.example/\nplain,https://other.example/\n")
	got = invocation{}.run(t, with(place, "import", "--on-conflict=error", taken)...)
	if got.code != exitFail || !strings.Contains(got.err, `line 3: code "plain" leads elsewhere already`) || !strings.Contains(got.out, "0 created") {
		t.Errorf("import of a conflict = exit %d, %s%s", got.code, got.out, got.err)
	}
	if got := carom(t, with(place, "import", "--dry-run", taken)...); !strings.Contains(got.out, "nothing stored: 2 records") {
		t.Errorf("dry run = %s", got.out)
	}

	clicks := ""
	for strings.Count(clicks, "\n") < 2 { // until the writer has stored both visits
		clicks = carom(t, with(place, "export", "clicks", "--format=ndjson")...).out
	}
	// What the API gives is what the store gives.
	files := map[string]string{}
	for _, format := range []string{"csv", "ndjson"} {
		files[format] = filepath.Join(t.TempDir(), "links."+format)
		carom(t, with(place, "export", "links", "--output="+files[format])...)
	}
	if code := r.stop(); code != exitOK {
		t.Fatalf("exit %d: %s", code, r.rest)
	}
	for format, file := range files {
		there := carom(t, "export", "links", "--data-dir="+dir, "--format="+format).out
		carom(t, "import", "--data-dir="+dir, file)
		if got := read(t, file); got != there || strings.Count(got, "\n") < 4 {
			t.Errorf("%s: the API gave %s\nthe store has %s", format, got, there)
		}
	}
	if stored := carom(t, "export", "clicks", "--data-dir="+dir, "--format=ndjson").out; stored != clicks {
		t.Errorf("the API gave the clicks %s\nthe store has %s", clicks, stored)
	}
}

func TestManyPagesOfARunningCarom(t *testing.T) {
	_, place := remote(t, t.TempDir())
	var text strings.Builder
	const n = 2345
	for i := range n {
		fmt.Fprintf(&text, `{"code":"c%d","url":"https://a.example/%d"}`+"\n", i, i)
	}
	if got := carom(t, with(place, "import", write(t, "links.ndjson", text.String()))...); !strings.Contains(got.out, fmt.Sprint(n, " created")) {
		t.Errorf("import = %s", got.out)
	}
	codes := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^(c\d+),`).FindAllStringSubmatch(carom(t, with(place, "export", "links")...).out, -1) {
		codes[m[1]] = true
	}
	if len(codes) != n {
		t.Errorf("%d codes came back, want %d", len(codes), n)
	}
}

func TestImportWaitsForTheRateLimit(t *testing.T) {
	_, place := remote(t, t.TempDir(), "--rate-limit-writes=2/s")
	var text strings.Builder
	text.WriteString("code,url\n")
	const n = 2500 // three requests, where two are free
	for i := range n {
		fmt.Fprintf(&text, "c%d,https://a.example/%d\n", i, i)
	}
	if got := carom(t, with(place, "import", write(t, "links.csv", text.String()))...); !strings.Contains(got.out, fmt.Sprint(n, " created")) {
		t.Errorf("import = %s", got.out)
	}
}
