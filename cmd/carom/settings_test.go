package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/carom-dev/carom/cmd/carom/internal/setting"
)

// model is the command line as the parser has it.
func model(t *testing.T) *kong.Application {
	t.Helper()
	parser, err := newParser(&commands{}, &terminal{env: setting.NewEnvironment(nil)})
	if err != nil {
		t.Fatal(err)
	}
	return parser.Model
}

// wrongDatabase is the URL of another kind of database, with a password.
const wrongDatabase = "mysql://carom:hunter2@db/carom"

// wrongSettings has at least one wrong value of every setting that can be wrong.
func wrongSettings() map[string][]string {
	return map[string][]string{
		"listen":                   {"8080", "off", ":99999"},
		"admin-listen":             {"9090", "x:y"},
		"listeners":                {"0", "65", "many", "-1"},
		"connections-max":          {"-1", "x"},
		"trusted-proxies":          {"10.0.0.0/40", "proxy.example"},
		"proxy-protocol":           {"maybe", "true"},
		"home-url":                 {"example.com", "javascript:alert(1)", "https://"},
		"admin-key":                {"short"},
		"database-url":             {wrongDatabase, "postgres://carom:hunter2@db:x/carom"},
		"database-pool":            {"0", "1001"},
		"database-exec-mode":       {"simple_protocol"},
		"migrate":                  {"maybe"},
		"click-retention":          {"1h", "-1s", "x"},
		"redis-url":                {"redis://:hunter2@cache:6379"}, // there is no database
		"redis-master":             {"main"},
		"redis-cluster":            {"maybe", "true"},
		"redis-prefix":             {"with space", strings.Repeat("x", 1000)},
		"base-url":                 {"sho.rt", "https://sho.rt/path", "https://u:p@sho.rt", "https://sho.rt/?q", "ftp://sho.rt"},
		"allow-private-targets":    {"perhaps"},
		"shards":                   {"0", "3", "2048", "1e3"},
		"cache-bytes":              {"1", "64Mb", "-5", "1GB"},
		"cache-ttl":                {"1s", "25h", "5", "-1s"},
		"lookups-max":              {"0"},
		"lookup-timeout":           {"0s", "2m"},
		"memory-limit":             {"1MiB", "x"},
		"journal-bytes":            {"4KiB"},
		"journal-sync":             {"never", "0", "2h", "-1ns"},
		"journal-full":             {"wait"},
		"click-batch-max":          {"0", "100001"},
		"click-interval":           {"0s", "2m"},
		"rate-limit-api":           {"200", "200/d", "-1/m"},
		"rate-limit-writes":        {"x/m"},
		"rate-limit-unknown":       {"1/"},
		"rate-limit-redirects":     {"/m"},
		"drain-delay":              {"6m", "x"},
		"shutdown-timeout":         {"0s", "2h"},
		"log-level":                {"loud", "INFO"},
		"log-format":               {"xml"},
		"flight-recorder":          {"often"},
		"flight-latency":           {"1µs", "2m", "1s"},
		"profile-contention":       {"sometimes"},
		"pyroscope-server-address": {"localhost:4040"},
	}
}

func TestWrongSettingsNameThemselves(t *testing.T) {
	wrong := wrongSettings()
	for _, flag := range settingFlags(model(t)) {
		values, known := wrong[flag.Name]
		delete(wrong, flag.Name)
		if flag.Name == "data-dir" { // any text names a directory
			continue
		}
		if !known {
			t.Errorf("no wrong value of --%s is tested", flag.Name)
		}
		for _, value := range values {
			shown := value
			if setting.IsSecret(flag) {
				shown = setting.Secret(value).String()
			}
			variable := setting.VariableOf(flag)
			for _, command := range []string{"serve", "check-config"} {
				dir := "--data-dir=" + t.TempDir()
				r := invocation{ended: true}.run(t, command, dir, "--"+flag.Name+"="+value)
				refuse(t, r, exitUsage, "--"+flag.Name, shown)
				refuse(t, invocation{ended: true, environ: []string{variable + "=" + value}}.run(t, command, dir), exitUsage, "--"+flag.Name, variable, shown)
				if !flag.IsBool() && !strings.Contains(r.err, "give ") {
					t.Errorf("%q does not say what is accepted", r.err)
				}
				if strings.Contains(r.err, "hunter2") {
					t.Errorf("%q shows a secret", r.err)
				}
			}
		}
	}
	for name := range wrong {
		t.Errorf("--%s is tested and does not exist", name)
	}
}

