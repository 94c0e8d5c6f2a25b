package sqlite_test

import (
	"testing"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/storetest"
)

// BenchmarkStore includes an fsync for each batch (synchronous=FULL), so its figures are those of the disk under TMPDIR.
func BenchmarkStore(b *testing.B) {
	storetest.Bench(b, func(b *testing.B) engine.Store { return open(b) })
}
