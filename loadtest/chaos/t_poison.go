package main

import (
	"context"
	"fmt"
)

// poisonRows are the rows of faults inside the process, which only a test of the room can make.
func poisonRows() []row {
	return []row{{
		id: "T1", fault: "1,000 poison messages; panics in every message type; event-stream subscriber dies",
		bar: "process alive; others answered; counted", short: true, run: poison,
	}}
}

func poison(ctx context.Context, e *env) (string, bool, error) {
	rounds := pick(e, 1, 50)
	passed, _, err := e.runGoTest(ctx, goTest{
		packages: []string{"./actors", "./actors/stage"}, count: rounds,
		run: "^(TestPoisonMessages|TestDeadSubscriberDoesNotFlood|TestWorkerPanicIsToldAndLogged|TestPanic.*)$",
	})
	return fmt.Sprintf("%d rounds of 1,000 poison messages to a mailbox, 3,000 broken ones to a shard, the loader and the feed; a store, a worker and a subscriber that die: %d tests passed",
		rounds, passed), true, err
}
