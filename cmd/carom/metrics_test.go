package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// metricDocument is docs/METRICS.md, as the code has it.
func metricDocument() string {
	var b strings.Builder
	b.WriteString("# Metrics\n\n" +
		"`GET /metrics` on `--admin-listen` gives them as Prometheus text. Counters (`_total`) count since the start of the process. Labels have values from small\n" +
		"closed sets: never a code, a URL, an address or a user agent. Histograms have the bounds 1, 2.5 and 5 of each decade from a microsecond to ten seconds.\n" +
		"Recording them costs a hit a counter on its shard's own cache line; only one redirect in 64 is timed.\n\n" +
		"This file is made by `go test ./cmd/carom -run TestMetricList -update`.\n")
	for _, section := range sections() {
		fmt.Fprintf(&b, "\n## %s\n\n| metric | kind | labels | meaning |\n| --- | --- | --- | --- |\n", section.title)
		for _, f := range section.families {
			labels := ""
			if len(f.Labels) > 0 {
				labels = "`" + strings.Join(f.Labels, "`, `") + "`"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Name, f.Kind, labels, f.Help)
		}
	}
	b.WriteString("\n## Process and Go runtime\n\n" +
		"`go_*` and `process_*` are written by [github.com/VictoriaMetrics/metrics](https://pkg.go.dev/github.com/VictoriaMetrics/metrics#WriteProcessMetrics): memory, garbage\n" +
		"collection, goroutines, scheduling latency, CPU time, page faults and I/O. Which of them there are depends on the system.\n")
	return b.String()
}

// TestMetricList holds docs/METRICS.md to the code; -update writes it.
func TestMetricList(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "METRICS.md")
	want := metricDocument()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("docs/METRICS.md (%v) has another list than the code; go test ./cmd/carom -run TestMetricList -update writes it", err)
	}
}

func TestMetricNamesFollowTheGrammar(t *testing.T) {
	name := regexp.MustCompile(`^carom_(edge|actors|journal|store|redis|build)_[a-z]+(_[a-z]+)*$`)
	label := regexp.MustCompile(`^(method|route|status|outcome|limiter|part|actor|reason|store|pool|version|revision|go)$`)
	seen := map[string]bool{}
	for _, section := range sections() {
		for _, f := range section.families {
			if !name.MatchString(f.Name) || seen[f.Name] {
				t.Errorf("%s is no name of the grammar, or there twice", f.Name)
			}
			seen[f.Name] = true
			if strings.HasSuffix(f.Name, "_total") != (f.Kind == "counter") {
				t.Errorf("%s is a %s; counters and only they end with _total", f.Name, f.Kind)
			}
			if f.Kind == "histogram" && !strings.HasSuffix(f.Name, "_seconds") {
				t.Errorf("%s is a histogram without its unit", f.Name)
			}
			if !strings.HasSuffix(f.Help, ".") || strings.ContainsAny(f.Help, "\\\n|") {
				t.Errorf("the help of %s is no sentence on one line: %q", f.Name, f.Help)
			}
			for _, l := range f.Labels {
				if !label.MatchString(l) {
					t.Errorf("%s has the label %s, whose values are not known to be few", f.Name, l)
				}
			}
		}
	}
}

// exposition checks Prometheus text and returns each metric's kind and its samples, by name with labels.
func exposition(t *testing.T, text string) (kinds map[string]string, samples map[string]string) {
	t.Helper()
	kinds, samples = map[string]string{}, map[string]string{}
	sample := regexp.MustCompile(`^([a-z_:][a-zA-Z0-9_:]*)(\{[^}]*(?:\{[^}]*\}[^}]*)*\})? (\S+)$`)
	helped := map[string]bool{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, "# HELP "); ok {
			name, help, _ := strings.Cut(rest, " ")
			if helped[name] || help == "" {
				t.Errorf("%s has two helps, or an empty one", name)
			}
			helped[name] = true
			continue
		}
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(rest, " ")
			kinds[name] = kind
			continue
		}
		parts := sample.FindStringSubmatch(line)
		if parts == nil {
			t.Errorf("%q is no sample", line)
			continue
		}
		name := parts[1]
		if kinds[name] == "" {
			name = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_sum"), "_count")
		}
		if kinds[name] == "" || !helped[name] {
			t.Errorf("%s has a sample without a type or a help before it", parts[1])
		}
		if _, double := samples[parts[1]+parts[2]]; double {
			t.Errorf("%s%s is there twice", parts[1], parts[2])
		}
		samples[parts[1]+parts[2]] = parts[3]
	}
	return kinds, samples
}

func TestMetricsOfARunningCarom(t *testing.T) {
	dir := t.TempDir()
	carom(t, "import", "--data-dir="+dir, write(t, "links.csv", sampleCSV))
	r := startHere(t, dir, []string{"CAROM_ADMIN_KEY=" + testKey})
	for _, code := range []string{"plain", "plain", "plain", "full", "nothing", "nothing"} {
		get(t, "http://"+r.addr+"/"+code)
	}
	get(t, "http://"+r.addr+"/urls/no/such/path")
	fetch(t, "http://"+r.addr+"/urls")
	_, text := fetch(t, "http://"+r.admin+"/metrics")
	kinds, samples := exposition(t, text)
	for _, section := range sections() {
		for _, f := range section.families {
			if kinds[f.Name] != string(f.Kind) {
				t.Errorf("%s is exported as %q, want %s", f.Name, kinds[f.Name], f.Kind)
			}
		}
	}
	for sample, want := range map[string]string{
		`carom_edge_answers_total{outcome="redirect"}`:                            "3",
		`carom_edge_answers_total{outcome="inactive"}`:                            "1",
		`carom_edge_answers_total{outcome="not_found"}`:                           "2",
		`carom_edge_responses_total{status="302"}`:                                "3",
		`carom_edge_responses_total{status="410"}`:                                "1",
		`carom_edge_responses_total{status="404"}`:                                "2",
		`carom_edge_table_hits_total`:                                             "3",
		`carom_edge_table_negative_hits_total`:                                    "1",
		`carom_actors_misses_total`:                                               "3",
		`carom_edge_miss_seconds_count`:                                           "3",
		`carom_edge_api_requests_total{method="any",route="(none)",status="404"}`: "1",
		`carom_edge_api_requests_total{method="GET",route="/urls",status="401"}`:  "1",
		`carom_edge_api_request_seconds_count{method="GET",route="/urls"}`:        "1",
		`carom_edge_health_status{part="store",status="pass"}`:                    "1",
		`carom_edge_ready`:                                                        "1",
		`carom_journal_lanes`:                                                     "16",
		`carom_journal_drops_total{reason="full"}`:                                "0",
		`carom_store_connections_max{store="sqlite",pool="writer"}`:               "1",
		`carom_actors_mailbox_max{actor="shard"}`:                                 "2048",
	} {
		if got, ok := samples[sample]; got != want {
			t.Errorf("%s is %q (%v), want %s", sample, got, ok, want)
		}
	}
	for sample := range samples {
		for _, private := range []string{"plain", "a.example", "127.0.0.1", "Go-http-client"} {
			if strings.Contains(sample, private) {
				t.Errorf("%s has a visitor's or a link's %s in it", sample, private)
			}
		}
	}
	if code := r.stop(); code != exitOK {
		t.Errorf("exit %d, want 0: %s", code, r.rest)
	}
}
