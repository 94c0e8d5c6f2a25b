package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/carom-dev/carom/cmd/carom/internal/bulk"
	"github.com/carom-dev/carom/engine"
)

// importCommand stores the links of a file.
type importCommand struct {
	StoreSettings  `group:"Storage"`
	TargetSettings `group:"Links"`
	remoteSettings `group:"Running Carom"`
	File           string `arg:"" help:"CSV with a header, or NDJSON; - for standard input."`
	Format         string `placeholder:"csv|ndjson" help:"The form of the file; by its name when unset."`
	OnConflict     string `default:"skip" help:"What to do with a code that leads elsewhere already: skip it, overwrite it, or error: stop there."`
	DryRun         bool   `help:"Check everything and store nothing. With --server only the lines themselves are checked."`
	Report         string `placeholder:"FILE" help:"Write every problem to this file, as CSV: line, field, problem."`
}

// importBatch is how many links go to a store at rest in one transaction.
const importBatch = 20_000

// errImportStopped ends an import at a conflict that was to be an error; the report has the details.
var errImportStopped = errors.New("stopped at a code that leads elsewhere already")

// Run imports the file.
func (c *importCommand) Run(ctx context.Context, t *terminal) (err error) {
	format, err := bulk.FormatOf(c.Format, c.File)
	if err != nil {
		return usageError{err}
	}
	if err := c.TargetSettings.validate(); err != nil {
		return err
	}
	conflict, known := conflicts()[c.OnConflict]
	if !known {
		return usagef("--on-conflict: %q is not accepted; give skip, overwrite or error", c.OnConflict)
	}
	in, size := t.in, int64(-1)
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return fmt.Errorf("open the file: %w", err)
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			size = info.Size()
		}
		in = f
	}
	bar := progressbar.DefaultBytesSilent(size)
	if isTerminal(t.err) {
		bar = progressbar.NewOptions64(size, progressbar.OptionSetWriter(t.err), progressbar.OptionShowBytes(true),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionSetDescription("importing"))
	}
	progress := progressbar.NewReader(in, bar)
	var policy *engine.TargetPolicy // a server has its own
	if c.Server == "" {
		policy = new(c.policy())
	}
	links, err := bulk.NewLinkReader(&progress, format, policy)
	if err != nil {
		return fmt.Errorf("read %s: %w", c.File, err)
	}
	var reportFile io.WriteCloser
	if c.Report != "" {
		if reportFile, err = os.Create(c.Report); err != nil {
			return fmt.Errorf("make the report: %w", err)
		}
		defer func() { err = errors.Join(err, reportFile.Close()) }()
	}
	sink, err := c.sink(ctx, t, conflict)
	if err != nil {
		return err
	}
	defer sink.Close()

	report := bulk.NewReport(reportFile, func(line string) {
		_ = bar.Clear()
		t.say("%s", line)
	})
	run := importRun{sink: sink, stop: conflict == engine.ConflictError, report: report}
	started := time.Now()
	err = run.all(ctx, links, c.File == "-")
	_ = bar.Finish()
	err = errors.Join(err, report.Close())
	run.summarize(t, time.Since(started), c.DryRun)
	switch {
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted; run it again to go on, what is stored is left as it is")
	case err != nil:
		return err
	case run.failed > 0:
		return fmt.Errorf("%d of %d records were not imported", run.failed, run.records)
	}
	return nil
}

// sink picks where the links go.
func (c *importCommand) sink(ctx context.Context, t *terminal, conflict engine.OnConflict) (linkSink, error) {
	if c.Server != "" {
		server, err := c.dial()
		if err != nil {
			return nil, err
		}
		if c.DryRun {
			server.Close()
			return checkSink{}, nil
		}
		return &serverSink{server: server, conflict: c.OnConflict}, nil
	}
	if c.DryRun {
		store, err := openAtRest(ctx, t, &c.StoreSettings, true)
		if errors.Is(err, errNoStore) {
			return checkSink{}, nil
		}
		if err != nil {
			return nil, err
		}
		return &dryStoreSink{store: store, conflict: conflict}, nil
	}
	store, err := openAtRest(ctx, t, &c.StoreSettings, false)
	if err != nil {
		return nil, err
	}
	return &storeSink{store: store, conflict: conflict}, nil
}

