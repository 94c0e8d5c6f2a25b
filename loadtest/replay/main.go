// Command replay sends the clicks of a JSON-lines file to a running Carom over HTTP, with their real user agents, languages and
// referrers, as fast as it answers or as -rate says, and notes which were answered.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// The exit codes besides 0.
const (
	exitFail  = 1 // a setting or a file is wrong, or an answer is no redirect
	exitUsage = 2
	exitGone  = 3 // the server went away; what it had answered is in the file, and the same command goes on from there
)

func main() {
	var cfg config
	flag.StringVar(&cfg.Server, "server", "127.0.0.1:8080", "host:port of the Carom")
	flag.StringVar(&cfg.Clicks, "clicks", "loadtest/testdata/usagov-clicks.jsonl", "the clicks: fields h (code), a (User-Agent), al (Accept-Language), r (Referer)")
	flag.StringVar(&cfg.Answered, "answered", "", "file that gets a line (click's number, code, attempt) for each answered click; clicks it has already are not sent again")
	flag.IntVar(&cfg.Connections, "connections", 32, "connections at once")
	flag.IntVar(&cfg.Repeat, "repeat", 1, "how often the file is replayed")
	flag.BoolVar(&cfg.Mark, "mark", false, "end each User-Agent with \" click/NUMBER.ATTEMPT\", so that each request can be found again among the stored clicks")
	flag.IntVar(&cfg.Rate, "rate", 0, "clicks a second at most; 0: as fast as they are answered")
	flag.DurationVar(&cfg.Timeout, "timeout", 10*time.Second, "how long an answer is waited for")
	flag.Parse()
	if flag.NArg() > 0 || cfg.Connections < 1 || cfg.Repeat < 1 || cfg.Rate < 0 {
		fmt.Fprintln(os.Stderr, "replay: takes flags alone, with -connections and -repeat of 1 or more, and -rate of 0 or more")
		os.Exit(exitUsage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	report, err := replay(ctx, cfg)
	fmt.Printf("%d clicks answered in %.3f s (%.0f a second), %d already answered before, %d not answered\n",
		report.Answered, report.Took.Seconds(), float64(report.Answered)/max(report.Took.Seconds(), 1e-9), report.Before, report.Unanswered)
	switch {
	case err != nil:
		fmt.Fprintf(os.Stderr, "replay: %v\n", err)
		os.Exit(exitFail)
	case report.Unanswered > 0:
		fmt.Fprintf(os.Stderr, "replay: server is gone: %v\n", report.Gone)
		os.Exit(exitGone)
	}
}
