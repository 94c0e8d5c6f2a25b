package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/carom-dev/carom/persistence/sqlite"
)

// BenchmarkOpen is what a start costs on a store that is there.
func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "carom.db")
	for b.Loop() {
		s, err := sqlite.Open(b.Context(), sqlite.Config{Path: path})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
