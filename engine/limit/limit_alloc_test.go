//go:build !race

package limit_test

import (
	"testing"

	"github.com/carom-dev/carom/engine/limit"
)

func TestTakeAllocs(t *testing.T) {
	l := limit.New(perMinute(1000))
	l.Take(1, start, 1)
	if n := testing.AllocsPerRun(1000, func() { l.Take(1, start, 1) }); n != 0 {
		t.Errorf("Take of a known key allocates %v times, want 0", n)
	}
}
