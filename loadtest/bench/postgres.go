package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// postgres is a cluster of its own with the settings that Postgres has by default, but for its address and for where its clients are.
type postgres struct {
	*child
	url, dir string
}

func postgresGlobs() []string {
	return []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin"}
}

func findPostgres() error {
	for _, name := range []string{"initdb", "postgres", "pg_isready"} {
		if _, err := findBinary(name, postgresGlobs()...); err != nil {
			return err
		}
	}
	return nil
}

func startPostgres(ctx context.Context) (_ *postgres, err error) {
	dir, err := os.MkdirTemp("", "carom-postgres-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for postgres: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	initdb, err := postgresCommand(dir, "initdb", "-D", data, "-U", "carom", "--auth=trust", "--encoding=UTF8", "--locale=C")
	if err != nil {
		return nil, err
	}
	make := exec.CommandContext(ctx, initdb[0], initdb[1:]...)
	make.Dir = "/"
	if out, err := make.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("run initdb: %w: %s", err, out)
	}
	args, err := postgresCommand(dir, "postgres", "-D", data, "-c", "listen_addresses=127.0.0.1", "-c", "port="+strconv.Itoa(port), "-c", "unix_socket_directories=")
	if err != nil {
		return nil, err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	c, err := startChild(ctx, syscall.SIGINT, filepath.Join(dir, "output"), addr, args[0], args[1:]...)
	if err != nil {
		return nil, err
	}
	p := &postgres{child: c, url: "postgres://carom@" + addr + "/postgres?sslmode=disable", dir: dir}
	if err := p.ready(ctx, port); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return p, nil
}

func postgresCommand(dir, name string, args ...string) ([]string, error) {
	path, err := findBinary(name, postgresGlobs()...)
	if err != nil {
		return nil, err
	}
	return asUser("postgres", dir, append([]string{path}, args...)...)
}

// ready waits until it takes connections: it listens before it does.
func (p *postgres) ready(ctx context.Context, port int) error {
	ask, err := findBinary("pg_isready", postgresGlobs()...)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if err = exec.CommandContext(ctx, ask, "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-U", "carom").Run(); err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for postgres: %w", err)
		}
	}
}

// Stop ends it and removes its data.
func (p *postgres) Stop() error { return errors.Join(p.child.Stop(), os.RemoveAll(p.dir)) }
