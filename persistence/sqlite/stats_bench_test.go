package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/deltas"
	"github.com/carom-dev/carom/persistence/sqlite"
	"github.com/carom-dev/carom/persistence/storetest"
)

// BenchmarkStats asks for figures while as much waits to be folded as a store that is busy has. To be run with -benchtime=1000x or more.
func BenchmarkStats(b *testing.B) {
	path := filepath.Join(b.TempDir(), "carom.db")
	s, err := sqlite.Open(b.Context(), sqlite.Config{Path: path})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	db, err := sql.Open("sqlite", path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	links := storetest.StatsLinks(b, s, storetest.FillSQLite, func(text string, args ...any) error {
		_, err := db.ExecContext(b.Context(), text, args...)
		return err
	})
	batches := clickBatches(100_000)
	for _, clicks := range batches {
		for i := range clicks {
			clicks[i].At = time.Now().UnixMicro() // a day that is not sealed
		}
	}
	for i := range engine.Position(deltas.Buckets) {
		batch := &engine.ClickBatch{Node: "0123456789abcdef0123456789abcdef", Moves: []engine.LaneMove{{From: i, To: i + 1}}, Clicks: batches[int(i)%len(batches)]}
		if err := s.WriteClicks(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	storetest.BenchStats(b, links, s.Ping, storetest.AskStore(s))
}
