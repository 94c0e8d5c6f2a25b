package main

import (
	"context"
	"errors"
	"fmt"
)

// life is how long a row's server runs before it is started anew on fresh data.
type life int

const (
	lifeShape life = iota // through the rounds of a shape
	lifeRound             // one round
	lifeRun               // the whole run
)

// row is one line of the table: a server in a situation.
type row struct {
	name, title string
	life        life
	work        func() workload
	start       func(ctx context.Context, s *site) (server, error)
	want        int          // the status of its answers; set when the row is picked
	missing     func() error // why the row can't be measured on this machine; nil: it always can

	cold       bool // nothing is asked before the clock starts
	held       bool // clicks are not stored before the server is stopped
	unrecorded bool // no click is recorded after the first few; that is what is measured
	postgres   bool // links and clicks are in Postgres
	log        bool // what is stored is lines of an access log, and a few lost ones are no fault
}

// Names of rows that others are compared with.
const (
	nameBare       = "bare"
	nameBareSame   = "bare-same"
	nameHot        = "hot"
	nameHotHeld    = "hot-held"
	nameHotPG      = "hot-postgres"
	nameUnrecorded = "hot-unrecorded"
	nameZipf       = "zipf"
	nameNginx      = "nginx"
	nameFew        = "zipf-1000"
	nameBig        = "zipf-big"
)

// heldBack keeps the writer from storing for longer than a round lasts, with room for the clicks of the round.
func heldBack() []string { return []string{"CAROM_CLICK_INTERVAL=60s", "CAROM_JOURNAL_BYTES=8GiB"} }

// unrecorded makes the journal as small as can be. As next to nothing is stored it is full after a moment, and each further click is dropped
// and counted.
func unrecorded() []string { return []string{"CAROM_CLICK_INTERVAL=60s", "CAROM_JOURNAL_BYTES=128KiB"} }

// allRows are all that there are, in the order of the table.
func allRows(cfg *config) []*row {
	carom := func(env ...string) func(ctx context.Context, s *site) (server, error) {
		return func(ctx context.Context, s *site) (server, error) { return s.carom(ctx, env...) }
	}
	onPostgres := func(ctx context.Context, s *site) (server, error) { return s.caromOnPostgres(ctx) }
	zipf := func() workload { return zipfLoad(cfg.zipf, zipfDraws) }
	cold := func() workload { return coldLoad(cfg.Cold) }
	needLinks := func() error {
		if cfg.Links == 0 {
			return errors.New("takes 20 minutes more; ask for it by -links 10000000 (make bench LINKS=10000000)")
		}
		return nil
	}
	needNginx := func() error { _, err := findNginx(); return err }
	return []*row{
		{name: nameBare, title: "bare fasthttp with its default options: a constant 302", work: hotLoad, start: func(ctx context.Context, _ *site) (server, error) { return startBare(ctx, "") }},
		{name: nameBareSame, title: "the same, answering Carom's headers", work: hotLoad, start: func(ctx context.Context, s *site) (server, error) { return s.bareSame(ctx) }},
		{name: nameNginx, title: fmt.Sprintf("nginx, a map of %d links, a buffered access log", cfg.zipf), work: zipf, missing: needNginx, log: true, start: func(ctx context.Context, s *site) (server, error) {
			return startNginx(ctx, cfg.zipf)
		}},
		{name: nameHotHeld, title: "Carom, one link; clicks recorded, and stored after the clock has stopped", life: lifeRound, held: true, work: hotLoad, start: carom(heldBack()...)},
		{name: nameHot, title: "Carom, one link; clicks stored in SQLite meanwhile", work: hotLoad, start: carom()},
		{name: nameHotPG, title: "Carom, one link; clicks stored in Postgres meanwhile", work: hotLoad, missing: findPostgres, postgres: true, start: onPostgres},
		{name: nameUnrecorded, title: "Carom, one link; no click recorded (the journal is full)", life: lifeRound, held: true, unrecorded: true, work: hotLoad, start: carom(unrecorded()...)},
		{name: "hot-profiled", title: "Carom, one link; profiles sent to Pyroscope", work: hotLoad, start: func(ctx context.Context, s *site) (server, error) {
			return s.carom(ctx, "PYROSCOPE_SERVER_ADDRESS="+s.profileSink())
		}},
		{name: "zipf-held", title: fmt.Sprintf("Carom, Zipf over %d links; clicks stored after the clock has stopped", cfg.zipf), life: lifeRound, held: true, work: zipf, start: carom(heldBack()...)},
		{name: nameZipf, title: fmt.Sprintf("Carom, Zipf over %d links; clicks stored in SQLite meanwhile", cfg.zipf), work: zipf, start: carom()},
		{name: "unknown", title: fmt.Sprintf("Carom, %d unknown codes again and again", unknownCodes), work: unknownLoad, start: carom()},
		{name: "unknown-new", title: "Carom, unknown codes, each a new one", work: freshLoad, start: carom()},
		{name: "cold-sqlite", title: "Carom, links it has not served yet, from SQLite", life: lifeRound, cold: true, work: cold, start: carom()},
		{name: "cold-postgres", title: "Carom, links it has not served yet, from Postgres", life: lifeRound, cold: true, work: cold, missing: findPostgres, postgres: true, start: onPostgres},
		{name: nameFew, held: true, unrecorded: true, missing: needLinks, title: fmt.Sprintf("Carom, Zipf over %d links; no click recorded", fewLinks), work: func() workload { return zipfLoad(fewLinks, bigDraws) }, start: func(ctx context.Context, s *site) (server, error) {
			return s.caromOn(ctx, &s.few, fewLinks, bigEnv()...)
		}},
		{name: nameBig, held: true, unrecorded: true, missing: needLinks, title: "Carom, Zipf over -links links, all of them in memory; no click recorded", life: lifeRun, work: func() workload { return zipfLoad(cfg.Links, bigDraws) }, start: func(ctx context.Context, s *site) (server, error) {
			return s.caromBig(ctx)
		}},
	}
}
