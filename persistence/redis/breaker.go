package redis

import (
	"fmt"
	"sync"
	"time"
)

const (
	// breakerFailures in a row are an outage, not an accident.
	breakerFailures = 3
	// breakerPause lies between two probes. With it, a server that is back is in use again well within 2 s.
	breakerPause = 500 * time.Millisecond
)

// AwayError says that Redis was not asked, because it did not answer lately.
type AwayError struct {
	Since time.Time // when it was given up
	Err   error     // what it was given up for, or the last probe's failure
}

func (e *AwayError) Error() string {
	return fmt.Sprintf("redis is away since %s: %v", e.Since.UTC().Format(time.RFC3339), e.Err)
}

func (e *AwayError) Unwrap() error { return e.Err }

// breaker keeps callers from waiting for a server that is known to be away: after breakerFailures in a row it refuses for
// breakerPause, then lets one probe through. Safe for concurrent use. The zero value is closed: all calls pass.
type breaker struct {
	mu       sync.Mutex // guards all below
	failures int        // in a row, while closed
	since    time.Time  // when it opened; zero: closed
	until    time.Time  // no probe before
	probing  bool
	lastErr  error
	opened   uint64 // how often
}

// breakerChange is what a report did.
type breakerChange uint8

const (
	breakerSame breakerChange = iota
	breakerOpened
	breakerReopened // the probe did not work
	breakerClosed
)

// admit lets a call pass, or returns an AwayError. A call that passed must report or forget, with the probe it was given.
func (b *breaker) admit(now time.Time) (probe bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.since.IsZero() {
		return false, nil
	}
	if b.probing || now.Before(b.until) {
		return false, &AwayError{Since: b.since, Err: b.lastErr}
	}
	b.probing = true
	return true, nil
}

// report tells how a call went. A success closes the breaker whoever had it; a failure that was under way when it opened
// says nothing new.
func (b *breaker) report(probe bool, err error, now time.Time) breakerChange {
	b.mu.Lock()
	defer b.mu.Unlock()
	open := !b.since.IsZero()
	if probe {
		b.probing = false
	}
	switch {
	case err == nil && !open:
		b.failures = 0
		return breakerSame
	case err == nil:
		b.failures, b.since, b.lastErr = 0, time.Time{}, nil
		return breakerClosed
	case open && !probe:
		return breakerSame
	case open:
		b.until, b.lastErr = now.Add(breakerPause), err
		return breakerReopened
	}
	b.failures++
	if b.failures < breakerFailures {
		return breakerSame
	}
	b.since, b.until, b.lastErr = now, now.Add(breakerPause), err
	b.opened++
	return breakerOpened
}

// forget takes back a call that says nothing about the server.
func (b *breaker) forget(probe bool) {
	if !probe {
		return
	}
	b.mu.Lock()
	b.probing = false
	b.mu.Unlock()
}

// state is since when it is open (zero: closed) and how often it has opened.
func (b *breaker) state() (since time.Time, opened uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.since, b.opened
}
