package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/carom-dev/carom/loadtest/program"
)

// drainTimeout bounds each wait for clicks to reach the store, which is slower than a hit.
const drainTimeout = 2 * time.Minute

// contest is a comparison under way.
type contest struct {
	cfg      config
	generate generator
	bare     *program.Process
	carom    *program.Process
	api      *program.API
	link     program.Link
	result   *result
}

// compare starts both servers, runs the rounds, and stops the servers.
func compare(ctx context.Context, cfg config) (res *result, err error) {
	generate, name, err := newGenerator(cfg)
	if err != nil {
		return nil, err
	}
	c := &contest{cfg: cfg, generate: generate, result: newResult(cfg, name)}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	c.bare, err = program.StartCommand(ctx, exec.Command(self, "-bare"), nil) //nolint:noctx // stopped below, kindly
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.bare.Stop(5*time.Second)) }()

	dir, err := os.MkdirTemp("", "carom-hitcost-")
	if err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if c.carom, err = program.Start(ctx, program.Config{Binary: cfg.Carom, DataDir: dir}); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.carom.Stop(60*time.Second)) }()
	c.api = c.carom.API()
	defer c.api.Close()
	if c.link, err = c.api.Shorten(ctx, map[string]any{"url": bareTarget, "code": "hitcost"}); err != nil {
		return nil, err
	}
	if err := c.run(ctx); err != nil {
		return nil, err
	}
	return c.result, nil
}

// run alternates the servers: bare, carom, bare, carom, so that a change of the machine's mood meets both.
func (c *contest) run(ctx context.Context) error {
	if c.cfg.Warmup > 0 {
		for _, server := range []string{nameBare, nameCarom} {
			if _, err := c.load(ctx, server, time.Duration(c.cfg.Warmup)*time.Second); err != nil {
				return err
			}
		}
	}
	for range c.cfg.Rounds {
		for _, server := range []string{nameBare, nameCarom} {
			if err := c.round(ctx, server); err != nil {
				return err
			}
		}
	}
	stored, err := c.settle(ctx)
	c.result.Clicks = stored
	c.result.finish()
	return err
}

// round measures one server once. It waits for rest before, so that no click of an earlier round is stored at this one's cost,
// and behind, so that this one's clicks are charged to it.
func (c *contest) round(ctx context.Context, server string) error {
	if _, err := c.settle(ctx); err != nil {
		return err
	}
	p := c.process(server)
	before, err := p.CPU()
	if err != nil {
		return err
	}
	l, err := c.load(ctx, server, time.Duration(c.cfg.Seconds)*time.Second)
	if err != nil {
		return err
	}
	during, err := p.CPU()
	if err != nil {
		return err
	}
	if server == nameCarom {
		if _, err := c.api.WaitClicks(ctx, []string{c.link.Path()}, c.result.Redirects, drainTimeout); err != nil {
			return err
		}
	}
	stored, err := p.CPU()
	if err != nil {
		return err
	}
	c.result.add(server, l, during-before, stored-before)
	return nil
}

func (c *contest) load(ctx context.Context, server string, d time.Duration) (load, error) {
	l, err := c.generate(ctx, c.process(server).Addr, "/"+c.link.Code, d)
	if err == nil && server == nameCarom {
		c.result.Redirects += l.Answered
		c.result.Slack += l.Uncounted
	}
	return l, err
}

func (c *contest) process(server string) *program.Process {
	if server == nameCarom {
		return c.carom
	}
	return c.bare
}

// settle waits until all counted clicks are stored and their number has stopped growing, for a bounded time, and returns it.
func (c *contest) settle(ctx context.Context) (int64, error) {
	paths := []string{c.link.Path()}
	stored, err := c.api.WaitClicks(ctx, paths, c.result.Redirects, drainTimeout)
	for err == nil {
		var now int64
		// Two turns of the writer at its usual pace.
		if now, err = c.api.WaitClicks(ctx, paths, stored+1, 500*time.Millisecond); now == stored {
			break
		}
		stored = now
	}
	return stored, err
}
