package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// load is what a round of load did.
type load struct {
	Right     int64         `json:"answered"`    // answers as they have to be
	Wrong     int64         `json:"wrong"`       // other answers
	Broken    int64         `json:"broken"`      // requests without an answer
	Uncounted int64         `json:"may_be_more"` // requests that may have been answered besides, behind the client's back
	Took      time.Duration `json:"took_ns"`     // all of it
	P50       time.Duration `json:"p50_ns"`      // of what is sent at once: with pipelining, from the first request to the last answer
	P99       time.Duration `json:"p99_ns"`      // the same
	P999      time.Duration `json:"p99_9_ns"`    // the same
}

// generator makes a closed-loop load for a time: each connection has its next requests on the way as soon as the last ones are answered.
type generator func(ctx context.Context, addr string, w *workload, s shape, d time.Duration) (load, error)

// newGenerator picks the client, and says what it is.
func newGenerator(cfg *config) (generate generator, name string, err error) {
	path, err := exec.LookPath("wrk")
	switch {
	case cfg.Client == "own":
		return ownLoad, "the Go client of this program", nil
	case err == nil:
		return newWrk(path).load, "wrk " + wrkVersion(path) + "; cold links by the Go client of this program", nil
	case cfg.Client == "wrk":
		return nil, "", fmt.Errorf("find wrk: %w", err)
	}
	return ownLoad, "the Go client of this program (wrk is not installed)", nil
}

// wrkVersion is what wrk says of itself.
func wrkVersion(path string) string {
	out, _ := exec.Command(path, "-v").CombinedOutput() //nolint:noctx // it ends at once, and its exit code is 1
	if fields := strings.Fields(string(out)); len(fields) > 1 && fields[0] == "wrk" {
		return fields[1]
	}
	return "of an unknown version"
}
