package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// row is one fault and what has to be kept while it lasts.
type row struct {
	id    string // such as "D1"; a row with parts has one entry a part, such as "D1/sqlite"
	fault string
	bar   string
	// run makes the fault and says what it measured and whether the bar was held. An error is what is wrong on a machine of any
	// speed: a lost click, a wrong answer, a process that should live and does not. A bar on times that is missed is no error.
	run   func(ctx context.Context, e *env) (figure string, held bool, err error)
	short bool          // has a short form, which `chaos -short` runs
	long  time.Duration // what its full form takes beyond rowTimeout
}

// table is all rows in the order of the report.
func table() []row {
	return slices.Concat(deathRows(), failpointRows(), processRows(), diskRows(), poisonRows(), soakRows(), insideRows(), rawRows(), restartRows(), overloadRows(), connectionRows(), coldRows(), hotRows())
}

// result is what came of a row.
type result struct {
	row
	figure string
	held   bool
	err    error
	took   time.Duration
}

// failed reports whether the row fails the run. In the short form a machine that is slow fails nothing.
func (r *result) failed(short bool) bool { return r.err != nil || !r.held && !short }

func (r *result) verdict() string {
	switch {
	case r.err != nil:
		return "FAILED"
	case !r.held:
		return "not held"
	}
	return "held"
}

// String is the row's line on the terminal.
func (r result) String() string {
	text := fmt.Sprintf("%-10s %-8s %6.1f s  %s", r.id, r.verdict(), r.took.Seconds(), r.figure)
	if r.err != nil {
		text += fmt.Sprintf("\n           %v", r.err)
	}
	return text
}

// rowTimeout bounds a row, beside the soak and what the row says of itself: one that hangs is a failed one.
const rowTimeout = 45 * time.Minute

// runRow runs one row with a directory of its own, and ends what it left running.
func (e *env) runRow(ctx context.Context, r row) result {
	ctx, cancel := context.WithTimeout(ctx, rowTimeout+e.soak+r.long)
	defer cancel()
	began := time.Now()
	res := result{row: r}
	own, err := e.forRow(r.id)
	if err == nil {
		res.figure, res.held, err = r.run(ctx, own)
		if gone := own.close(); gone != nil && err == nil {
			err = gone
		}
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, own.logTail())
		}
	}
	res.err, res.took = err, time.Since(began)
	return res
}
