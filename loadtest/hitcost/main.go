// Command hitcost compares what an answered redirect costs a server's processors: a bare fasthttp server with default options that
// answers a constant 302, and the real carom with the click recorded, side by side under the same load, in alternating rounds.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

func main() {
	var cfg config
	flag.StringVar(&cfg.Carom, "carom", "bin/carom", "the carom to measure")
	flag.IntVar(&cfg.Rounds, "rounds", 4, "rounds of each server")
	flag.IntVar(&cfg.Seconds, "seconds", 8, "seconds a round")
	flag.IntVar(&cfg.Warmup, "warmup", 2, "seconds of load on each server before the first round")
	flag.IntVar(&cfg.Connections, "connections", 64, "connections, each with one request under way")
	flag.IntVar(&cfg.Pipeline, "pipeline", 1, "requests sent at once on a connection; above 1 the client of this program is used")
	flag.StringVar(&cfg.Client, "client", "auto", "what makes the load: wrk, own, or auto: wrk when there is one")
	asJSON := flag.Bool("json", false, "print JSON instead of a table")
	bare := flag.Bool("bare", false, "be the bare server (this program starts itself so)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *bare {
		if err := serveBare(ctx); err != nil {
			fmt.Fprintf(os.Stderr, "hitcost: %v\n", err)
			os.Exit(1)
		}
		return
	}
	if err := cfg.validate(); err != nil {
		fmt.Fprintf(os.Stderr, "hitcost: %v\n", err)
		os.Exit(2)
	}
	result, err := compare(ctx, cfg)
	if err != nil {
		fmt.Fprintf(os.Stderr, "hitcost: %v\n", err)
		os.Exit(1)
	}
	if *asJSON {
		out := json.NewEncoder(os.Stdout)
		out.SetIndent("", "  ")
		err = out.Encode(result)
	} else {
		err = result.print(os.Stdout)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "hitcost: print: %v\n", err)
		os.Exit(1)
	}
	if !result.Clean() {
		os.Exit(1)
	}
}

// config says how to measure. The flags document the fields.
type config struct {
	Carom                                          string
	Rounds, Seconds, Warmup, Connections, Pipeline int
	Client                                         string
}

func (c *config) validate() error {
	for _, f := range []struct {
		name       string
		value, min int
	}{{"rounds", c.Rounds, 1}, {"seconds", c.Seconds, 1}, {"warmup", c.Warmup, 0}, {"connections", c.Connections, 1}, {"pipeline", c.Pipeline, 1}} {
		if f.value < f.min || f.value > 100_000 {
			return fmt.Errorf("-%s: %d is not accepted; give %d or more", f.name, f.value, f.min)
		}
	}
	switch c.Client {
	case "auto", "own", "wrk":
	default:
		return fmt.Errorf("-client: %q is not accepted; give auto, own or wrk", c.Client)
	}
	if c.Client == "wrk" && c.Pipeline > 1 {
		return fmt.Errorf("-pipeline: %d is not accepted with wrk; use -client own", c.Pipeline)
	}
	if runtime.GOOS != "linux" {
		return fmt.Errorf("CPU time is read from /proc, which %s does not have; run it on Linux", runtime.GOOS)
	}
	return nil
}
