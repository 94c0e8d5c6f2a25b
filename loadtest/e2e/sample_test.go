package e2e_test

import (
	"bufio"
	"encoding/json"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const sampleFile = "../testdata/usagov-clicks.jsonl"

// sampleClick is a click of the file.
type sampleClick struct {
	Code, Target, UserAgent, Language, Referrer string
}

// host is the referrer's host, read by another parser than Carom's.
func (c *sampleClick) host() string {
	if c.Referrer == "" {
		return ""
	}
	u, err := url.Parse(c.Referrer)
	if err != nil {
		return "not a URL: " + c.Referrer
	}
	return strings.ToLower(u.Hostname())
}

// readSample reads the file's clicks in their order.
func readSample(t *testing.T) []sampleClick {
	t.Helper()
	file, err := os.Open(sampleFile)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var clicks []sampleClick
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var fields map[string]any
		if err := json.Unmarshal(lines.Bytes(), &fields); err != nil {
			t.Fatal(err)
		}
		if fields["_heartbeat_"] != nil {
			continue
		}
		text := func(name string) string { s, _ := fields[name].(string); return s }
		c := sampleClick{Code: text("h"), Target: text("u"), UserAgent: text("a"), Language: text("al"), Referrer: text("r")}
		if c.Referrer == "direct" {
			c.Referrer = ""
		}
		clicks = append(clicks, c)
	}
	if len(clicks) != 1726 {
		t.Fatalf("the sample has %d clicks, want 1726", len(clicks))
	}
	return clicks
}

// count counts items by a key.
func count[T any](items []T, key func(*T) string) map[string]int64 {
	counts := map[string]int64{}
	for i := range items {
		counts[key(&items[i])]++
	}
	return counts
}

// compare reports where got differs from want, at most a few of the places.
func compare(t *testing.T, what string, got, want map[string]int64) {
	t.Helper()
	all := maps.Clone(got)
	maps.Copy(all, want)
	shown := 0
	for key := range all {
		if got[key] != want[key] {
			if shown++; shown <= 5 {
				t.Errorf("%s of %q: %d, want %d", what, key, got[key], want[key])
			}
		}
	}
	if shown > 5 {
		t.Errorf("%s: %d values differ in all", what, shown)
	}
}

// The counts as testdata/README.md has them for anybody to run.
const (
	countCodes     = `jq -r 'select(._heartbeat_ | not) | .h' "$1" | sort | uniq -c`
	countReferrers = `jq -r 'select(._heartbeat_ | not) | .r' "$1" |
  awk '$0 == "direct" { print "(none)"; next } { sub("^[a-zA-Z-]+://", ""); sub("[/?#].*", ""); sub(":[0-9]+$", ""); print tolower($0) }' |
  sort | uniq -c`
	listLinks = `jq -c 'select(._heartbeat_ | not) | {code: .h, url: (.u | gsub(" "; "%20"))}' "$1" | sort -u`
)

func shell(t *testing.T, script string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script, "count", sampleFile).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

// shellCount runs a count that ends in uniq -c.
func shellCount(t *testing.T, script string) map[string]int64 {
	t.Helper()
	counts := map[string]int64{}
	for line := range strings.Lines(shell(t, script)) {
		n, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		number, err := strconv.ParseInt(n, 10, 64)
		if err != nil {
			t.Fatalf("%s: line %q: %v", script, line, err)
		}
		if value == "(none)" {
			value = ""
		}
		counts[value] = number
	}
	return counts
}

// importSample puts the sample's links into a store at rest, with the documented command.
func importSample(t *testing.T, dir string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "links.ndjson")
	if err := os.WriteFile(file, []byte(shell(t, listLinks)), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, dir, "import", file)
}

// TestTheDocumentedCountsAgree counts the sample in three ways that know nothing of Carom's.
func TestTheDocumentedCountsAgree(t *testing.T) {
	clicks := readSample(t)
	compare(t, "clicks by jq", shellCount(t, countCodes), count(clicks, func(c *sampleClick) string { return c.Code }))
	compare(t, "clicks by jq and awk", shellCount(t, countReferrers), count(clicks, (*sampleClick).host))
	readme, err := os.ReadFile("../testdata/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, script := range []string{countCodes, countReferrers, listLinks} {
		documented := strings.ReplaceAll(script, `"$1"`, "usagov-clicks.jsonl")
		if !strings.Contains(string(readme), documented) {
			t.Errorf("testdata/README.md does not have the count that is used here:\n%s", documented)
		}
	}
}
