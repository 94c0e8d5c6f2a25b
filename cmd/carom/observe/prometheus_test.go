package observe_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// prometheus is a server that scrapes one carom each second, by the configuration of deploy/prometheus.
type prometheus struct {
	url  string
	http *http.Client
}

func startPrometheus(t *testing.T, target string) *prometheus {
	t.Helper()
	dir := t.TempDir()
	rules, err := filepath.Abs(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	config := strings.NewReplacer(
		`"carom-1:9090", "carom-2:9090", "carom-3:9090"`, `"`+target+`"`, "scrape_interval: 15s", "scrape_interval: 1s", "scrape_timeout: 5s", "scrape_timeout: 1s",
		"evaluation_interval: 15s", "evaluation_interval: 1s", "rule_files: [alerts.yml]", "rule_files: ["+rules+"]",
	).Replace(read(t, configFile))
	if !strings.Contains(config, target) || !strings.Contains(config, rules) {
		t.Fatalf("the configuration has changed: %s", config)
	}
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	free.Close()
	var log bytes.Buffer
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), tool(t, "prometheus"),
		"--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr, "--log.level=warn")
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("prometheus: %s", log.String())
		}
	})
	return &prometheus{"http://" + addr, visitor(t)}
}

// query asks for a value now, and returns how many series answer.
func (p *prometheus) query(t *testing.T, expr string) (series int, err error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/api/v1/query?query="+url.QueryEscape(expr), nil)
	if err != nil {
		return 0, err
	}
	answer, err := p.http.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	var got struct {
		Status, Error string
		Data          struct{ Result []json.RawMessage }
	}
	if err := json.NewDecoder(answer.Body).Decode(&got); err != nil {
		return 0, err
	}
	if got.Status != "success" {
		return 0, fmt.Errorf("prometheus says: %s", got.Error)
	}
	return len(got.Data.Result), nil
}

// await repeats a query until it has an answer.
func (p *prometheus) await(t *testing.T, expr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		n, err := p.query(t, expr)
		if err == nil && n > 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s has no answer in time (%v)", expr, err)
		}
	}
}

// TestDashboardsAreAnsweredByPrometheus holds that each query of each dashboard has an answer from a Prometheus that scrapes a
// carom, and that a carom at rest wakes nobody up.
func TestDashboardsAreAnsweredByPrometheus(t *testing.T) {
	carom := startWithAll(t)
	p := startPrometheus(t, carom.Admin)
	// A rate needs two scrapes and the recording rules some more.
	p.await(t, `count_over_time(up{job="carom"}[1m]) > 3`)
	c := visitor(t)
	for range 20 {
		ask(t, c, http.MethodGet, "http://"+carom.Addr+"/hello", nil)
	}
	p.await(t, `carom:table_hits:ratio_rate5m`)
	p.await(t, `carom:redirect_errors:ratio_rate1h`)
	for _, q := range queries(t) {
		switch n, err := p.query(t, q); {
		case err != nil:
			t.Errorf("%s: %v", q, err)
		case n == 0 && !strings.Contains(q, "> 1000"): // that one is for tables with many links
			t.Errorf("%s has no answer", q)
		}
	}
	if n, err := p.query(t, `ALERTS{alertstate="firing"}`); err != nil || n != 0 {
		t.Errorf("%d alerts fire on a carom at rest, %v", n, err)
	}
}
