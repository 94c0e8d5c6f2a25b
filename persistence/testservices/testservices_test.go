package testservices

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

var services Shared

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		startAndWait()
	}
	os.Exit(services.Run(m))
}

// childVariable makes a copy of this test a process that only starts a server, tells its port and waits to be killed.
const childVariable = "TESTSERVICES_CHILD"

func startAndWait() {
	r, err := StartRedis()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stdout, r.port)
	<-r.done
	os.Exit(1)
}

func query(t *testing.T, url, sql string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var s string
	if err := conn.QueryRow(ctx, sql).Scan(&s); err != nil {
		t.Fatalf("query %q: %v", sql, err)
	}
	return s
}

func TestDatabasesAreCopiesOfTheirTemplateAndApart(t *testing.T) {
	t.Parallel()
	prepared := 0
	prepare := func(ctx context.Context, url string) error {
		prepared++
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		_, err = conn.Exec(ctx, "CREATE TABLE t AS SELECT 'from the template'::text AS v")
		return errors.Join(err, conn.Close(ctx))
	}
	a, b := services.Database(t, "with table", prepare), services.Database(t, "with table", prepare)
	if got := query(t, a, "UPDATE t SET v = 'changed' RETURNING v"); got != "changed" {
		t.Errorf("first database says %q", got)
	}
	if got := query(t, b, "SELECT v FROM t"); got != "from the template" {
		t.Errorf("second database says %q, want what the template says", got)
	}
	if prepared != 1 {
		t.Errorf("template was prepared %d times, want once", prepared)
	}
	if got := query(t, services.Database(t, "", nil), "SELECT count(*)::text FROM pg_tables WHERE schemaname = 'public'"); got != "0" {
		t.Errorf("empty database has %s tables", got)
	}
}

