//go:build !failpoint

package main

import "time"

// clock is the time of day for the rooms that ask for it; nil is the machine's. A build with the tag "failpoint" can have another one.
func clock() func() time.Time { return nil }
