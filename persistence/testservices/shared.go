// Package testservices runs the project's own Postgres and Redis for tests: from the system's binaries, on free ports of
// 127.0.0.1, in temporary folders, gone with the test process. A binary that is missing is an error that names the command
// which installs it, never a skipped test. TEST_DATABASE_URL and TEST_REDIS_URL name services to use instead; tests that
// kill a server start their own all the same.
package testservices

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
)

// Shared is the one Postgres and the one Redis of a test process, each started when a test first asks for it. The zero value
// is ready; TestMain owns it:
//
//	var services testservices.Shared
//
//	func TestMain(m *testing.M) { os.Exit(services.Run(m)) }
//
// Safe for concurrent use.
type Shared struct {
	pgOnce sync.Once
	pg     *Postgres // nil when TEST_DATABASE_URL is used
	pgURL  string
	pgErr  error

	redisOnce sync.Once
	redis     *Redis // nil when TEST_REDIS_URL is used
	redisURL  string
	redisErr  error

	mu        sync.Mutex // guards templates
	templates map[string]string
	databases atomic.Int64
}

// Run runs the tests, stops the servers and looks for goroutines left behind; it returns the exit code.
func (s *Shared) Run(m *testing.M) int {
	code := m.Run()
	if err := s.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "stop test services:", err)
		code = max(code, 1)
	}
	if code == 0 {
		// A proxied connection that is cut, or healed, while data is under way leaves goroutines behind, each of which may wait for another
		// that has gone: a flaw of toxiproxy 2.5, which its source admits.
		err := goleak.Find(
			goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
			goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"),
			goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).write"),
			goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).RemoveToxic.func1"),
		)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}

// Close stops what was started.
func (s *Shared) Close() error {
	var err error
	if s.pgURL != "" && s.pg == nil {
		for _, name := range s.templates {
			err = errors.Join(err, s.exec("DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()))
		}
	}
	if s.pg != nil {
		err = errors.Join(err, s.pg.Close())
	}
	if s.redis != nil {
		err = errors.Join(err, s.redis.Close())
	}
	return err
}

// RedisURL is the shared Redis. Tests share its keys, so each takes names of its own.
func (s *Shared) RedisURL(tb testing.TB) string {
	tb.Helper()
	s.redisOnce.Do(func() {
		if s.redisURL = os.Getenv("TEST_REDIS_URL"); s.redisURL != "" {
			return
		}
		if s.redis, s.redisErr = StartRedis(); s.redisErr == nil {
			s.redisURL = s.redis.URL()
		}
	})
	if s.redisErr != nil {
		tb.Fatal(s.redisErr)
	}
	return s.redisURL
}

// Database makes a database for one test, dropped when it ends, and returns its URL. It is a copy of a template that prepare
// filled once under the given name, which is much cheaper than migrating for each test. prepare may be nil: an empty database.
func (s *Shared) Database(tb testing.TB, template string, prepare func(ctx context.Context, url string) error) string {
	tb.Helper()
	source, err := s.template(template, prepare)
	if err != nil {
		tb.Fatal(err)
	}
	name := s.name("db")
	if err := s.exec("CREATE DATABASE " + pgx.Identifier{name}.Sanitize() + " TEMPLATE " + pgx.Identifier{source}.Sanitize()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.exec("DROP DATABASE " + pgx.Identifier{name}.Sanitize() + " WITH (FORCE)"); err != nil {
			tb.Error(err)
		}
	})
	return s.databaseURL(name)
}

func (s *Shared) template(template string, prepare func(context.Context, string) error) (string, error) {
	if err := s.startPostgres(); err != nil {
		return "", err
	}
	if prepare == nil {
		return "template0", nil
	}
	s.mu.Lock() // held over the making: the others need the template too
	defer s.mu.Unlock()
	if name, ok := s.templates[template]; ok {
		return name, nil
	}
	name := s.name("template")
	if err := s.exec("CREATE DATABASE " + pgx.Identifier{name}.Sanitize() + " TEMPLATE template0"); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := prepare(ctx, s.databaseURL(name)); err != nil {
		return "", fmt.Errorf("prepare database template: %w", err)
	}
	// A database can only be copied while nobody is connected, and a closed pool's backends may linger for a moment.
	if err := s.exec("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '" + name + "'"); err != nil {
		return "", err
	}
	if s.templates == nil {
		s.templates = map[string]string{}
	}
	s.templates[template] = name
	return name, nil
}

func (s *Shared) startPostgres() error {
	s.pgOnce.Do(func() {
		if s.pgURL = os.Getenv("TEST_DATABASE_URL"); s.pgURL != "" {
			return
		}
		if s.pg, s.pgErr = StartPostgres(PostgresConfig{}); s.pgErr == nil {
			s.pgURL = s.pg.URL("postgres")
		}
	})
	return s.pgErr
}

// name is unique among all processes that use the same server.
func (s *Shared) name(kind string) string {
	return fmt.Sprintf("carom_test_%s_%d_%d_%d", kind, os.Getpid(), time.Now().Unix(), s.databases.Add(1))
}

func (s *Shared) databaseURL(name string) string {
	u, err := url.Parse(s.pgURL)
	if err != nil {
		panic("BUG: the database's URL was used before it was parsed: " + err.Error())
	}
	u.Path = "/" + name
	return u.String()
}

// Hold runs a statement on a connection of its own to a database's URL, which stays until the test ends: so does what it locks.
func Hold(tb testing.TB, url, text string, args ...any) {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), url)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := conn.Close(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	if _, err := conn.Exec(tb.Context(), text, args...); err != nil {
		tb.Fatal(err)
	}
}

func (s *Shared) exec(sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.pgURL)
	if err != nil {
		return fmt.Errorf("connect to the test server: %w", err)
	}
	_, err = conn.Exec(ctx, sql)
	if err := errors.Join(err, conn.Close(ctx)); err != nil {
		return fmt.Errorf("run %q: %w", sql, err)
	}
	return nil
}
