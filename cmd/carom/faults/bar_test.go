package faults_test

import (
	"testing"
	"time"
)

// What is promised of times. The bars hold in the long form, whose tests run one at a time; in the short form, which runs beside
// whatever else a machine does, a miss is only said.
const (
	refusalBar     = 250 * time.Millisecond // from a request for what is not in memory to its 503, while the database is away
	editBar        = 50 * time.Millisecond  // from an edit's request to the new target on another instance: p99
	editMaxBar     = time.Second            // the same, of the slowest
	editWithoutBar = 3 * time.Second        // the same, without the bus or on a bus that loses messages
	feedBar        = 2 * time.Second        // from the bus's return to feeds that hear it
)

// held checks a time against its bar.
func held(t *testing.T, what string, took, bar time.Duration) {
	t.Helper()
	switch {
	case took <= bar:
		t.Logf("%s: %v, at most %v is promised", what, took.Round(10*time.Microsecond), bar)
	case long():
		t.Errorf("%s: %v, want at most %v", what, took, bar)
	default:
		t.Logf("%s: %v, more than the %v that is promised; the short form lets that pass", what, took, bar)
	}
}
