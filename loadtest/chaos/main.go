// Command chaos breaks a real Carom in every way that production will, and counts what was promised against what was kept. Each row
// of its table is one fault: black-box, with the real binary, real services and real signals.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// The exit codes besides 0.
const (
	exitFail  = 1 // a row failed, or could not be run
	exitUsage = 2
)

func main() {
	var o options
	var only string
	flag.BoolVar(&o.Short, "short", false, "the short form of each row: fails on lost clicks, wrong answers and errors, and only tells of ratios")
	flag.StringVar(&only, "run", "", "regular expression: the rows to run, all when empty; the whole id has to match")
	flag.Uint64Var(&o.Seed, "seed", 0, "seed of all that is drawn by lot; 0 draws one and prints it")
	flag.StringVar(&o.Report, "report", "", "file that gets the table as Markdown")
	flag.StringVar(&o.Carom, "carom", "", "the program to test; built from this tree when empty")
	flag.DurationVar(&o.Soak, "soak", 0, "duration of row S1; 0 is 2 minutes in the short form and 2 hours otherwise")
	flag.StringVar(&o.Dir, "dir", "", "directory for data and services, on a real disk; a temporary one when empty")
	flag.BoolVar(&o.Verbose, "v", false, "show the logs of the tested programs")
	list := flag.Bool("list", false, "list the rows and end")
	slow := flag.Int("slow", 0, "be so many slow clients of -addr (this program starts itself so)")
	addr := flag.String("addr", "", "with -slow: the `address` of the server")
	flag.Parse()
	pattern, err := regexp.Compile("^(?:" + only + ")$")
	if err != nil || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "chaos: takes flags alone, and -run a regular expression:", err)
		os.Exit(exitUsage)
	}
	var chosen []row
	for _, r := range table() {
		if (only == "" && (r.short || !o.Short)) || only != "" && pattern.MatchString(r.id) {
			chosen = append(chosen, r)
		}
	}
	if *list {
		for _, r := range chosen {
			fmt.Printf("%-4s %s\n", r.id, r.fault)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *slow > 0 {
		exitOn(beSlow(ctx, *addr, *slow, os.Stdout))
		return
	}
	if len(chosen) == 0 {
		fmt.Fprintf(os.Stderr, "chaos: no row is called %q\n", only)
		os.Exit(exitUsage)
	}
	o.Command = "go run ./loadtest/chaos " + strings.Join(os.Args[1:], " ")
	exitOn(run(ctx, o, chosen))
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(exitFail)
	}
}

// options are the flags.
type options struct {
	Short, Verbose     bool
	Seed               uint64
	Report, Carom, Dir string
	Soak               time.Duration
	Command            string // as it was given
}

// errNotHeld says that a row failed; which one has been printed.
var errNotHeld = errors.New("not all rows held")

// run runs the rows one after the other, prints each as soon as it is known, and writes the report.
func run(ctx context.Context, o options, rows []row) (err error) {
	e, err := newEnv(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	fmt.Printf("seed %d, %s\n", e.seed, e.machine())
	var results []result
	for _, r := range rows {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		res := e.runRow(ctx, r)
		results = append(results, res)
		fmt.Println(res)
	}
	if o.Report != "" {
		if err := writeReport(ctx, o, e, results); err != nil {
			return err
		}
	}
	for _, res := range results {
		if res.failed(o.Short) {
			return errNotHeld
		}
	}
	return nil
}
