package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/postgres"
	"github.com/carom-dev/carom/persistence/storetest"
	"github.com/carom-dev/carom/persistence/testservices"
)

// durable is a server of the benchmark's own with fsync and synchronous_commit on, as in production.
func durable(b *testing.B) (pg *testservices.Postgres, url string, s *postgres.Store) {
	b.Helper()
	pg, err := testservices.StartPostgres(testservices.PostgresConfig{Durable: true, Settings: []string{"shared_buffers=1GB", "max_wal_size=8GB", "wal_compression=on"}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := pg.Close(); err != nil {
			b.Error(err)
		}
	})
	url = pg.URL("postgres")
	s = open(b, postgres.Config{URL: url})
	if err := s.Prepare(b.Context()); err != nil {
		b.Fatal(err)
	}
	return pg, url, s
}

// busyClicks are what a busy redirector sees: Zipf over 10,000 links, 30 user agents, 20 referrers, within one minute.
func busyClicks(n int, seed uint64) []engine.Click {
	random := rand.New(rand.NewPCG(seed, 2))
	zipf := rand.NewZipf(random, 1.1, 10, 9_999)
	start := clicksOf(0, 1)[0].At
	clicks := make([]engine.Click, n)
	for i := range clicks {
		clicks[i] = engine.Click{
			At: start + int64(i), Link: engine.LinkID(1 + zipf.Uint64()), Visitor: random.Uint64(), Status: 302,
			Address:   engine.TruncatedAddr{4, byte(random.Uint32()), byte(random.Uint32()), byte(random.Uint32())},
			UserAgent: fmt.Appendf(nil, "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36", 100+i%30),
			Referrer:  fmt.Appendf(nil, "https://site%d.example/page", random.IntN(20)),
			Language:  []byte("en-US,en;q=0.9"),
		}
	}
	return clicks
}

// benchBatches is how many batches take turns, made before the clock starts.
const benchBatches = 8

// BenchmarkWriteClicks writes whole batches: rows, rollups, totals, checkpoint, and the folding of earlier rollups. In turn with each batch it
// makes its yardsticks: COPYs of the same rows in the same binary format, one transaction each, into the same table ("copy"), and into one
// without partitions and indexes ("bare"). Encoding is included in all of them. Medians of all turns, in rows a second; "of-copy" is the
// ratio of the medians. "cpu" is the processor time of a row, Postgres' included, in microseconds, and "cpu-of-copy" what it allows on a machine
// that does nothing else, as a part of COPY; wall time says less where others are at work.
func BenchmarkWriteClicks(b *testing.B) {
	pg, url, s := durable(b)
	conn := connect(b, url)
	if _, err := conn.Exec(b.Context(), "CREATE TABLE bare (LIKE clicks)"); err != nil {
		b.Fatal(err)
	}
	stored := engine.Position(0)
	for _, n := range []int{1000, 5000, 20_000} {
		batches := make([][]engine.Click, benchBatches)
		for i := range batches {
			batches[i] = busyClicks(n, uint64(i))
		}
		whole := func(clicks []engine.Click) error {
			to := stored + engine.Position(n)
			err := s.WriteClicks(b.Context(), &engine.ClickBatch{Node: node, Moves: []engine.LaneMove{{Lane: 0, From: stored, To: to}}, Clicks: clicks})
			stored = to
			return err
		}
		into := func(table string) func([]engine.Click) error {
			return func(clicks []engine.Click) error {
				_, err := conn.PgConn().CopyFrom(b.Context(), bytes.NewReader(postgres.EncodeClicks(clicks, 1)), postgres.CopyInto(table))
				return err
			}
		}
		ways := []func([]engine.Click) error{whole, into("clicks"), into("bare")}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var took [3][]time.Duration
			var cpu [3]time.Duration
			turns := 0
			for ; b.Loop(); turns++ {
				for w, write := range ways {
					before, began := processorTime(b, pg), time.Now()
					if err := write(batches[turns%benchBatches]); err != nil {
						b.Fatal(err)
					}
					took[w] = append(took[w], time.Since(began))
					cpu[w] += processorTime(b, pg) - before
				}
			}
			var rates [3]float64
			for w := range took {
				slices.Sort(took[w])
				rates[w] = float64(n) / took[w][len(took[w])/2].Seconds()
			}
			b.ReportMetric(rates[0], "rows/s")
			b.ReportMetric(float64(n)/took[0][0].Seconds(), "best-rows/s")
			b.ReportMetric(rates[1], "copy-rows/s")
			b.ReportMetric(rates[2], "bare-rows/s")
			b.ReportMetric(rates[0]/rates[1], "of-copy")
			b.ReportMetric(rates[0]/rates[2], "of-bare")
			for w, name := range []string{"cpu", "copy-cpu", "bare-cpu"} {
				b.ReportMetric(float64(cpu[w].Nanoseconds())/1e3/float64(n*turns), name+"-us/row")
			}
			b.ReportMetric(float64(cpu[1])/float64(cpu[0]), "cpu-of-copy")
		})
	}
}

