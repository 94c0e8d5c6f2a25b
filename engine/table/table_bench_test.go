package table

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/carom-dev/carom/engine"
)

// BenchmarkLookup is a published read of one of 100,000 codes, beside the plain twins: a map under a read lock, and a sync.Map.
// Excluded: making the code and its hash.
func BenchmarkLookup(b *testing.B) {
	const links = 100_000
	tb := newTable(1 << 30)
	plain, concurrent := map[string]*engine.Link{}, &sync.Map{}
	var mu sync.RWMutex
	codes := make([][]byte, links)
	hashes := make([]uint64, links)
	for i := range links {
		l := link(fmt.Sprintf("c%d", i), "https://example.com/", 1)
		codes[i], hashes[i] = []byte(l.Code), l.Key().Hash()
		tb.Put(l.Key(), l, 0, now)
		plain[l.Code] = l
		concurrent.Store(l.Code, l)
	}
	run := func(name string, look func(i int) int) {
		b.Run(name, func(b *testing.B) {
			var read atomic.Int64
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				i, sum := rand.IntN(links), 0
				for pb.Next() {
					i = (i + 7919) % links
					sum += look(i)
				}
				read.Add(int64(sum))
			})
			if read.Load() == 0 {
				b.Error("nothing was read")
			}
		})
	}
	run("table", func(i int) int {
		e, _, _ := tb.Lookup(hashes[i], engine.DefaultDomain, codes[i], now)
		return len(e.Target())
	})
	run("map-rwmutex", func(i int) int {
		mu.RLock()
		defer mu.RUnlock()
		return len(plain[string(codes[i])].Target)
	})
	run("sync.Map", func(i int) int {
		l, _ := concurrent.Load(string(codes[i]))
		return len(l.(*engine.Link).Target)
	})
}

// BenchmarkPut publishes links, while the oldest are evicted to keep the bound; the twin stores them in a map under a lock, which is emptied
// when it has grown as large.
func BenchmarkPut(b *testing.B) {
	const links = 1 << 16
	all := make([]*engine.Link, links)
	for i := range all {
		all[i] = link(fmt.Sprintf("c%d", i), "https://example.com/some/path", 1)
	}
	b.Run("table", func(b *testing.B) {
		tb := newTable(4 << 20)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			l := all[i%links]
			tb.Put(l.Key(), l, 0, now)
		}
	})
	b.Run("twin=map", func(b *testing.B) {
		var mu sync.Mutex
		plain := map[string]*engine.Link{}
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			l := all[i%links]
			mu.Lock()
			if len(plain) >= links/2 {
				clear(plain)
			}
			plain[l.Code] = l
			mu.Unlock()
		}
	})
}
