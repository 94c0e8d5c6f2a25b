//go:build failpoint

package main

import (
	"os"
	"time"
)

// clock is the machine's time of day and what CAROM_FAILPOINT_CLOCK=+2s adds to it, for the rooms that ask for it. The edge does not:
// clicks, and limits on redirects and unknown codes, have the machine's.
func clock() func() time.Time {
	text := os.Getenv("CAROM_FAILPOINT_CLOCK")
	if text == "" {
		return nil
	}
	ahead, err := time.ParseDuration(text)
	if err != nil {
		panic("CAROM_FAILPOINT_CLOCK: " + err.Error())
	}
	return func() time.Time { return time.Now().Add(ahead) }
}
