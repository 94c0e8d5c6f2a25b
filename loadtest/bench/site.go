package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"time"
)

// site is what the rows' servers are started on: stores with links, a sink for profiles. Its parts are made when they are first asked for.
type site struct {
	cfg   *config
	dir   string // of everything, removed at the end
	links string // data directory with the usual links, copied for each server
	few   string // the same with 1,000
	big   string // the same with -links

	answer    string // the header lines of Carom's answer
	bigGrowth int64  // memory that the links took which the Carom with many of them has read
	postgres  *postgres
	sink      *httptest.Server
	profiles  atomic.Int64 // that arrived at the sink
}

const fewLinks = 1000

func newSite(cfg *config) (*site, error) {
	dir, err := os.MkdirTemp("", "carom-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	return &site{cfg: cfg, dir: dir}, nil
}

// Close ends what was started and removes what was made.
func (s *site) Close() error {
	if s.sink != nil {
		s.sink.Close()
	}
	return errors.Join(s.dropPostgres(), os.RemoveAll(s.dir))
}

// data copies a directory with n links, which is made when there is none yet.
func (s *site) data(ctx context.Context, from *string, n int) (string, error) {
	if *from == "" {
		*from = filepath.Join(s.dir, fmt.Sprintf("links-%d", n))
		if _, err := s.importLinks(ctx, n, "CAROM_DATA_DIR="+*from); err != nil {
			return "", err
		}
	}
	return s.copyOf(*from)
}

func (s *site) copyOf(from string) (string, error) {
	dir, err := os.MkdirTemp(s.dir, "data-")
	if err != nil {
		return "", fmt.Errorf("make a data directory: %w", err)
	}
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		return "", fmt.Errorf("copy links: %w", err)
	}
	return dir, nil
}

// importLinks has `carom import` store the first n links, and returns how long it took.
func (s *site) importLinks(ctx context.Context, n int, env ...string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, s.cfg.Carom, "import", "-", "--format", "ndjson")
	cmd.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	in, err := cmd.StdinPipe()
	if err != nil {
		return 0, fmt.Errorf("make pipe: %w", err)
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start import: %w", err)
	}
	writing := errors.Join(writeLinks(in, n), in.Close())
	if err := cmd.Wait(); err != nil {
		return 0, fmt.Errorf("import %d links: %w: %s", n, err, out.String())
	}
	if writing != nil {
		return 0, writing
	}
	if want := fmt.Sprintf("%d created", n); !bytes.Contains(out.Bytes(), []byte(want)) {
		return 0, fmt.Errorf("import %d links: it does not say that there are %s: %s", n, want, out.String())
	}
	return time.Since(start), nil
}

// carom starts one on a copy of the links.
func (s *site) carom(ctx context.Context, env ...string) (*caromProcess, error) {
	return s.caromOn(ctx, &s.links, s.cfg.zipf, env...)
}

func (s *site) caromOn(ctx context.Context, from *string, n int, env ...string) (*caromProcess, error) {
	dir, err := s.data(ctx, from, n)
	if err != nil {
		return nil, err
	}
	p, err := startCarom(ctx, s.cfg.Carom, dir, env...)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	p.dir = dir
	return p, nil
}

// caromOnPostgres starts one that has its links and clicks in Postgres, and only its journal in a directory.
func (s *site) caromOnPostgres(ctx context.Context, env ...string) (*caromProcess, error) {
	if s.postgres == nil {
		p, err := startPostgres(ctx)
		if err != nil {
			return nil, err
		}
		s.postgres = p
		if _, err := s.importLinks(ctx, s.cfg.zipf, "DATABASE_URL="+p.url, "CAROM_DATA_DIR="+filepath.Join(s.dir, "none")); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp(s.dir, "data-")
	if err != nil {
		return nil, fmt.Errorf("make a data directory: %w", err)
	}
	p, err := startCarom(ctx, s.cfg.Carom, dir, append(env, "DATABASE_URL="+s.postgres.url)...)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	p.dir = dir
	return p, nil
}

func (s *site) dropPostgres() error {
	if s.postgres == nil {
		return nil
	}
	p := s.postgres
	s.postgres = nil
	return p.Stop()
}

// bareSame starts a bare server that answers the bytes of a Carom.
func (s *site) bareSame(ctx context.Context) (server, error) {
	if s.answer == "" {
		p, err := s.carom(ctx)
		if err != nil {
			return nil, err
		}
		text, err := answerOf(ctx, p.Addr())
		if err = errors.Join(err, p.Stop()); err != nil {
			return nil, err
		}
		if s.answer, err = headerLines(text); err != nil {
			return nil, err
		}
	}
	return startBare(ctx, s.answer)
}

// profileSink is a server that takes profiles and throws them away.
func (s *site) profileSink() string {
	if s.sink == nil {
		s.sink = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err == nil {
				s.profiles.Add(1)
			}
		}))
	}
	return s.sink.URL
}