// processorTime is this process's and the server's.
func processorTime(b *testing.B, pg *testservices.Postgres) time.Duration {
	b.Helper()
	server, err := pg.CPU()
	if err != nil {
		b.Fatal(err)
	}
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return server + time.Duration(u.Utime.Nano()+u.Stime.Nano())
}

// BenchmarkLoadLinks loads codes never asked for before, from 200,000 links by 8 callers at a time: one query a code, and batches as the
// loader makes them.
func BenchmarkLoadLinks(b *testing.B) {
	const links, callers = 200_000, 8
	_, url, s := durable(b)
	if _, err := connect(b, url).Exec(b.Context(), `INSERT INTO links (domain_id, code, target, title, active, redirect_status, forward_query, version, created_at, updated_at)
		SELECT 1, 'c' || n, 'https://www.example.com/articles/' || n, '', true, 302, false, 1, now(), now() FROM generate_series(0, $1::integer - 1) n`, links); err != nil {
		b.Fatal(err)
	}
	if _, err := connect(b, url).Exec(b.Context(), "VACUUM ANALYZE links"); err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("%d codes a query", n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(callers / 2)
			var next atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				keys := make([]engine.Key, n)
				for pb.Next() {
					first := next.Add(int64(n))
					for i := range keys { // 7919 is prime to the number of links, so that codes repeat after all of them at the earliest
						keys[i] = engine.Key{Domain: engine.DefaultDomain, Code: fmt.Sprint("c", (first+int64(i))*7919%links)}
					}
					got, err := s.LoadLinks(context.Background(), keys)
					if err != nil || len(got) != n {
						b.Errorf("LoadLinks of %d = %d, %v", n, len(got), err)
						return
					}
				}
			})
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "codes/s")
		})
	}
}

// BenchmarkStats asks for figures while as much waits to be folded as may. To be run with -benchtime=1000x or more.
func BenchmarkStats(b *testing.B) {
	url := database(b)
	conn, s := connect(b, url), open(b, postgres.Config{URL: url})
	exec := func(text string, args ...any) error {
		_, err := conn.Exec(b.Context(), text, args...)
		return err
	}
	links := storetest.StatsLinks(b, s, storetest.FillPostgres, exec)
	s.FoldLate()
	const batch, batches = 5000, 40
	for i := range engine.Position(batches) {
		move := engine.LaneMove{From: i, To: i + 1}
		if err := s.WriteClicks(b.Context(), &engine.ClickBatch{Node: node, Moves: []engine.LaneMove{move}, Clicks: busyClicks(batch, uint64(i))}); err != nil {
			b.Fatal(err)
		}
	}
	if err := exec("ANALYZE"); err != nil {
		b.Fatal(err)
	}
	storetest.BenchStats(b, links, s.Ping, storetest.AskStore(s))
}
