// Command bench measures what an answered redirect costs: Carom in several situations, a bare fasthttp server that answers a constant
// 302, and nginx with a static map, side by side under the same load, in alternating rounds. It starts and stops all of them itself.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	cfg := config{Args: os.Args[1:]}
	flag.StringVar(&cfg.Carom, "carom", "bin/carom", "the carom to measure")
	flag.StringVar(&cfg.Run, "run", "", "measure the rows whose names match this `regexp`; the bare server is always measured")
	flag.StringVar(&cfg.Shapes, "shapes", "64,500,64x16,500x16", "connections, and requests sent at once on each")
	flag.IntVar(&cfg.Rounds, "rounds", 5, "rounds of each row in each shape")
	flag.IntVar(&cfg.Seconds, "seconds", 4, "seconds a round")
	flag.IntVar(&cfg.Warmup, "warmup", 1, "seconds of load on each row before the first round")
	flag.StringVar(&cfg.Client, "client", "auto", "what makes the load: wrk, own, or auto: wrk when there is one")
	flag.IntVar(&cfg.Links, "links", 0, "also measure this many links against 1,000, such as 10000000")
	flag.StringVar(&cfg.LinksDB, "links-db", "", "keep the store with that many links in this `directory`, and take it from there the next time")
	flag.IntVar(&cfg.Imports, "imports", 300_000, "links of the import rows")
	flag.IntVar(&cfg.Cold, "cold", 40_000, "cold links asked for in a round")
	flag.StringVar(&cfg.JSON, "json", "", "write everything that was measured to this `file`")
	flag.BoolVar(&cfg.Short, "short", false, "one short round of each row: is every answer right, and every click stored? Its figures mean little")
	list := flag.Bool("list", false, "print the rows and end")
	bare := flag.Bool("bare", false, "be the bare server (this program starts itself so)")
	answer := flag.String("answer", "", "with -bare: answer these header `lines`, and no others")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, &cfg, *list, *bare, *answer); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, cfg *config, list, bare bool, answer string) error {
	if bare {
		return serveBare(ctx, answer)
	}
	cfg.settle()
	if err := cfg.validate(); err != nil {
		return err
	}
	if list {
		for _, r := range allRows(cfg) {
			fmt.Printf("%-14s %s\n", r.name, r.title)
		}
		return nil
	}
	return measure(ctx, cfg)
}
