//go:build !race

package table

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/carom-dev/carom/engine"
)

func TestLookupAllocs(t *testing.T) {
	tb := newTable(0)
	tb.Put(key("hit"), link("hit", "http://a/", 1), 0, now)
	hit, miss := []byte("hit"), []byte("miss")
	if n := testing.AllocsPerRun(1000, func() {
		for _, code := range [][]byte{hit, miss} {
			e, _, ok := tb.Lookup(engine.HashKey(engine.DefaultDomain, code), engine.DefaultDomain, code, now)
			if ok && len(e.Target()) == 0 {
				t.Error("no target")
			}
		}
	}); n != 0 {
		t.Errorf("Lookup allocates %v times, want 0", n)
	}
}

func TestBudgetAllocs(t *testing.T) {
	var b Budgets
	ref, _ := b.Open()
	b.Give(ref, 1<<30)
	if n := testing.AllocsPerRun(1000, func() {
		b.Take(ref)
		b.Peek(ref)
	}); n != 0 {
		t.Errorf("Take and Peek allocate %v times, want 0", n)
	}
}

// TestMemoryOfALink holds the promise of at most 200 bytes a link beside its target.
func TestMemoryOfALink(t *testing.T) {
	const links, target = 300_000, "https://example.com/some/path?with=query"
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	tb := newTable(1 << 30)
	for i := range links {
		code := fmt.Sprintf("c%06d", i)
		tb.Put(key(code), link(code, target, 1), 0, now)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	perLink := int64(after.HeapAlloc-before.HeapAlloc)/links - int64(len(target))
	if perLink > 200 {
		t.Errorf("a link takes %d bytes beside its target, want at most 200", perLink)
	}
	runtime.KeepAlive(tb)
}
