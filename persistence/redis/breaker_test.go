package redis

import (
	"errors"
	"testing"
	"time"
)

func TestBreakerOpensAfterFailuresInARowAndClosesByAProbe(t *testing.T) {
	t.Parallel()
	var b breaker
	now := time.Unix(1000, 0)
	cause := errors.New("no answer")
	call := func(err error) (breakerChange, error) {
		probe, refused := b.admit(now)
		if refused != nil {
			return breakerSame, refused
		}
		return b.report(probe, err, now), nil
	}
	want := func(err error, change breakerChange) {
		t.Helper()
		if got, refused := call(err); refused != nil || got != change {
			t.Fatalf("call = %d, %v, want %d", got, refused, change)
		}
	}
	for _, err := range []error{cause, cause, nil, cause, cause} { // a success in between starts the count over
		want(err, breakerSame)
	}
	late, err := b.admit(now)
	if err != nil {
		t.Fatal(err)
	}
	want(cause, breakerOpened)
	since := now
	if got := b.report(late, cause, now); got != breakerSame {
		t.Errorf("a failure that was under way when it opened = %d, want no change", got)
	}

	refused := func() {
		t.Helper()
		_, err := b.admit(now)
		away, ok := errors.AsType[*AwayError](err)
		if !ok || !away.Since.Equal(since) || !errors.Is(err, cause) || away.Error() != "redis is away since 1970-01-01T00:16:40Z: no answer" {
			t.Fatalf("admit = %v, want an AwayError since %v", err, since)
		}
	}
	now = now.Add(breakerPause - 1)
	refused()
	now = now.Add(1)
	want(cause, breakerReopened)
	refused()
	now = now.Add(breakerPause)
	probe, err := b.admit(now)
	if err != nil || !probe {
		t.Fatalf("admit = %v, %v, want a probe", probe, err)
	}
	refused() // one probe at a time
	b.forget(probe)
	b.forget(false)
	want(nil, breakerClosed)
	want(cause, breakerSame)
	if since, opened := b.state(); !since.IsZero() || opened != 1 {
		t.Errorf("state = %v, %d, want closed and opened once", since, opened)
	}
}