func TestAWrongDatabaseIsRefusedEverywhere(t *testing.T) {
	file := write(t, "links.csv", "code,url\na,https://a.example/\n")
	for _, args := range [][]string{{"migrate"}, {"keys", "list"}, {"export", "links"}, {"import", file}, {"serve"}} {
		r := invocation{ended: true, environ: []string{"DATABASE_URL=" + wrongDatabase}}.run(t, append(args, "--data-dir="+t.TempDir())...)
		refuse(t, r, exitUsage, "--database-url", "DATABASE_URL", "mysql://carom:****@db/carom")
	}
}

func TestCheckConfigShowsValuesAndOrigins(t *testing.T) {
	key := write(t, "key", "a-very-long-admin-key-for-tests\n")
	r := invocation{environ: []string{"CAROM_CACHE_BYTES=67108864", "CAROM_ADMIN_KEY_FILE=" + key, "CAROM_BASE_URL=https://sho.rt"}}.run(t, "check-config", "--cache-ttl=10m")
	if r.code != exitOK {
		t.Fatalf("exit %d, %s", r.code, r.err)
	}
	lines := map[string]string{}
	for line := range strings.Lines(r.out) {
		fields := strings.Fields(line)
		lines[fields[0]] = strings.Join(fields[1:], " ")
	}
	for name, want := range map[string]string{
		"cache-bytes": "64MiB CAROM_CACHE_BYTES", "admin-key": "**** CAROM_ADMIN_KEY_FILE", "base-url": "https://sho.rt CAROM_BASE_URL",
		"cache-ttl": "10m --cache-ttl", "shards": "16 default", "home-url": "- default",
	} {
		if lines[name] != want {
			t.Errorf("%s is shown as %q, want %q", name, lines[name], want)
		}
	}
	if len(lines) != len(settingFlags(model(t))) || strings.Contains(r.out, "a-very-long") {
		t.Errorf("check-config = %s", r.out)
	}
}

func TestUnknownVariableWarns(t *testing.T) {
	r := invocation{environ: []string{"CAROM_CASHE_BYTES=1", "CAROM_SERVER=http://x"}}.run(t, "check-config")
	if r.code != exitOK || strings.Count(r.err, "\n") != 1 || !strings.Contains(r.err, "warning") || !strings.Contains(r.err, "CAROM_CASHE_BYTES") {
		t.Errorf("exit %d, %q; want one warning", r.code, r.err)
	}
}

func TestLocalURL(t *testing.T) {
	for listen, want := range map[setting.Address]string{
		":8080": "http://127.0.0.1:8080", "0.0.0.0:80": "http://127.0.0.1:80", "[::]:80": "http://127.0.0.1:80",
		"192.0.2.1:80": "http://192.0.2.1:80", "[::1]:80": "http://[::1]:80", "carom.example:80": "http://carom.example:80",
	} {
		if got := localURL(listen); got != want {
			t.Errorf("localURL(%q) = %q, want %q", listen, got, want)
		}
	}
}

func TestTargetPolicyOfSettings(t *testing.T) {
	p := (&TargetSettings{AllowPrivateTargets: true}).policy()
	for base, target := range map[string]string{"https://Sho.rt": "http://sho.RT:8443/x", "https://kürz.example": "https://xn--krz-hoa.example/x"} {
		if _, err := (&TargetSettings{BaseURL: base}).policy().Canonical(target); err == nil || !strings.Contains(err.Error(), "own host") {
			t.Errorf("%s: target %s = %v, want it refused as our own host", base, target, err)
		}
	}
	if _, err := p.Canonical("http://10.0.0.1/"); err != nil {
		t.Errorf("a private target was refused: %v", err)
	}
}

// TestReadmeTable holds the README's table of settings to the code; -update writes it.
func TestReadmeTable(t *testing.T) {
	const begin, end = "<!-- settings: made by `go test ./cmd/carom -run TestReadmeTable -update` -->\n", "<!-- end of settings -->"
	path := filepath.Join("..", "..", "README.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	table, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("README.md has no table between %q and %q", begin, end)
	}
	want := carom(t, "check-config", "--table").out
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if table != want {
		t.Errorf("README.md has another table of settings than the code; go test ./cmd/carom -run TestReadmeTable -update writes it\nwant:\n%s", want)
	}
}
