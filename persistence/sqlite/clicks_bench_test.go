package sqlite_test

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/sqlite"
)

// BenchmarkWriterBatch stores batches of 5,000 clicks as the writer does: clicks, rollups, totals and checkpoint in one transaction; of one link
// and of many by Zipf's law. B/click is what the file has grown by. The twin inserts a row a click by one prepared statement into a table without
// indexes, in a transaction with the same promise. All include the sync of the disk.
func BenchmarkWriterBatch(b *testing.B) {
	for _, links := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprintf("links=%d", links), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "carom.db")
			s, err := sqlite.Open(b.Context(), sqlite.Config{Path: path})
			if err != nil {
				b.Fatal(err)
			}
			batches := clickBatches(links)
			before := fileSize(b, path)
			from := engine.Position(0)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				clicks := batches[i%len(batches)]
				to := from + engine.Position(len(clicks))
				if err := s.WriteClicks(b.Context(), &engine.ClickBatch{Node: "0123456789abcdef0123456789abcdef", Moves: []engine.LaneMove{{From: from, To: to}}, Clicks: clicks}); err != nil {
					b.Fatal(err)
				}
				from = to
			}
			b.ReportMetric(float64(from)/b.Elapsed().Seconds(), "rows/s")
			if err := s.Close(); err != nil { // brings the write-ahead log into the file
				b.Fatal(err)
			}
			b.ReportMetric(float64(fileSize(b, path)-before)/float64(from), "B/click")
		})
	}
	clicks := clickBatches(1000)[0]
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
		b.ReportMetric(float64(len(clicks))*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	})
}

// clickBatches are batches of 5,000 clicks with browsers' headers, of one link or of many by Zipf's law.
func clickBatches(links int) [][]engine.Click {
	random := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(random, 1.1, 10, uint64(links-1))
	batches := make([][]engine.Click, 16)
	for i := range batches {
		batches[i] = make([]engine.Click, 5000)
		for j := range batches[i] {
			batches[i][j] = engine.Click{
				At: 1_790_000_000_000_000 + int64(5000*i+j), Link: engine.LinkID(1 + zipf.Uint64()), Visitor: random.Uint64(), Status: 302,
				UserAgent: fmt.Appendf(nil, "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36", 100+j%30),
				Referrer:  fmt.Appendf(nil, "https://site%d.example/page", random.IntN(20)), Language: []byte("en-US,en;q=0.9"),
			}
		}
	}
	return batches
}

func fileSize(b *testing.B, path string) int64 {
	b.Helper()
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	return info.Size()
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
