package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/carom-dev/carom/loadtest/program"
)

// stopTimeout bounds the end of a server; a Carom stores first what is still in its journal.
const stopTimeout = 5 * time.Minute

// server is something that answers redirects.
type server interface {
	Addr() string
	// Usage is what its processes have used so far.
	Usage() (usage, error)
	// Counts are what it says itself of what it did.
	Counts(ctx context.Context) (counts, error)
	Stop() error
}

// counts are a server's own figures, all since its start. A figure that the server does not have is -1.
type counts struct {
	Redirects float64 // answered
	Stored    float64 // clicks in the store, or lines in the log
	Lost      float64 // redirects whose click was not recorded
	Mallocs   float64
	GCs       float64
}

func (c counts) minus(o counts) counts {
	diff := func(a, b float64) float64 {
		if a < 0 {
			return a
		}
		return a - b
	}
	return counts{
		Redirects: diff(c.Redirects, o.Redirects), Stored: diff(c.Stored, o.Stored), Lost: diff(c.Lost, o.Lost),
		Mallocs: diff(c.Mallocs, o.Mallocs), GCs: diff(c.GCs, o.GCs),
	}
}

// bareProcess is this program as the bare server.
type bareProcess struct{ *program.Process }

func startBare(ctx context.Context, answer string) (server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	p, err := program.StartCommand(ctx, exec.Command(self, "-bare", "-answer", answer), nil) //nolint:noctx // stopped kindly
	if err != nil {
		return nil, err
	}
	return &bareProcess{p}, nil
}

func (b *bareProcess) Addr() string          { return b.Process.Addr }
func (b *bareProcess) Usage() (usage, error) { return usageOf(b.Pid()) }
func (b *bareProcess) Stop() error           { return b.Process.Stop(stopTimeout) }

func (b *bareProcess) Counts(ctx context.Context) (counts, error) {
	api := (&program.Process{Addr: b.Admin}).API()
	defer api.Close()
	all, err := api.Metrics(ctx)
	if err != nil {
		return counts{}, err
	}
	c := goCounts(all)
	c.Redirects, c.Stored, c.Lost = -1, -1, -1
	return c, nil
}

func goCounts(metrics map[string]float64) counts {
	return counts{Mallocs: metrics["go_memstats_mallocs_total"], GCs: metrics["go_gc_duration_seconds_count"]}
}

// caromProcess is a Carom.
type caromProcess struct {
	*program.Process
	dir  string // its data directory, removed behind it; "" when it is somebody else's
	api  *program.API
	note *program.Tail // the log's end
}

func startCarom(ctx context.Context, binary, dir string, env ...string) (*caromProcess, error) {
	note := &program.Tail{}
	// A busy machine is no error: a look-up may take its time here.
	env = append([]string{"CAROM_LOOKUP_TIMEOUT=10s", "CAROM_SHUTDOWN_TIMEOUT=5m"}, env...)
	p, err := program.Start(ctx, program.Config{Binary: binary, DataDir: dir, Env: env, Stderr: note})
	if err != nil {
		return nil, err
	}
	return &caromProcess{Process: p, api: p.API(), note: note}, nil
}

func (c *caromProcess) Addr() string          { return c.Process.Addr }
func (c *caromProcess) Usage() (usage, error) { return usageOf(c.Pid()) }

func (c *caromProcess) Stop() error {
	c.api.Close()
	err := c.Process.Stop(stopTimeout)
	if c.dir != "" {
		err = errors.Join(err, os.RemoveAll(c.dir))
	}
	return err
}

func (c *caromProcess) Counts(ctx context.Context) (counts, error) {
	all, err := c.api.Metrics(ctx)
	if err != nil {
		return counts{}, err
	}
	n := goCounts(all)
	n.Redirects = sumOf(all, "carom_edge_answers_total", `outcome="redirect"`)
	n.Stored = sumOf(all, "carom_actors_writer_clicks_total", "")
	n.Lost = sumOf(all, "carom_edge_unrecorded_total", "")
	return n, nil
}

// sumOf adds up all samples of a metric whose labels have a pair among them.
func sumOf(all map[string]float64, name, pair string) (sum float64) {
	for sample, value := range all {
		metric, labels, _ := strings.Cut(sample, "{")
		if metric == name && strings.Contains(labels, pair) {
			sum += value
		}
	}
	return sum
}

// answerOf is the bytes of a Carom's answer to the hot link.
func answerOf(ctx context.Context, addr string) (string, error) {
	head, tail, err := requestParts(addr)
	if err != nil {
		return "", err
	}
	return exchange(ctx, addr, string(head)+hotCode()+string(tail))
}
