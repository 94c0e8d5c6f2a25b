package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/carom-dev/carom/loadtest/program"
)

//go:embed script.js
var script []byte

// exitThresholds is k6's exit code when it ran well but a threshold was not kept.
const exitThresholds = 99

// generator is a k6 under way.
type generator struct {
	cmd     *exec.Cmd
	summary string
	console *program.Tail
	out     *samples
	outErr  error
	read    chan struct{} // closed when all samples were read
}

// summary is what k6 tells of each of its metrics at the end.
type summary map[string]struct {
	Values map[string]float64 `json:"values"`
}

// generate starts k6. dir is for its files.
func generate(ctx context.Context, cfg config, l load, s *service, links, visitors, dir string) (*generator, error) {
	file := filepath.Join(dir, "script.js")
	if err := os.WriteFile(file, script, 0o600); err != nil {
		return nil, fmt.Errorf("write script: %w", err)
	}
	g := &generator{summary: filepath.Join(dir, "summary-"+s.name+"-"+l.name+".json"), console: &program.Tail{}, read: make(chan struct{})}
	g.cmd = exec.CommandContext(ctx, cfg.K6, "run", "--quiet", "--no-usage-report", "--address", "", "--out", "csv=-", file)
	g.cmd.Env = append(os.Environ(), "K6_CSV_TIME_FORMAT=unix_milli", "BASE=http://"+s.addr, "KEY="+program.AdminKey, "LINKS="+links, "VISITORS="+visitors,
		"SCENARIO="+l.name, "SECONDS="+strconv.Itoa(cfg.Seconds), "RATE="+strconv.Itoa(cfg.Rate), "P99="+strconv.Itoa(cfg.bar(l)), "SUMMARY="+g.summary)
	g.cmd.Stderr = g.console
	g.cmd.WaitDelay = 10 * time.Second
	pipe, err := g.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	if err := g.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start k6: %w", err)
	}
	go func() {
		defer close(g.read)
		if g.out, g.outErr = readSamples(pipe); g.outErr != nil {
			_, _ = io.Copy(io.Discard, pipe) // k6 must not wait for a reader
		}
	}()
	return g, nil
}

// wait waits for k6's end and returns what it counted and what it saw second by second.
func (g *generator) wait() (summary, *samples, error) {
	<-g.read
	err := g.cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == exitThresholds {
		err = nil // it is judged by the figures themselves
	}
	if err = errors.Join(err, g.outErr); err != nil {
		return nil, nil, fmt.Errorf("run k6: %w; it said:\n%s", err, g.console)
	}
	text, err := os.ReadFile(g.summary)
	if err != nil {
		return nil, nil, fmt.Errorf("read k6's summary: %w", err)
	}
	var whole struct {
		Metrics summary `json:"metrics"`
	}
	if err := json.Unmarshal(text, &whole); err != nil {
		return nil, nil, fmt.Errorf("read k6's summary: %w", err)
	}
	return whole.Metrics, g.out, nil
}

// version is what k6 calls itself.
func version(ctx context.Context, k6 string) (string, error) {
	out, err := exec.CommandContext(ctx, k6, "version").Output()
	if err != nil {
		return "", fmt.Errorf("ask k6 for its version: %w", err)
	}
	for _, word := range strings.Fields(string(out)) {
		if strings.HasPrefix(word, "v") {
			return "k6 " + word, nil
		}
	}
	return "", fmt.Errorf("ask k6 for its version: %q has none", out)
}

// redirects are the answered redirects of each group.
func (s summary) redirects() map[string]int64 {
	groups := map[string]int64{}
	for name, metric := range s {
		if strings.HasPrefix(name, "redirects_") {
			groups[name] = int64(metric.Values["count"])
		}
	}
	return groups
}
