package observe_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/carom-dev/carom/loadtest/program"
	"github.com/carom-dev/carom/persistence/testservices"
)

// Where the files are that are checked.
const (
	alertsFile     = "../../../deploy/prometheus/alerts.yml"
	alertTestsFile = "../../../deploy/prometheus/alerts_test.yml"
	configFile     = "../../../deploy/prometheus/prometheus.yml"
	dashboardsGlob = "../../../deploy/grafana/dashboards/*.json"
	sourcesFile    = "../../../deploy/grafana/provisioning/datasources/carom.yml"
)

// tool finds a program of the Debian package prometheus.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("there is no %s; on Debian: apt-get install --no-install-recommends prometheus", name)
	}
	return path
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// board is what is read of a dashboard.
type board struct {
	UID        string
	Title      string
	Panels     []panel
	Templating struct {
		List []struct {
			Name       string
			Datasource source
		}
	}
}

type panel struct {
	ID         int
	Type       string
	Title      string
	TimeShift  string
	Datasource source
	GridPos    struct{ X, Y, W, H int }
	Targets    []struct {
		Datasource    source
		Expr          string
		ProfileTypeID string `json:"profileTypeId"`
		LabelSelector string
	}
}

type source struct{ Type, UID string }

func boards(t *testing.T) map[string]board {
	t.Helper()
	files, err := filepath.Glob(dashboardsGlob)
	if err != nil || len(files) < 5 {
		t.Fatalf("%d dashboards, %v; want redirects, clicks, actors, dependencies and profiles", len(files), err)
	}
	all := map[string]board{}
	for _, file := range files {
		var b board
		if err := json.Unmarshal([]byte(read(t, file)), &b); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".json")] = b
	}
	return all
}

// queries are the expressions of all dashboards, with Grafana's variables filled in.
func queries(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, b := range boards(t) {
		for _, p := range b.Panels {
			for _, q := range p.Targets {
				if q.Expr != "" {
					all = append(all, strings.NewReplacer("$__rate_interval", "1m", "$__range", "1h", "$instance", ".*").Replace(q.Expr))
				}
			}
		}
	}
	return all
}

func TestDashboardsAreWhole(t *testing.T) {
	sources := read(t, sourcesFile)
	for file, b := range boards(t) {
		if b.UID != file || !strings.HasPrefix(b.Title, "Carom: ") {
			t.Errorf("%s has the uid %s and the title %s", file, b.UID, b.Title)
		}
		for _, v := range b.Templating.List {
			if v.Datasource.UID != "" && !strings.Contains(sources, "uid: "+v.Datasource.UID) {
				t.Errorf("%s: the variable %s asks %s, which is not provisioned", file, v.Name, v.Datasource.UID)
			}
		}
		ids := map[int]bool{}
		for i, p := range b.Panels {
			if ids[p.ID] {
				t.Errorf("%s has two panels %d", file, p.ID)
			}
			ids[p.ID] = true
			if p.Title == "" || p.GridPos.X+p.GridPos.W > 24 || p.GridPos.W*p.GridPos.H == 0 {
				t.Errorf("%s: panel %d %q has no title or place", file, p.ID, p.Title)
			}
			for _, other := range b.Panels[:i] {
				a, o := p.GridPos, other.GridPos
				if a.X < o.X+o.W && o.X < a.X+a.W && a.Y < o.Y+o.H && o.Y < a.Y+a.H {
					t.Errorf("%s: %q lies on %q", file, p.Title, other.Title)
				}
			}
			if p.Type == "row" {
				continue
			}
			if len(p.Targets) == 0 {
				t.Errorf("%s: %q asks nothing", file, p.Title)
			}
			for _, q := range p.Targets {
				if q.Datasource != p.Datasource || !strings.Contains(sources, "uid: "+q.Datasource.UID) || (q.Expr == "") == (q.ProfileTypeID == "") {
					t.Errorf("%s: %q asks %v for %q or %q", file, p.Title, q.Datasource, q.Expr, q.ProfileTypeID)
				}
			}
		}
	}
}

// TestProfilesCanBeCompared holds that the page of profiles has flame graphs of the instances, and the same of an earlier time.
func TestProfilesCanBeCompared(t *testing.T) {
	now, earlier := map[string]bool{}, map[string]bool{}
	for _, p := range boards(t)["carom-profiles"].Panels {
		if p.Type != "flamegraph" {
			continue
		}
		if !strings.Contains(p.Targets[0].LabelSelector, `service_name="carom"`) {
			t.Errorf("%q selects %s", p.Title, p.Targets[0].LabelSelector)
		}
		if p.TimeShift != "" {
			earlier[p.Targets[0].ProfileTypeID] = true
		} else {
			now[p.Targets[0].ProfileTypeID] = true
		}
	}
	for _, kind := range []string{"process_cpu:cpu:nanoseconds:cpu:nanoseconds", "memory:alloc_space:bytes:space:bytes", "memory:inuse_space:bytes:space:bytes"} {
		if !now[kind] || !earlier[kind] {
			t.Errorf("%s is shown: %v, beside an earlier time: %v", kind, now[kind], earlier[kind])
		}
	}
}

