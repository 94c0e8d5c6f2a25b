package sqlite_test

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/carom-dev/carom/engine"
)

// BenchmarkWriterBatch stores batches of 5,000 clicks as the writer does: rows, rollups, totals and checkpoint in one transaction. The twin
// inserts the same rows by one prepared statement into a table without indexes, in a transaction with the same promise. Both include the
// sync of the disk.
func BenchmarkWriterBatch(b *testing.B) {
	const links, batch = 1000, 5000
	random := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(random, 1.1, 10, links-1)
	clicks := make([]engine.Click, batch)
	for i := range clicks {
		clicks[i] = engine.Click{
			At: 1_790_000_000_000_000 + int64(i), Link: engine.LinkID(1 + zipf.Uint64()), Visitor: random.Uint64(), Status: 302,
			UserAgent: fmt.Appendf(nil, "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36", 100+i%30),
			Referrer:  fmt.Appendf(nil, "https://site%d.example/page", random.IntN(20)), Language: []byte("en-US,en;q=0.9"),
		}
	}
	b.Run("store", func(b *testing.B) {
		s := open(b)
		from := engine.Position(0)
		b.ReportAllocs()
		for b.Loop() {
			to := from + batch
			if err := s.WriteClicks(b.Context(), &engine.ClickBatch{Node: "0123456789abcdef0123456789abcdef", Moves: []engine.LaneMove{{From: from, To: to}}, Clicks: clicks}); err != nil {
				b.Fatal(err)
			}
			from = to
		}
		b.ReportMetric(float64(batch)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	})
	b.Run("twin=insert", func(b *testing.B) {
		db, err := sql.Open("sqlite", filepath.Join(b.TempDir(), "twin.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
		if err != nil {
			b.Fatal(err)
		}
		defer db.Close()
		if _, err := db.ExecContext(b.Context(), "CREATE TABLE clicks (link INTEGER, at INTEGER, visitor INTEGER, status INTEGER, user_agent TEXT, referrer TEXT, language TEXT)"); err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if err := insertPlainly(b, db, clicks); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(batch)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	})
}

func insertPlainly(b *testing.B, db *sql.DB, clicks []engine.Click) error {
	tx, err := db.BeginTx(b.Context(), nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	insert, err := tx.PrepareContext(b.Context(), "INSERT INTO clicks VALUES (?, ?, ?, ?, ?, ?, ?)")
	if err != nil {
		return err
	}
	defer insert.Close()
	for i := range clicks {
		c := &clicks[i]
		if _, err := insert.ExecContext(b.Context(), int64(c.Link), c.At, int64(c.Visitor), int(c.Status), string(c.UserAgent), string(c.Referrer), string(c.Language)); err != nil {
			return err
		}
	}
	return tx.Commit()
}