func TestPostgresKeepsItsDataOverKillAndRestart(t *testing.T) {
	t.Parallel()
	pg, err := StartPostgres(PostgresConfig{Durable: true, Settings: []string{"work_mem=5MB"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := pg.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(pg.Dir()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("folder after Close: %v, want that it is gone", err)
		}
	}()
	url := pg.URL("postgres")
	if got := query(t, url, "SHOW work_mem"); got != "5MB" {
		t.Errorf("work_mem = %s, want the setting that was given", got)
	}
	query(t, url, "SELECT set_config('a.b', 'c', false) FROM (SELECT lo_create(4242)) x")
	for name, outage := range map[string]func() error{
		"kill":    func() error { pg.Kill(); return pg.Start() },
		"restart": pg.Restart,
	} {
		if err := outage(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := query(t, url, "SELECT count(*)::text FROM pg_largeobject_metadata WHERE oid = 4242"); got != "1" {
			t.Errorf("after %s there are %s of the stored objects, want 1", name, got)
		}
	}
	if err := pg.Start(); err != nil {
		t.Errorf("start of a server that runs: %v", err)
	}
	pg.Stop()
	pg.Stop()
	if !strings.Contains(pg.Log(), "database system is shut down") {
		t.Errorf("log does not tell the shutdown:\n%s", pg.Log())
	}
}

func TestRedisIsEmptyAfterRestart(t *testing.T) {
	t.Parallel()
	r, err := StartRedis()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.want(t.Context(), "+OK", "SET k v"); err != nil {
		t.Fatal(err)
	}
	r.Kill()
	if _, err := r.do(t.Context(), "PING"); err == nil {
		t.Error("a killed server answered")
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	if err := r.want(t.Context(), "$-1", "GET k"); err == nil || !strings.Contains(err.Error(), `"$-1"`) {
		t.Errorf("GET after a restart: %v, want a null", err)
	}
}

func TestRedisClusterAndSharedURL(t *testing.T) {
	t.Parallel()
	if url := services.RedisURL(t); !strings.HasPrefix(url, "redis") {
		t.Errorf("shared URL = %q", url)
	}
	c, err := StartRedisCluster()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n := len(c.Addrs()); n != 3 {
		t.Errorf("%d masters, want 3", n)
	}
	if err := c.Masters[0].await(t.Context(), "CLUSTER INFO", "cluster_slots_assigned:16384"); err != nil {
		t.Error(err)
	}
}

func TestSentinelFailsOver(t *testing.T) {
	t.Parallel()
	s, err := StartRedisSentinel()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if addr, err := s.MasterAddr(t.Context()); err != nil || addr != s.Master.Addr() {
		t.Errorf("master is %q, %v, want %q", addr, err, s.Master.Addr())
	}
	s.Master.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	if err := s.Sentinel.await(ctx, "INFO sentinel", "address="+s.Replica.Addr()); err != nil {
		t.Fatal(err)
	}
	if err := s.Replica.await(ctx, "INFO replication", "role:master"); err != nil {
		t.Error(err)
	}
}

func TestMissingBinarySaysHowToInstallIt(t *testing.T) {
	t.Parallel()
	_, err := program{names: []string{"no-such-server"}, globs: []string{t.TempDir()}, install: redisProgram().install}.find()
	missing, ok := errors.AsType[*MissingError](err)
	if !ok || missing.Binary != "no-such-server" || !strings.Contains(err.Error(), "install") {
		t.Errorf("find = %v, want a MissingError with a command", err)
	}
}

func TestHighestVersionIsFound(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, v := range []string{"9", "17", "15"} {
		dir := filepath.Join(root, v, "bin")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "some-server"), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	got, err := program{names: []string{"some-server"}, globs: []string{root + "/*/bin"}}.find()
	if want := filepath.Join(root, "17", "bin", "some-server"); err != nil || got != want {
		t.Errorf("find = %q, %v, want %q", got, err, want)
	}
	for dir, want := range map[string]int{"/usr/lib/postgresql/17/bin": 17, "/usr/pgsql-9/bin": 9, "/usr/bin": 0} {
		if got := version(dir); got != want {
			t.Errorf("version(%q) = %d, want %d", dir, got, want)
		}
	}
}

func TestServersDieWithTheTestProcess(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		return // no other system has a parent-death signal
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"=1", "TMPDIR="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	orphan := &Redis{&Server{name: "orphan", port: port}}
	if err := orphan.want(t.Context(), "+PONG", "PING"); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for range 500 {
		if _, err := orphan.do(t.Context(), "PING"); err != nil {
			return
		}
		<-tick.C
	}
	t.Error("the server lives on after its test process was killed")
}

func TestServicesThatStandAlready(t *testing.T) {
	var owner Shared // stands for whoever runs the services
	defer func() {
		if err := owner.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := owner.startPostgres(); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TEST_DATABASE_URL", owner.pgURL)
	t.Setenv("TEST_REDIS_URL", "redis://192.0.2.1:1")
	var guest Shared
	prepare := func(ctx context.Context, url string) error {
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		_, err = conn.Exec(ctx, "CREATE TABLE t ()")
		return errors.Join(err, conn.Close(ctx))
	}
	t.Run("used", func(t *testing.T) {
		if got := query(t, guest.Database(t, "t", prepare), "SELECT count(*)::text FROM t"); got != "0" {
			t.Errorf("table of the template has %s rows", got)
		}
		if got := guest.RedisURL(t); got != "redis://192.0.2.1:1" {
			t.Errorf("RedisURL = %q, want what TEST_REDIS_URL says", got)
		}
	})
	if err := guest.Close(); err != nil {
		t.Fatal(err)
	}
	if got := query(t, owner.pgURL, "SELECT count(*)::text FROM pg_database WHERE datname LIKE 'carom_test_template%'"); got != "0" {
		t.Errorf("%s templates were left behind on a server that is not ours", got)
	}
}

func TestServerThatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	_, err := StartPostgres(PostgresConfig{Settings: []string{"no_such_setting=1"}})
	if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("StartPostgres = %v, want the server's own words", err)
	}
	_, err = StartRedis("--no-such-setting", "1")
	if err == nil || !strings.Contains(err.Error(), "no-such-setting") {
		t.Errorf("StartRedis = %v, want the server's own words", err)
	}
}

func TestProcessorTimeOfAServer(t *testing.T) {
	if runtime.GOOS != "linux" {
		r := &Redis{&Server{name: "redis"}}
		if _, err := r.CPU(); err == nil {
			t.Error("processor time is told where nobody knows it")
		}
		return
	}
	r, err := StartRedis()
	if err != nil {
		t.Fatal(err)
	}
	before, err := r.CPU()
	if err != nil || before <= 0 {
		t.Errorf("CPU = %v, %v, want what the start took", before, err)
	}
	for range 100 {
		if err := r.want(t.Context(), "+PONG", "PING"); err != nil {
			t.Fatal(err)
		}
	}
	if after, err := r.CPU(); err != nil || after <= before {
		t.Errorf("CPU = %v, %v after 100 commands, want more than %v", after, err, before)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := r.CPU(); err == nil {
		t.Errorf("CPU of a stopped server = %v", n)
	}
}
