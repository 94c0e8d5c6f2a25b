package engine_test

import (
	"hash/maphash"
	"testing"

	"github.com/carom-dev/carom/engine"
)

// BenchmarkHashKey is the routing hash of a code of 7 characters; the twin is the hash of Go's own maps.
func BenchmarkHashKey(b *testing.B) {
	code := []byte("aZ09_-x")
	b.Run("xxhash", func(b *testing.B) {
		b.ReportAllocs()
		var sink uint64
		for b.Loop() {
			sink += engine.HashKey(engine.DefaultDomain, code)
		}
		_ = sink
	})
	b.Run("twin=maphash", func(b *testing.B) {
		seed := maphash.MakeSeed()
		b.ReportAllocs()
		var sink uint64
		for b.Loop() {
			sink += maphash.Bytes(seed, code)
		}
		_ = sink
	})
}

// BenchmarkAggregate rolls up a full batch of clicks, which is cold beside a hit: it is the writer's work.
func BenchmarkAggregate(b *testing.B) {
	clicks := make([]engine.Click, 5000)
	for i := range clicks {
		clicks[i] = engine.Click{Link: engine.LinkID(1 + i%300), At: int64(i) * 40_000, Referrer: []byte("https://www.example.com/some/path")}
	}
	b.ReportAllocs()
	for b.Loop() {
		if hours, _ := engine.Aggregate(clicks); len(hours) == 0 {
			b.Fatal("nothing")
		}
	}
}
