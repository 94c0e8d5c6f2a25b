package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// nginxProcess is nginx with a static map of the links and a buffered access log.
type nginxProcess struct {
	*child
	addr, dir string
	lines     float64 // of the log, so far
	read      int64   // bytes of it
}

const nginxConf = `daemon off;
worker_processes auto;
worker_rlimit_nofile 65536;
pid %[1]s/pid;
error_log %[1]s/error.log warn;
events { worker_connections 16384; }
http {
  access_log %[1]s/access.log combined buffer=64k flush=1s;
  server_tokens off;
  keepalive_requests 1000000000;
  client_body_temp_path %[1]s/body;
  proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi;
  scgi_temp_path %[1]s/scgi;
  map_hash_max_size 262144;
  map_hash_bucket_size 128;
  map $uri $target {
    include %[1]s/map.conf;
  }
  server {
    listen %[2]s reuseport;
    location / {
      if ($target = "") { return 404; }
      return 302 $target;
    }
  }
}
`

func findNginx() (string, error) { return findBinary("nginx", "/usr/sbin", "/usr/local/sbin") }

func startNginx(ctx context.Context, links int) (_ server, err error) {
	path, err := findNginx()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "carom-nginx-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for nginx: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	if err := os.Chmod(dir, 0o755); err != nil { // its workers have another user
		return nil, fmt.Errorf("open a directory: %w", err)
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	var entries bytes.Buffer
	for i := range links {
		fmt.Fprintf(&entries, "/%s %s;\n", codeOf(i), targetOf(codeOf(i)))
	}
	conf := filepath.Join(dir, "nginx.conf")
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "map.conf"), entries.Bytes(), 0o600),
		os.WriteFile(conf, fmt.Appendf(nil, nginxConf, dir, addr), 0o600)); err != nil {
		return nil, fmt.Errorf("configure nginx: %w", err)
	}
	c, err := startChild(ctx, syscall.SIGQUIT, filepath.Join(dir, "output"), addr, path, "-e", filepath.Join(dir, "error.log"), "-c", conf)
	if err != nil {
		return nil, err
	}
	return &nginxProcess{child: c, addr: addr, dir: dir}, nil
}

func (n *nginxProcess) Addr() string { return n.addr }
func (n *nginxProcess) Stop() error  { return errors.Join(n.child.Stop(), os.RemoveAll(n.dir)) }

// Counts waits until the log has not grown for longer than its buffer is held, and counts its lines.
func (n *nginxProcess) Counts(ctx context.Context) (counts, error) {
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for quiet := 0; quiet < 4; quiet++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return counts{}, context.Cause(ctx)
		}
		more, err := n.readLog()
		if err != nil {
			return counts{}, err
		}
		if more {
			quiet = -1
		}
	}
	return counts{Redirects: -1, Stored: n.lines, Mallocs: -1, GCs: -1}, nil
}

func (n *nginxProcess) readLog() (more bool, err error) {
	f, err := os.Open(filepath.Join(n.dir, "access.log"))
	if err != nil {
		return false, fmt.Errorf("read nginx's log: %w", err)
	}
	defer f.Close()
	if _, err := f.Seek(n.read, io.SeekStart); err != nil {
		return false, fmt.Errorf("read nginx's log: %w", err)
	}
	r := bufio.NewReaderSize(f, 1<<20)
	for {
		part, err := r.ReadSlice('\n')
		n.read += int64(len(part))
		more = more || len(part) > 0
		if errors.Is(err, io.EOF) {
			return more, nil
		}
		if err != nil {
			return more, fmt.Errorf("read nginx's log: %w", err)
		}
		n.lines++
	}
}