var (
	alertLine  = regexp.MustCompile(`(?m)^      - alert: (\S+)$`)
	recordLine = regexp.MustCompile(`(?m)^      - record: (\S+)$`)
	namePart   = regexp.MustCompile(`\b(?:carom|go|process)_[a-z0-9_]+\b|\bcarom:[a-z0-9_:]+`)
)

func firsts(matches [][]string) []string {
	var all []string
	for _, m := range matches {
		all = append(all, m[1])
	}
	return all
}

func TestAlertsHaveATestAndNameTheirSection(t *testing.T) {
	alerts, tests := read(t, alertsFile), read(t, alertTestsFile)
	names := firsts(alertLine.FindAllStringSubmatch(alerts, -1))
	if len(names) < 30 {
		t.Fatalf("%d alerts were found", len(names))
	}
	for _, name := range names {
		if !strings.Contains(alerts, "docs/RUNBOOK.md#"+strings.ToLower(name)+"\n") {
			t.Errorf("%s does not name its section of the runbook", name)
		}
		if !regexp.MustCompile(`(?m)- alertname: ` + name + `\n +eval_time: \S+\n +exp_alerts:\n`).MatchString(tests) {
			t.Errorf("alerts_test.yml has no case in which %s fires", name)
		}
		if !strings.Contains(tests, "{alertname: "+name+", eval_time: 1h, exp_alerts: []}") {
			t.Errorf("alerts_test.yml does not hold that %s is silent in a quiet hour", name)
		}
	}
}

func TestPromtoolAcceptsTheAlerts(t *testing.T) {
	promtool := tool(t, "promtool")
	for _, args := range [][]string{{"check", "config", configFile}, {"check", "rules", alertsFile}, {"test", "rules", alertTestsFile}} {
		if out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	// Each query of a dashboard as a rule: what promtool takes as a rule, Prometheus takes as a query.
	var rules strings.Builder
	rules.WriteString("groups:\n  - name: dashboards\n    rules:\n")
	for i, q := range queries(t) {
		quoted, err := json.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&rules, "      - {record: \"q%d\", expr: %s}\n", i, quoted)
	}
	file := filepath.Join(t.TempDir(), "queries.yml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("a dashboard has a query that is none: %v\n%s", err, out)
	}
}

// TestDashboardsAndAlertsAskForWhatIsExported starts the program on all its services and looks for each name in what it exports.
func TestDashboardsAndAlertsAskForWhatIsExported(t *testing.T) {
	p := startWithAll(t)
	exported := map[string]bool{}
	_, text := ask(t, visitor(t), "GET", "http://"+p.Admin+"/metrics", nil)
	for line := range strings.Lines(text) {
		name, _, _ := strings.Cut(line, " ")
		name, _, _ = strings.Cut(name, "{")
		exported[name] = true
	}
	alerts := read(t, alertsFile)
	for _, name := range firsts(recordLine.FindAllStringSubmatch(alerts, -1)) {
		exported[name] = true
	}
	asked := map[string]bool{}
	for line := range strings.Lines(alerts) {
		if rule := strings.TrimSpace(line); !strings.HasPrefix(rule, "summary:") && !strings.HasPrefix(rule, "description:") && !strings.HasPrefix(rule, "#") && !strings.HasPrefix(rule, "runbook_url:") {
			for _, name := range namePart.FindAllString(rule, -1) {
				asked[name] = true
			}
		}
	}
	for _, q := range queries(t) {
		for _, name := range namePart.FindAllString(q, -1) {
			asked[name] = true
		}
	}
	if len(asked) < 60 {
		t.Fatalf("only %d names were found", len(asked))
	}
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		if !exported[name] {
			t.Errorf("%s is asked for and not exported", name)
		}
	}
}

// startWithAll starts a carom on Postgres and Redis and lets it do a little of everything.
func startWithAll(t *testing.T) *program.Process {
	t.Helper()
	cache, err := testservices.StartRedis()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cache.Close(); err != nil {
			t.Error(err)
		}
	})
	p := start(t, io.Discard, t.TempDir(), "DATABASE_URL="+services.Database(t, "empty", nil), "REDIS_URL="+cache.URL(), "CAROM_TRUSTED_PROXIES=127.0.0.0/8")
	exercise(t, p)
	return p
}
