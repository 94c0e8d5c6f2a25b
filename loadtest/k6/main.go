// Command k6 runs k6 against the real carom: one instance on its embedded store, and three behind nginx with Postgres and Redis. It
// watches the servers while the load runs, compares each answered redirect with the clicks that were stored, and writes a summary as
// JSON and a page with plots.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// The exit codes besides 0.
const (
	exitFail  = 1 // a wrong answer, an error, a lost click, or a figure behind its bar; or it could not be measured
	exitUsage = 2
)

func main() {
	cfg := config{}
	flag.StringVar(&cfg.Carom, "carom", "bin/carom", "the carom to measure")
	flag.StringVar(&cfg.K6, "k6", "k6", "the k6 to measure with")
	flag.StringVar(&cfg.Deploy, "deploy", "deploy/topology", "the script that runs nginx, three instances, Postgres and Redis")
	flag.StringVar(&cfg.Clicks, "clicks", "loadtest/testdata/usagov-clicks.jsonl", "real clicks: their links and their visitors' headers are used")
	flag.StringVar(&cfg.Topologies, "topology", "single,cluster", "what to load, with commas: single, cluster")
	flag.StringVar(&cfg.Scenarios, "scenario", "stages,stress,spike,arrival,soak", "the loads, with commas")
	flag.IntVar(&cfg.Links, "links", 100_000, "links to import: the real ones, the rest made up")
	flag.IntVar(&cfg.Seconds, "seconds", 60, "how long the steady part of a load lasts; the soak lasts ten times as long")
	flag.IntVar(&cfg.Rate, "rate", 800, "iterations a second of the arrival load")
	flag.BoolVar(&cfg.Minute, "minute", false, "the one-minute form: the stages in brief with 10,000 links, and no bars for speed")
	flag.StringVar(&cfg.Note, "note", "", "a condition of this run that its readers have to know")
	flag.StringVar(&cfg.Out, "out", "", "directory that gets k6.json and k6.html; none for neither")
	flag.Parse()
	if cfg.Minute {
		cfg.Scenarios, cfg.Links, cfg.Seconds = "stages", 10_000, 3
	}
	if err := cfg.validate(); err != nil || flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "k6: takes flags alone: %v\n", err)
		os.Exit(exitUsage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	result, err := measure(ctx, cfg)
	if err == nil {
		err = result.Print(os.Stdout)
	}
	if err == nil && cfg.Out != "" {
		err = result.Write(cfg.Out, "k6")
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "k6: %v\n", err)
		os.Exit(exitFail)
	}
	if !result.Good() {
		os.Exit(exitFail)
	}
}
