package limit_test

import (
	"sync"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine/limit"
)

// BenchmarkTake asks for a unit in parallel, over 4096 clients; the twin is a fixed window in one map under one mutex.
func BenchmarkTake(b *testing.B) {
	rate := limit.Rate{Requests: 1000, Period: time.Second}
	b.Run("gcra", func(b *testing.B) {
		l := limit.New(rate)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			now, key := start, uint64(0)
			for pb.Next() {
				key = (key + 97) % 4096
				now += 1000
				l.Take(key, now, 1)
			}
		})
	})
	b.Run("twin=window", func(b *testing.B) {
		var mu sync.Mutex
		counts := map[uint64]int{}
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			key := uint64(0)
			for pb.Next() {
				key = (key + 97) % 4096
				mu.Lock()
				counts[key]++
				mu.Unlock()
			}
		})
	})
}
