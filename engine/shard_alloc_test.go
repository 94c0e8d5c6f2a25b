//go:build !race

package engine_test

import (
	"testing"

	"github.com/carom-dev/carom/engine"
)

func TestHashKeyAllocs(t *testing.T) {
	code, text, shard := []byte("aZ09_-x"), "aZ09_-x", 0
	if n := testing.AllocsPerRun(1000, func() {
		shard += engine.ShardOf(engine.HashKey(engine.DefaultDomain, code), 16) + engine.ShardOf(engine.HashKey(engine.DefaultDomain, text), 16)
		if !engine.ValidCode(code) {
			t.Error("not valid")
		}
	}); n != 0 {
		t.Errorf("hashing and routing a code allocates %v times, want 0", n)
	}
}
