package actors

import (
	"fmt"
	"hash/maphash"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

// BenchmarkHit is a look-up of a published link, hash and rules included.
func BenchmarkHit(b *testing.B) {
	a := start(b, newFakeStore(makeLink("a", 1)), newFakeJournal(1), nil)
	resolve(a, "a", engine.VisitCounted)
	now := time.Now().UnixMicro()
	b.ReportAllocs()
	for b.Loop() {
		a.Lookup(engine.DefaultDomain, []byte("a"), now, engine.VisitCounted)
	}
}

// BenchmarkMiss is a look-up of codes never seen before through mailbox, loader and back; the store answers at once. Its twin
// asks the store directly.
func BenchmarkMiss(b *testing.B) {
	store := newFakeStore()
	a := start(b, store, newFakeJournal(1), nil)
	b.Run("shard", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				resolve(a, fmt.Sprintf("%p-%d", pb, i), engine.VisitCounted)
			}
		})
	})
	b.Run("store", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				if _, err := store.LoadLinks(b.Context(), []engine.Key{{Domain: 1, Code: fmt.Sprintf("%p-%d", pb, i)}}); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

// BenchmarkVisitor is the visitor id of a usual user agent; the twin hashes the same bytes by a hash that other instances can't share.
func BenchmarkVisitor(b *testing.B) {
	a := start(b, newFakeStore(), newFakeJournal(1), nil)
	userAgent := []byte("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36")
	now := time.Now().UnixMicro()
	b.Run("keyed", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			a.Visitor(now, engine.TruncatedAddr{4, 203, 0, 113}, userAgent)
		}
	})
	b.Run("twin=maphash", func(b *testing.B) {
		seed := maphash.MakeSeed()
		b.ReportAllocs()
		for b.Loop() {
			maphash.Bytes(seed, userAgent)
		}
	})
}
