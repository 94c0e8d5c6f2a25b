package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// importRate is how fast links were imported.
type importRate struct {
	Store string    `json:"store"`
	Links int       `json:"links"`
	Rate  float64   `json:"links_per_second"` // the median
	Rates []float64 `json:"rounds"`
}

// imports times `carom import` into an empty store, for each store that is wanted: the rows import-sqlite and import-postgres.
func (m *measurement) imports(ctx context.Context) error {
	rounds := min(m.cfg.Rounds, 3)
	if m.cfg.wants("import-sqlite") {
		err := m.importInto("SQLite", rounds, func(round int) (time.Duration, error) {
			return m.site.importLinks(ctx, m.cfg.Imports, "CAROM_DATA_DIR="+filepath.Join(m.site.dir, fmt.Sprintf("import-%d", round)))
		})
		if err != nil {
			return err
		}
	}
	if !m.cfg.wants("import-postgres") {
		return nil
	}
	if err := findPostgres(); err != nil {
		m.report.Missing = append(m.report.Missing, fmt.Sprintf("import-postgres: %v", err))
		return nil
	}
	return m.importInto("Postgres", rounds, func(int) (took time.Duration, err error) {
		p, err := startPostgres(ctx)
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, p.Stop()) }()
		return m.site.importLinks(ctx, m.cfg.Imports, "DATABASE_URL="+p.url, "CAROM_DATA_DIR="+filepath.Join(m.site.dir, "none"))
	})
}

func (m *measurement) importInto(store string, rounds int, run func(round int) (time.Duration, error)) error {
	i := importRate{Store: store, Links: m.cfg.Imports}
	for round := range rounds {
		took, err := run(round)
		if err != nil {
			return fmt.Errorf("import into %s: %w", store, err)
		}
		i.Rates = append(i.Rates, float64(i.Links)/took.Seconds())
		m.progress("import into %s, round %d: %.0f links/s", store, round+1, i.Rates[round])
	}
	i.Rate = median(i.Rates)
	m.report.Imports = append(m.report.Imports, i)
	return nil
}
