package main

import (
	"bytes"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/carom-dev/carom/actors"
	"github.com/carom-dev/carom/cmd/carom/internal/metric"
	"github.com/carom-dev/carom/edge"
	"github.com/carom-dev/carom/edge/api"
	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/engine/limit"
	"github.com/carom-dev/carom/persistence/journal"
	"github.com/carom-dev/carom/persistence/redis"
)

// gauges writes what the rooms count as Prometheus text. Every number is read when it is asked for; nothing is kept here.
type gauges struct {
	edge     func() edge.Stats
	api      func() []api.RouteStats
	health   func() (parts []api.PartHealth, ready bool)
	limiters map[string]*limit.Limiter
	actors   func() actors.Stats
	journal  func() journal.Stats
	pools    func() []engine.PoolStats
	store    string             // "postgres" or "sqlite"
	bus      func() redis.Stats // nil: there is none
}

// scrape is all figures of one moment, or nearly one.
type scrape struct {
	now      time.Time
	edge     edge.Stats
	routes   []api.RouteStats
	parts    []api.PartHealth
	ready    bool
	limiters map[string]limit.Stats
	actors   actors.Stats
	journal  journal.Stats
	pools    []engine.PoolStats
	store    string
	bus      *redis.Stats
	build    build
}

// family is one metric and where its samples come from.
type family struct {
	metric.Desc
	read func(s *scrape, w *metric.Writer)
}

// section is the metrics of one part, with a title for the document.
type section struct {
	title    string
	families []family
}

// sections lists every metric. It is the one source of /metrics and of docs/METRICS.md.
func sections() []section {
	return []section{
		{"Redirects", redirectMetrics()},
		{"API, limits and health", apiMetrics()},
		{"Connections", connectionMetrics()},
		{"Published tables and look-ups", tableMetrics()},
		{"Actors", actorMetrics()},
		{"Click journal", journalMetrics()},
		{"Writer", writerMetrics()},
		{"Edits between instances", feedMetrics()},
		{"Stores", storeMetrics()},
		{"Build", buildMetrics()},
	}
}

func counter(name, help string, labels []string, read func(s *scrape, w *metric.Writer)) family {
	return family{metric.Desc{Name: name, Kind: metric.Counter, Help: help, Labels: labels}, read}
}

func gauge(name, help string, labels []string, read func(s *scrape, w *metric.Writer)) family {
	return family{metric.Desc{Name: name, Kind: metric.Gauge, Help: help, Labels: labels}, read}
}

func histogram(name, help string, labels []string, read func(s *scrape, w *metric.Writer)) family {
	return family{metric.Desc{Name: name, Kind: metric.Histogram, Help: help, Labels: labels}, read}
}

// count is a counter of one sample.
func count(name, help string, read func(s *scrape) uint64) family {
	return counter(name, help, nil, func(s *scrape, w *metric.Writer) { w.Count(read(s)) })
}

// level is a gauge of one sample.
func level(name, help string, read func(s *scrape) float64) family {
	return gauge(name, help, nil, func(s *scrape, w *metric.Writer) { w.Value(read(s)) })
}

// state is a gauge of one sample that is 0 or 1.
func state(name, help string, read func(s *scrape) bool) family {
	return gauge(name, help, nil, func(s *scrape, w *metric.Writer) { w.Flag(read(s)) })
}

// write writes all metrics.
func (g *gauges) write(out io.Writer) {
	// The journal before the actors: a click that the writer takes in between is seen twice then, and not missed.
	s := &scrape{
		now: time.Now(), edge: g.edge(), routes: g.api(), limiters: map[string]limit.Stats{}, journal: g.journal(), actors: g.actors(),
		pools: g.pools(), store: g.store, build: buildOf(),
	}
	s.parts, s.ready = g.health()
	for name, l := range g.limiters {
		s.limiters[name] = l.Stats()
	}
	if g.bus != nil {
		st := g.bus()
		s.bus = &st
	}
	var w metric.Writer
	for _, section := range sections() {
		for i := range section.families {
			f := &section.families[i]
			w.Begin(&f.Desc)
			f.read(s, &w)
		}
	}
	w.Write(processMetrics(), processHelp)
	_, _ = out.Write(w.Bytes()) // a scraper that went away needs no answer
}

// processMetrics are those of the Go runtime and the process.
func processMetrics() []byte {
	var text bytes.Buffer
	metrics.ExposeMetadata(true)
	metrics.WriteProcessMetrics(&text)
	return text.Bytes()
}

// processHelp says of a metric of the library, which has no help of its own, what it belongs to.
func processHelp(name string) string {
	words := strings.ReplaceAll(name, "_", " ")
	if rest, ok := strings.CutPrefix(words, "go "); ok {
		return "Of the Go runtime: " + strings.TrimSuffix(rest, " total") + "."
	}
	return "Of the process, as the system counts: " + strings.TrimSuffix(strings.TrimPrefix(words, "process "), " total") + "."
}

func buildMetrics() []family {
	return []family{
		gauge("carom_build_info", "1, with what the program was built from.", []string{"version", "revision", "go"}, func(s *scrape, w *metric.Writer) {
			w.Value(1, s.build.version, s.build.revision, s.build.goVersion)
		}),
	}
}

// text makes a label out of a number.
func text(n int) string { return strconv.Itoa(n) }

// sorted are the keys of m, so that a scrape has its lines always in the same order.
func sorted[K string | int, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
