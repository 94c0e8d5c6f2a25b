package engine_test

import (
	"encoding/binary"
	"strconv"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/carom-dev/carom/engine"
)

func TestHashKeyIsXXHashOfDomainAndCode(t *testing.T) {
	for _, code := range []string{"", "a", "aZ09_-x", strings.Repeat("x", engine.CodeMaxLen)} {
		for _, domain := range []engine.DomainID{0, engine.DefaultDomain, 1 << 31} {
			want := xxhash.Sum64(append(binary.LittleEndian.AppendUint32(nil, uint32(domain)), code...))
			if got := engine.HashKey(domain, code); got != want {
				t.Errorf("HashKey(%d, %q) = %x, want %x", domain, code, got, want)
			}
			if got := engine.HashKey(domain, []byte(code)); got != want {
				t.Errorf("HashKey(%d, %q as bytes) = %x, want %x", domain, code, got, want)
			}
			if got := (engine.Key{Domain: domain, Code: code}).Hash(); got != want {
				t.Errorf("Key{%d, %q}.Hash() = %x, want %x", domain, code, got, want)
			}
		}
	}
	long := strings.Repeat("x", engine.CodeMaxLen)
	if engine.HashKey(1, long+"y") != engine.HashKey(1, long+"z") {
		t.Error("bytes behind the longest code count")
	}
}

func TestShardsAreEvenlyFilled(t *testing.T) {
	const keys = 1 << 16
	for _, shards := range []int{1, 2, 16, 64} {
		counts := make([]int, shards)
		for i := range keys {
			s := engine.ShardOf(engine.HashKey(engine.DefaultDomain, strconv.Itoa(i)), shards)
			if s < 0 || s >= shards {
				t.Fatalf("ShardOf gives %d of %d", s, shards)
			}
			counts[s]++
		}
		// Random keys would stray from the mean by sqrt(mean); six times that never happens by chance.
		mean := keys / shards
		for s, n := range counts {
			if d := n - mean; d*d > 36*mean {
				t.Errorf("shard %d of %d has %d keys, want about %d", s, shards, n, mean)
			}
		}
	}
}

func TestShardLeavesTheLowBitsToTheTable(t *testing.T) {
	for low := range uint64(1 << 10) {
		if engine.ShardOf(low, 16) != 0 {
			t.Fatalf("the low bits %x choose the shard, so a shard's table would use a part of its slots", low)
		}
	}
}
