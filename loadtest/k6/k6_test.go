package main

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/carom-dev/carom/loadtest/report"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const csv = `metric_name,timestamp,metric_value,error_code,name,status,extra_tags,metadata
http_reqs,1700000000100,1.000000,,redirect,302,,
http_req_duration,1700000000100,3.500000,,redirect,302,,
http_req_failed,1700000000100,0.000000,,redirect,302,,
checks,1700000000101,1.000000,,,,,
vus,1700000000200,7.000000,,,,,
http_req_duration,1700000000900,1.500000,,redirect,302,,
http_req_duration,1700000000950,9.000000,1404,unknown,404,,
checks,1700000000951,0.000000,,,,,
dropped_iterations,1700000001000,4.000000,,,,,
http_req_duration,1700000002050,20.000000,,redirect,302,,
`

func TestReadSamples(t *testing.T) {
	s, err := readSamples(strings.NewReader(csv))
	if err != nil {
		t.Fatal(err)
	}
	zero := s.seconds[1700000000]
	if zero.requests != 3 || !slices.Equal(zero.redirects, []float64{3.5, 1.5}) || zero.faults != 1 || zero.vus != 7 {
		t.Errorf("first second %+v, want 3 requests, redirects of 3.5 and 1.5 ms, 1 fault, 7 visitors", zero)
	}
	if one := s.seconds[1700000001]; one.dropped != 4 || !math.IsNaN(one.vus) {
		t.Errorf("second second %+v, want 4 dropped and visitors unknown", one)
	}
	if !s.first.Equal(time.UnixMilli(1700000000100)) || !s.last.Equal(time.UnixMilli(1700000002050)) {
		t.Errorf("answers from %v to %v, want those of the requests alone", s.first, s.last)
	}
	for name, text := range map[string]string{
		"nothing": "", "another header": "a,b,c\n", "no name": "metric_name,timestamp,metric_value\n",
		"no time": csv + "checks,x,1\n", "no value": csv + "checks,1,x\n",
	} {
		if _, err := readSamples(strings.NewReader(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestSeriesLiesSideBySide(t *testing.T) {
	s, err := readSamples(strings.NewReader(csv))
	if err != nil {
		t.Fatal(err)
	}
	at := func(second int, cpu time.Duration, lag float64) sight {
		return sight{at: time.Unix(1700000000+int64(second), 0), lag: lag, backlog: lag * 10, used: map[string]usage{"carom": {cpu: cpu, rss: 1 << 20}}}
	}
	run := &report.Run{}
	got := series(s, []sight{at(-1, time.Second, 0), at(0, 2*time.Second, 0.5), at(1, 2500*time.Millisecond, 0.25), at(9, 3*time.Second, 0)}, run)
	if got.Requests[0] != 3 || got.P50[0] != 1.5 || got.P99[0] != 3.5 || !math.IsNaN(got.P50[1]) || got.P50[2] != 20 {
		t.Errorf("requests %v, p50 %v, p99 %v", got.Requests, got.P50, got.P99)
	}
	if got.Lag[0] != 0.5 || got.Lag[1] != 0.25 || !math.IsNaN(got.Lag[2]) || got.CPU["carom"][0] != 1 || got.CPU["carom"][1] != 0.5 {
		t.Errorf("lag %v, processors %v", got.Lag, got.CPU)
	}
	if run.LagMax != 0.5 || run.BacklogMax != 5 || run.CPU["carom"] != 2 || run.MemoryMax != 1<<20 {
		t.Errorf("run %+v, want the sums and peaks of all sights", run)
	}
}

func TestCompareFindsALostClickInItsGroup(t *testing.T) {
	answered := map[string]int64{"redirects_rank_00": 10, "redirects_rank_01": 5, groupOwn: 1}
	before := map[string]int64{"redirects_rank_00": 100}
	redirects, stored, unequal := compare(answered, before, map[string]int64{"redirects_rank_00": 110, "redirects_rank_01": 5, groupOwn: 1})
	if redirects != 16 || stored != 16 || unequal != nil {
		t.Errorf("compare = %d, %d, %v, want 16, 16 and no difference", redirects, stored, unequal)
	}
	// The sums are equal here: a click that went to another link is found none the less.
	_, _, unequal = compare(answered, before, map[string]int64{"redirects_rank_00": 111, "redirects_rank_01": 4, groupOwn: 1})
	if want := []string{"rank_00: 10 answered, 11 stored", "rank_01: 5 answered, 4 stored"}; !slices.Equal(unequal, want) {
		t.Errorf("compare finds %v, want %v", unequal, want)
	}
	_, _, unequal = compare(answered, nil, map[string]int64{"redirects_rank_00": 10, "redirects_rank_01": 5, groupOwn: 1, "redirects_rank_07": 2})
	if want := []string{"rank_07: 0 answered, 2 stored"}; !slices.Equal(unequal, want) {
		t.Errorf("compare finds %v, want %v", unequal, want)
	}
}

func TestGroupsAreThoseOfTheScript(t *testing.T) {
	for index, want := range map[int]string{0: "redirects_rank_00", 1: "redirects_rank_01", 2: "redirects_rank_01", 3: "redirects_rank_02", 99_999: "redirects_rank_16"} {
		if got := groupOf(index); got != want {
			t.Errorf("groupOf(%d) = %s, want %s", index, got, want)
		}
	}
}

func TestInputs(t *testing.T) {
	dir := t.TempDir()
	in, err := makeInputs(dir, "../testdata/usagov-clicks.jsonl", 1000)
	if err != nil {
		t.Fatal(err)
	}
	if len(in.codes) != 1000 || in.codes[0] != "u0uD9q" || len(in.targets) != 1000-416 {
		t.Errorf("%d codes, the first %s, %d made up, want 1000, u0uD9q with most clicks, 584", len(in.codes), in.codes[0], len(in.targets))
	}
	imports, err := os.ReadFile(in.imports)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(imports), "\n"); lines != 1000 {
		t.Errorf("%d lines to import, want 1000", lines)
	}
	visitors, err := os.ReadFile(in.visitors)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(visitors), "],["); n != 1725 || strings.Contains(string(visitors), `"direct"`) {
		t.Errorf("%d visitors, want the 1726 clicks' headers, and no referrer called direct", n+1)
	}
	for name, text := range map[string]string{"no clicks": `{"_heartbeat_":1}`, "no JSON": "x"} {
		file := filepath.Join(dir, "bad")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := makeInputs(dir, file, 1000); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestProcessesAreCountedWithTheirChildren(t *testing.T) {
	pid, p, err := parseStat("42 (a (b) c) S 7 1 1 0 -1 0 1 2 3 4 100 50 25 25 20 0 1 0 5 1000 3 0 0")
	if err != nil || pid != 42 || p.parent != 7 || p.cpu != 2*time.Second || p.rss != 3*int64(os.Getpagesize()) {
		t.Errorf("parseStat = %d, %+v, %v", pid, p, err)
	}
	for _, text := range []string{"", "1 (x", "1 (x) S 1", "x (x) S 1 1 1 0 -1 0 1 2 3 4 1 1 1 1 20 0 1 0 5 1000 3"} {
		if _, _, err := parseStat(text); err == nil {
			t.Errorf("parseStat(%q): no error", text)
		}
	}
	all, err := usages(map[string][]int{"parent": {os.Getppid()}, "self": {os.Getpid()}})
	if err != nil || all["self"].rss == 0 || all["parent"].rss == 0 {
		t.Errorf("usages = %+v, %v, want memory of this process and of its parent", all, err)
	}
	all, err = usages(map[string][]int{"parent": {os.Getppid()}})
	if err != nil || all["parent"].rss < int64(os.Getpagesize()) {
		t.Errorf("usages = %+v, %v, want the parent with this child", all, err)
	}
}

func TestSettingsThatMakeNoSense(t *testing.T) {
	good := config{Topologies: "single,cluster", Scenarios: "stages,soak", Links: 1000, Seconds: 1, Rate: 1}
	if err := good.validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*config){
		"-links": func(c *config) { c.Links = 1 }, "-seconds": func(c *config) { c.Seconds = 0 }, "-rate": func(c *config) { c.Rate = 0 },
		"-topology": func(c *config) { c.Topologies = "single,x" }, "-scenario": func(c *config) { c.Scenarios = "" },
	} {
		bad := good
		change(&bad)
		if err := bad.validate(); err == nil || !strings.HasPrefix(err.Error(), name+":") {
			t.Errorf("a wrong %s: %v, want a refusal that names it", name, err)
		}
	}
	for _, l := range loads() {
		if !strings.Contains(string(script), "\n  "+l.name+": {") {
			t.Errorf("the script has no scenario %s", l.name)
		}
		if minute := (config{Minute: true}); minute.bar(l) != 0 || minute.barDrain() != 0 {
			t.Errorf("the one-minute form has a bar for %s", l.name)
		}
	}
}

func TestWhatTheGeneratorCounted(t *testing.T) {
	s := summary{"redirects_rank_00": {Values: map[string]float64{"count": 3}}, "http_reqs": {Values: map[string]float64{"count": 9}}}
	if got := s.redirects(); len(got) != 1 || got["redirects_rank_00"] != 3 {
		t.Errorf("redirects = %v, want those of rank 0", got)
	}
	console := "level=info msg=\"x\"\nlevel=error msg=\"wrong: edit is seen: abc\"\nlevel=warn msg=\"Insufficient VUs\"\n"
	if got := complaints(console); len(got) != 2 {
		t.Errorf("complaints = %q, want the wrong answer and the warning", got)
	}
}
