package sqlite

import (
	"path/filepath"
	"testing"

	"github.com/carom-dev/carom/persistence/storetest"
)

// BenchmarkStats is to be run with -benchtime=1000x or more.
func BenchmarkStats(b *testing.B) {
	s, err := Open(b.Context(), Config{Path: filepath.Join(b.TempDir(), "carom.db")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	exec := func(text string, args ...any) error {
		_, err := s.writer.ExecContext(b.Context(), text, args...)
		return err
	}
	storetest.BenchStats(b, storetest.StatsLinks(b, s, storetest.FillSQLite, exec), s.Ping, storetest.AskStore(s))
}
