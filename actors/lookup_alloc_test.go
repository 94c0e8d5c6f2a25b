//go:build !race

package actors

import (
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

func TestLookupAllocs(t *testing.T) {
	a := start(t, newFakeStore(makeLink("a", 1), limited("l", 1<<40)), newFakeJournal(1), nil)
	until(t, "visits can be leased", a.leasable.Load)
	resolve(a, "a", engine.VisitCounted)
	resolve(a, "l", engine.VisitFree)
	now := time.Now().UnixMicro()
	code := []byte("a")
	if n := testing.AllocsPerRun(1000, func() {
		if res, ok := a.Lookup(engine.DefaultDomain, code, now, engine.VisitCounted); !ok || len(res.Target) == 0 {
			t.Error("not found")
		}
	}); n != 0 {
		t.Errorf("Lookup allocates %v times, want 0", n)
	}
}

func TestVisitorAllocs(t *testing.T) {
	a := start(t, newFakeStore(), newFakeJournal(1), nil)
	userAgent := make([]byte, engine.UserAgentMaxLen)
	if n := testing.AllocsPerRun(1000, func() { a.Visitor(1, engine.TruncatedAddr{}, userAgent) }); n != 0 {
		t.Errorf("Visitor allocates %v times, want 0", n)
	}
}
