package main

import (
	"context"
	"errors"
	"fmt"
)

// poisonRows are the rows of faults inside the process.
func poisonRows() []row {
	return []row{{
		id: "T1", fault: "1,000 poison messages; panics in every message type; event-stream subscriber dies",
		bar: "process alive; others answered; counted", short: true, run: poison,
	}}
}

// poison breaks processes from outside, and each mailbox, with messages that no process sends, from inside, at the same time.
func poison(ctx context.Context, e *env) (string, bool, error) {
	rounds := pick(e, 1, 50)
	var passed int
	inside := make(chan error, 1)
	go func() {
		var err error
		passed, _, err = e.runGoTest(ctx, goTest{
			packages: []string{"./actors", "./actors/stage"}, count: rounds,
			run: "^(TestPoisonMessages|TestDeadSubscriberDoesNotFlood|TestWorkerPanicIsToldAndLogged|TestPanic.*)$",
		})
		inside <- err
	}()
	panics, held, err := panicEverywhere(ctx, e)
	err = errors.Join(err, <-inside)
	return fmt.Sprintf("%d rounds of 1,000 poison messages to a mailbox, 3,000 broken ones to a shard, the loader and the feed; a store, a worker and a subscriber that die: %d tests passed; %s",
		rounds, passed, panics), held, err
}
