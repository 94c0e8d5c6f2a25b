package testservices

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// PgBouncer is a connection pooler in transaction mode in front of a Postgres: consecutive transactions of a client go to whatever
// server connection is free.
type PgBouncer struct{ *Server }

func pgBouncerProgram() program {
	return program{
		names: []string{"pgbouncer"},
		globs: []string{"/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin", "/usr/local/bin", "/home/linuxbrew/.linuxbrew/bin"},
		install: map[string]string{
			"apt-get": "apt-get install -y pgbouncer",
			"dnf":     "dnf install -y pgbouncer",
			"brew":    "brew install pgbouncer",
		},
	}
}

// StartPgBouncer starts one in front of the server that a URL names, for all of its databases, with few connections to each, so that
// clients share them.
func StartPgBouncer(server string) (*PgBouncer, error) {
	path, err := pgBouncerProgram().find()
	if err != nil {
		return nil, err
	}
	target, err := pgx.ParseConfig(server)
	if err != nil {
		return nil, fmt.Errorf("parse the URL of the server: %w", err)
	}
	cred, err := unprivileged() // it refuses to run as root, too
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "carom-pgbouncer-")
	if err != nil {
		return nil, fmt.Errorf("make folder for pgbouncer: %w", err)
	}
	login := "user=" + target.User
	if target.Password != "" {
		login += " password='" + strings.ReplaceAll(target.Password, "'", "''") + "'"
	}
	settings := fmt.Sprintf(`[databases]
* = host=%s port=%d %s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
max_client_conn = 500
server_lifetime = 60
`, target.Host, target.Port, login, port)
	file := filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("write settings of pgbouncer: %w", err), os.RemoveAll(dir))
	}
	if cred != nil {
		for _, name := range []string{dir, file} {
			if err := os.Chown(name, int(cred.Uid), int(cred.Gid)); err != nil {
				return nil, errors.Join(fmt.Errorf("give folder to pgbouncer's user: %w", err), os.RemoveAll(dir))
			}
		}
	}
	b := &PgBouncer{&Server{
		name: "pgbouncer", dir: dir, port: port, path: path, args: []string{file}, user: cred, quit: syscall.SIGTERM, orphan: syscall.SIGKILL,
	}}
	through, err := b.URL(server)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	b.ready = func(ctx context.Context) error {
		conn, err := pgx.Connect(ctx, through)
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	}
	if err := b.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return b, nil
}

// URL leads to the database of a server's URL by way of the pooler.
func (b *PgBouncer) URL(server string) (string, error) {
	u, err := url.Parse(server)
	if err != nil {
		return "", fmt.Errorf("parse the URL of the server: %w", err)
	}
	u.Host = b.Addr()
	return u.String(), nil
}
