package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// bigFigures are what many links cost besides the time of a hit.
type bigFigures struct {
	Links        int             `json:"links"`
	TargetBytes  int             `json:"target_bytes"`
	TableBytes   float64         `json:"table_bytes_a_link"`   // by the server's own account, target included
	ProcessBytes float64         `json:"process_bytes_a_link"` // what the process's anonymous memory grew by while the links came in, between two collections
	GCs          []time.Duration `json:"forced_gc_ns"`
	GC           time.Duration   `json:"forced_gc_median_ns"`
	GCMost       time.Duration   `json:"forced_gc_most_ns"`
	Starts       []time.Duration `json:"start_to_ready_ns"`
	Ready        time.Duration   `json:"start_to_ready_median_ns"`
	ReadyMost    time.Duration   `json:"start_to_ready_most_ns"`
}

const (
	bigRepeats    = 5
	bigBytesALink = 400 // of --cache-bytes: more than the links take, so that all of them stay
)

// bigEnv is how the rows with few and with many links run: none is read again while the clock runs, and each garbage collection is logged. Clicks
// are not recorded: those of asking for every link once would keep the writer busy for longer than all the rounds last.
func bigEnv() []string {
	return append(unrecorded(), "CAROM_CACHE_TTL=24h", "GODEBUG=gctrace=1")
}

// caromBig starts a Carom on a copy of the store with many links, which is made first, or taken from -links-db. All links are then in
// memory: the row's warm-up asks for those that it will ask for again, and this for all of them.
func (s *site) caromBig(ctx context.Context) (*caromProcess, error) {
	if s.big == "" {
		s.big = filepath.Join(s.dir, "links-big")
		if s.cfg.LinksDB != "" {
			s.big = filepath.Join(s.cfg.LinksDB, fmt.Sprintf("links-%d", s.cfg.Links))
		}
		whole := s.big + ".whole" // says that the import came to its end
		if _, err := os.Stat(whole); err != nil {
			if _, err := s.importLinks(ctx, s.cfg.Links, "CAROM_DATA_DIR="+s.big); err != nil {
				return nil, err
			}
			if err := os.WriteFile(whole, nil, 0o600); err != nil {
				return nil, fmt.Errorf("note the import: %w", err)
			}
		}
	}
	env := append(bigEnv(), "CAROM_CACHE_BYTES="+strconv.Itoa(max(1<<30, s.cfg.Links*bigBytesALink)))
	p, err := s.caromOn(ctx, &s.big, s.cfg.Links, env...)
	if err != nil {
		return nil, err
	}
	if err := s.fill(ctx, p); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

// fill asks for every link once.
func (s *site) fill(ctx context.Context, p *caromProcess) error {
	if err := p.collect(ctx); err != nil {
		return err
	}
	empty, err := p.Usage()
	if err != nil {
		return err
	}
	all := coldLoad(s.cfg.Links)
	l, err := ownLoad(ctx, p.Addr(), &all, shape{Connections: 500, Pipeline: 16}, 0)
	if err != nil {
		return err
	}
	if l.Wrong > 0 || l.Broken > 0 {
		return fmt.Errorf("ask for all links: %d wrong answers, %d broken requests", l.Wrong, l.Broken)
	}
	if err := p.collect(ctx); err != nil {
		return err
	}
	full, err := p.Usage()
	s.bigGrowth = full.Anon - empty.Anon
	return err
}

// collect forces a garbage collection.
func (c *caromProcess) collect(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.Admin+"/debug/pprof/heap?gc=1", nil)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	resp, err := (&http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return fmt.Errorf("force a collection: %w", err)
	}
	return resp.Body.Close()
}

// big measures what is behind the rounds of many links; it waits until the clicks of all redirects are stored, and starts others on copies of the store.
func (m *measurement) big(ctx context.Context, p *caromProcess) error {
	b := &bigFigures{Links: m.cfg.Links, TargetBytes: len(targetOf(hotCode()))}
	m.report.Big = b
	for range bigRepeats {
		if err := p.collect(ctx); err != nil {
			return err
		}
	}
	b.GCs = forcedCollections(p.note.String())
	if b.GCs = b.GCs[max(0, len(b.GCs)-bigRepeats):]; len(b.GCs) > 0 {
		b.GC, b.GCMost = middle(b.GCs), slices.Max(b.GCs)
	}
	all, err := p.api.Metrics(ctx)
	if err != nil {
		return err
	}
	entries := sumOf(all, "carom_actors_table_entries", "")
	if int(entries) < m.cfg.Links {
		m.report.fault("%s: %.0f of %d links are in memory", nameBig, entries, m.cfg.Links)
	}
	b.TableBytes = sumOf(all, "carom_actors_table_bytes", "") / max(entries, 1)
	b.ProcessBytes = float64(m.site.bigGrowth) / max(entries, 1)
	for r := range m.running {
		if r.name != nameBig {
			continue
		}
		c, err := m.settle(ctx, r, p, true)
		if err != nil {
			return err
		}
		if c.Stored+c.Lost != c.Redirects {
			m.report.fault("%s: of %.0f redirects, %.0f left no click, and %.0f clicks were stored", nameBig, c.Redirects, c.Lost, c.Stored)
		}
	}
	return m.starts(ctx, b)
}

// starts times how long a Carom takes from its start until it is ready, with many links in its store.
func (m *measurement) starts(ctx context.Context, b *bigFigures) (err error) {
	dir, err := m.site.copyOf(m.site.big)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	for range bigRepeats {
		start := time.Now()
		p, err := startCarom(ctx, m.cfg.Carom, dir)
		if err != nil {
			return err
		}
		text, err := exchange(ctx, p.Addr(), "GET /health/ready HTTP/1.1\r\nHost: bench\r\n\r\n")
		b.Starts = append(b.Starts, time.Since(start))
		if err == nil && !strings.HasPrefix(text, "HTTP/1.1 200 ") {
			err = fmt.Errorf("start: it listens and is not ready: %.100s", text)
		}
		if err = errors.Join(err, p.Stop()); err != nil {
			return err
		}
	}
	b.Ready, b.ReadyMost = middle(b.Starts), slices.Max(b.Starts)
	return nil
}

// forcedLine is a line of GODEBUG=gctrace=1; its clock has three phases in milliseconds.
var forcedLine = regexp.MustCompile(`gc \d+ @.*: ([0-9.]+)\+([0-9.]+)\+([0-9.]+) ms clock,.* \(forced\)`)

func forcedCollections(log string) []time.Duration {
	var all []time.Duration
	for _, m := range forcedLine.FindAllStringSubmatch(log, -1) {
		var sum float64
		for _, text := range m[1:] {
			ms, err := strconv.ParseFloat(text, 64)
			if err == nil {
				sum += ms
			}
		}
		all = append(all, time.Duration(sum*float64(time.Millisecond)))
	}
	return all
}

func middle(all []time.Duration) time.Duration {
	values := make([]float64, len(all))
	for i, d := range all {
		values[i] = float64(d)
	}
	return time.Duration(median(values)).Round(time.Microsecond)
}
