package main

import (
	"fmt"
	"regexp"
	"runtime"
	"strconv"
	"strings"
)

// config says what to measure and how. The flags document the fields.
type config struct {
	Args                       []string
	Carom, Run, Shapes, Client string
	LinksDB, JSON              string
	Rounds, Seconds, Warmup    int
	Links, Imports, Cold       int
	zipf                       int // links for every row but those of -links and the imports
	Short                      bool
}

// zipfLinksMax is how many links there are for every row but those of -links and the imports; a short run has fewer.
const (
	zipfLinksMax   = 100_000
	zipfLinksShort = 10_000
)

// shortRows are those of a short run: the ways that differ in what may go wrong.
const shortRows = "^(hot|hot-held|hot-postgres|hot-profiled|zipf|unknown.*|cold-.*|import-.*)$"

// shape is how the load arrives: connections, and requests sent at once on each of them.
type shape struct{ Connections, Pipeline int }

func (s shape) String() string {
	if s.Pipeline == 1 {
		return strconv.Itoa(s.Connections)
	}
	return fmt.Sprintf("%dx%d", s.Connections, s.Pipeline)
}

// settle fills in what -short means.
func (c *config) settle() {
	c.zipf = zipfLinksMax
	if c.Short {
		c.zipf = zipfLinksShort
		if c.Run == "" {
			c.Run = shortRows
		}
		c.Shapes, c.Rounds, c.Seconds, c.Warmup, c.Imports, c.Cold = "64,64x16", 1, 1, 0, 20_000, 2000
	}
}

func (c *config) validate() error {
	for _, f := range []struct {
		name            string
		value, min, max int
	}{
		{"rounds", c.Rounds, 1, 1000},
		{"seconds", c.Seconds, 1, 40}, // what is held back must not be let go by the clock in a round
		{"warmup", c.Warmup, 0, 10},
		{"links", c.Links, 0, 50_000_000},
		{"imports", c.Imports, 1, 50_000_000},
		{"cold", c.Cold, 1, zipfLinksMax},
	} {
		if f.value < f.min || f.value > f.max {
			return fmt.Errorf("-%s: %d is not accepted; give %d to %d", f.name, f.value, f.min, f.max)
		}
	}
	if c.Links > 0 && c.Links <= zipfLinksMax {
		return fmt.Errorf("-links: %d is not accepted; give more than %d, or 0", c.Links, zipfLinksMax)
	}
	switch c.Client {
	case "auto", "own", "wrk":
	default:
		return fmt.Errorf("-client: %q is not accepted; give auto, own or wrk", c.Client)
	}
	if _, err := regexp.Compile(c.Run); err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	if _, err := c.shapes(); err != nil {
		return err
	}
	if runtime.GOOS != "linux" {
		return fmt.Errorf("CPU time is read from /proc, which %s does not have; run it on Linux", runtime.GOOS)
	}
	return nil
}

func (c *config) shapes() ([]shape, error) {
	var all []shape
	for text := range strings.SplitSeq(c.Shapes, ",") {
		connections, pipeline, piped := strings.Cut(text, "x")
		s := shape{Pipeline: 1}
		var err error
		if s.Connections, err = strconv.Atoi(connections); err == nil && piped {
			s.Pipeline, err = strconv.Atoi(pipeline)
		}
		if err != nil || s.Connections < 1 || s.Connections > 10_000 || s.Pipeline < 1 || s.Pipeline > 64 {
			return nil, fmt.Errorf("-shapes: %q is not accepted; give connections as 64, or 64x16 for 16 requests sent at once", text)
		}
		all = append(all, s)
	}
	return all, nil
}

// wants reports whether -run picks the name.
func (c *config) wants(name string) bool {
	return regexp.MustCompile(c.Run).MatchString(name) // it was compiled by validate
}