func conflicts() map[string]engine.OnConflict {
	return map[string]engine.OnConflict{"skip": engine.ConflictSkip, "overwrite": engine.ConflictOverwrite, "error": engine.ConflictError}
}

// importRun is one run through a file, and what came of it.
type importRun struct {
	sink   linkSink
	stop   bool // at the first conflict
	report *bulk.Report

	records, failed int
	outcomes        [engine.ImportConflict + 1]int
}

// all reads in one goroutine and stores in this one, so that parsing and the store's work go side by side. The goroutine ends
// with the file or with ctx; one that stands in a read of standard input ends with the process.
func (r *importRun) all(ctx context.Context, links bulk.LinkReader, stdin bool) error {
	ctx, cancel := context.WithCancel(ctx)
	batches := make(chan importRead, 1)
	go readBatches(ctx, links, batches)
	defer func() {
		cancel()
		for !stdin {
			if _, more := <-batches; !more {
				return
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case batch, more := <-batches:
			if !more {
				return ctx.Err()
			}
			if err := r.batch(ctx, batch.records); err != nil {
				return err
			}
			if batch.err != nil {
				return fmt.Errorf("read the file: %w", batch.err)
			}
		}
	}
}

// importRead is a part of the file, and why there is no more.
type importRead struct {
	records []bulk.Record
	err     error
}

// readBatches sends the file's records on in batches; it closes out at the end.
func readBatches(ctx context.Context, links bulk.LinkReader, out chan<- importRead) {
	defer close(out)
	for end := false; !end; {
		batch := importRead{records: make([]bulk.Record, 0, importBatch)}
		for len(batch.records) < importBatch && !end {
			record, err := links.Next()
			switch {
			case errors.Is(err, io.EOF):
				end = true
			case err != nil:
				end, batch.err = true, err
			default:
				batch.records = append(batch.records, record)
			}
		}
		select {
		case out <- batch:
		case <-ctx.Done():
			return
		}
	}
}

// batch reports the records that can't be used and stores the others.
func (r *importRun) batch(ctx context.Context, records []bulk.Record) error {
	links, lines := make([]engine.Link, 0, len(records)), make([]int, 0, len(records))
	for i := range records {
		record := &records[i]
		r.records++
		if len(record.Problems) > 0 {
			r.fail(record.Problems...)
			continue
		}
		links, lines = append(links, record.Link), append(lines, record.Line)
	}
	for len(links) > 0 {
		results, err := r.sink.Store(ctx, links)
		if err != nil {
			return err
		}
		stopped := false
		for i, result := range results {
			if len(result.Refused) == 0 && result.Outcome == engine.ImportConflict {
				stopped = stopped || r.stop
				r.fail(bulk.Problem{Line: lines[i], Field: "code", Detail: fmt.Sprintf("%q leads elsewhere already", links[i].Code)})
			}
		}
		if stopped { // nothing of these was stored
			return errImportStopped
		}
		for i, result := range results {
			switch {
			case len(result.Refused) > 0:
				problems := make([]bulk.Problem, len(result.Refused))
				for j, f := range result.Refused {
					problems[j] = bulk.Problem{Line: lines[i], Field: f.Field, Detail: f.Detail}
				}
				r.fail(problems...)
			case result.Outcome != engine.ImportConflict:
				r.outcomes[result.Outcome]++
			}
		}
		links, lines = links[len(results):], lines[len(results):]
	}
	return nil
}

// fail notes one record that is not imported.
func (r *importRun) fail(problems ...bulk.Problem) {
	r.failed++
	for _, p := range problems {
		r.report.Add(p)
	}
}

// summarize says what came of the run.
func (r *importRun) summarize(t *terminal, took time.Duration, dry bool) {
	verb := "imported"
	if dry {
		verb = "checked, nothing stored"
	}
	fmt.Fprintf(t.out, "%s: %d records in %s: %d created, %d updated, %d unchanged, %d skipped, %d failed\n", verb, r.records, took.Round(time.Millisecond),
		r.outcomes[engine.ImportCreated], r.outcomes[engine.ImportUpdated], r.outcomes[engine.ImportUnchanged], r.outcomes[engine.ImportSkipped], r.failed)
}
