package testservices

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// PostgresConfig says how a cluster is started. The zero value is the fast one.
type PostgresConfig struct {
	// Durable keeps fsync on, for tests and benchmarks of durability; off, a crash of the machine may ruin the cluster.
	Durable bool
	// Settings are further "name=value" settings of the server.
	Settings []string
	// Certificate, when not nil, has the server speak TLS with whoever asks for it.
	Certificate *Certificate
}

// Postgres is a cluster of its own, with the superuser "postgres" and no password.
type Postgres struct{ *Server }

// StartPostgres makes a cluster in a temporary folder and starts it.
func StartPostgres(cfg PostgresConfig) (*Postgres, error) {
	initdb, err := postgresProgram("initdb").find()
	if err != nil {
		return nil, err
	}
	server, err := postgresProgram("postgres").find()
	if err != nil {
		return nil, err
	}
	cred, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "carom-postgres-")
	if err != nil {
		return nil, fmt.Errorf("make folder for postgres: %w", err)
	}
	pg, err := startPostgres(cfg, dir, initdb, server, cred)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return pg, nil
}

func startPostgres(cfg PostgresConfig, dir, initdb, server string, cred *syscall.Credential) (*Postgres, error) {
	if cred != nil {
		if err := os.Chown(dir, int(cred.Uid), int(cred.Gid)); err != nil {
			return nil, fmt.Errorf("give folder to postgres' user: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	data := filepath.Join(dir, "data")
	cmd := exec.CommandContext(ctx, initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Credential: cred}
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("run initdb: %w\n%s", err, out)
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	settings := []string{
		"listen_addresses=127.0.0.1", "port=" + strconv.Itoa(port), "unix_socket_directories=", "timezone=UTC",
		"max_connections=100", "shared_buffers=128MB", "max_wal_size=1GB", "logging_collector=off",
	}
	if !cfg.Durable {
		settings = append(settings, "fsync=off", "full_page_writes=off", "synchronous_commit=off")
	}
	if cfg.Certificate != nil {
		own, err := cfg.Certificate.copyTo(dir, cred)
		if err != nil {
			return nil, err
		}
		settings = append(settings, "ssl=on", "ssl_cert_file="+own.Cert, "ssl_key_file="+own.Key)
	}
	args := []string{"-D", data}
	for _, s := range append(settings, cfg.Settings...) {
		args = append(args, "-c", s)
	}
	pg := &Postgres{&Server{
		name: "postgres", dir: dir, port: port, path: server, args: args, user: cred,
		quit: syscall.SIGINT, // "fast": clients are cut, the log is flushed
		// "immediate" and not SIGKILL, so that it takes its shared memory along.
		orphan: syscall.SIGQUIT,
	}}
	pg.ready = func(ctx context.Context) error {
		conn, err := pgx.Connect(ctx, pg.URL("postgres"))
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	}
	if err := pg.Start(); err != nil {
		return nil, err
	}
	return pg, nil
}

// URL is the DSN of one database.
func (p *Postgres) URL(database string) string {
	return fmt.Sprintf("postgres://postgres@%s/%s?sslmode=disable", p.Addr(), database)
}

// Exec runs one statement on a connection of its own.
func (p *Postgres) Exec(ctx context.Context, database, text string, args ...any) error {
	conn, err := pgx.Connect(ctx, p.URL(database))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	_, err = conn.Exec(ctx, text, args...)
	return errors.Join(err, conn.Close(ctx))
}

// Remember copies all that the stopped server has stored, for GoBack. It replaces what was remembered before.
func (p *Postgres) Remember(ctx context.Context) error {
	return copyData(ctx, p.data(), p.remembered())
}

// GoBack gives the stopped server what it had stored when it was remembered.
func (p *Postgres) GoBack(ctx context.Context) error {
	return copyData(ctx, p.remembered(), p.data())
}

func (p *Postgres) data() string       { return filepath.Join(p.dir, "data") }
func (p *Postgres) remembered() string { return filepath.Join(p.dir, "remembered") }

// copyData has one folder replaced by another with its owners and modes, which the server is particular about.
func copyData(ctx context.Context, from, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return fmt.Errorf("remove %s: %w", to, err)
	}
	if out, err := exec.CommandContext(ctx, "cp", "-a", from, to).CombinedOutput(); err != nil {
		return fmt.Errorf("copy %s to %s: %w\n%s", from, to, err, out)
	}
	return nil
}

// Counts adds up the numbers that a query of names and numbers gives for each name, on a connection of its own to a database's URL.
func Counts(ctx context.Context, url, query string) (counts map[string]int, err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	rows, err := conn.Query(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("count: %w", err)
	}
	counts = map[string]int{}
	var name string
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&name, &n}, func() error { counts[name] += n; return nil }); err != nil {
		return nil, fmt.Errorf("count: %w", err)
	}
	return counts, nil
}

// unprivileged finds a user for Postgres, which refuses to run as root; nil when the caller is none.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("read uid of %s: %w", name, err)
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("read gid of %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("find a user for postgres: root may not run it, and there is neither postgres nor nobody")
}
