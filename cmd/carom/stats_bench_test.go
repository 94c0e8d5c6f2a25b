package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/postgres"
	"github.com/carom-dev/carom/persistence/sqlite"
	"github.com/carom-dev/carom/persistence/storetest"
	"github.com/carom-dev/carom/persistence/testservices"
)

// BenchmarkStats asks the real program for figures, on one connection: beside BenchmarkStats of the stores it has the API and reading the
// answer in it. To be run with -benchtime=1000x or more.
func BenchmarkStats(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) {
		dir := b.TempDir()
		path := filepath.Join(dir, storeFile)
		s, err := sqlite.Open(b.Context(), sqlite.Config{Path: path})
		if err != nil {
			b.Fatal(err)
		}
		db, err := sql.Open("sqlite", path)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = db.Close() })
		benchStats(b, dir, s, storetest.FillSQLite, func(text string, args ...any) error {
			_, err := db.ExecContext(b.Context(), text, args...)
			return err //nolint:wrapcheck // ends the benchmark
		})
	})
	b.Run("postgres", func(b *testing.B) {
		server, err := testservices.StartPostgres(testservices.PostgresConfig{})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = server.Close() })
		url := server.URL("postgres")
		s, err := postgres.Open(b.Context(), postgres.Config{URL: url})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Prepare(b.Context()); err != nil {
			b.Fatal(err)
		}
		benchStats(b, b.TempDir(), s, storetest.FillPostgres, func(text string, args ...any) error {
			return server.Exec(b.Context(), "postgres", text, args...)
		}, "--database-url="+url)
	})
}

func benchStats(b *testing.B, dir string, s engine.Store, fill storetest.FillFunc, exec storetest.Exec, more ...string) {
	b.Helper()
	links := storetest.StatsLinks(b, s, fill, exec)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	r, cmd := startProgram(b, dir, []string{"CAROM_ADMIN_KEY=" + testKey}, more...)
	ended := make(chan int, 1)
	go func() { ended <- r.stop() }() // reads the log, for which the program must not wait
	client := &http.Client{}
	health := func(ctx context.Context) error {
		_, err := askAll(ctx, client, "http://"+r.addr+"/health/live")
		return err
	}
	storetest.BenchStats(b, links, health, func(ctx context.Context, q engine.StatsQuery) (points, referrers int, err error) {
		interval := "hour"
		if q.Daily {
			interval = "day"
		}
		return askStats(ctx, client, fmt.Sprintf("http://%s/urls/%d/stats?interval=%s&referrers=%d", r.addr, q.Link, interval, q.Referrers))
	})
	client.CloseIdleConnections()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		b.Error(err)
	}
	if code := <-ended; code != exitOK {
		b.Errorf("the program ends with %d", code)
	}
}

// askStats counts what is in an answer, without taking it apart.
func askStats(ctx context.Context, client *http.Client, url string) (points, referrers int, err error) {
	body, err := askAll(ctx, client, url)
	return bytes.Count(body, []byte(`"start":`)), bytes.Count(body, []byte(`"host":`)), err
}

// askAll reads an answer to its end.
func askAll(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", url, err)
	}
	req.Header.Set("X-Api-Key", testKey)
	res, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", url, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s is answered with %d %.200s", url, res.StatusCode, body)
	}
	return body, err
}
