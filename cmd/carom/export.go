package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/carom-dev/carom/cmd/carom/internal/bulk"
	"github.com/carom-dev/carom/engine"
)

// exportCommand writes what is stored.
type exportCommand struct {
	Links  exportLinksCommand  `cmd:"" help:"Export all links, oldest first; an import reads the file back."`
	Clicks exportClicksCommand `cmd:"" help:"Export clicks, oldest first. Those that a stopped server has left in its journal are stored at its next start."`
}

// exportPlace is what to read and where to write it.
type exportPlace struct {
	StoreSettings  `group:"Storage"`
	remoteSettings `group:"Running Carom"`
	Format         string `placeholder:"csv|ndjson" help:"The form; by the name of --output when unset, else csv."`
	Output         string `short:"o" placeholder:"FILE" help:"The file to write; standard output when unset."`
}

// Pages that are read from a store at rest.
const (
	linkPage  = 1000
	clickPage = 10_000
)

// export opens both ends and has write move the records. A file that is not complete does not get its name.
func (p *exportPlace) export(out io.Writer, write func(io.Writer, bulk.Format) error) (err error) {
	given := p.Format
	if p.Output == "" {
		given = cmp.Or(given, string(bulk.CSV))
	}
	format, err := bulk.FormatOf(given, p.Output)
	if err != nil {
		return usageError{err}
	}
	if p.Output == "" {
		return write(out, format)
	}
	// Clicks and links are for their owner only.
	f, err := os.OpenFile(p.Output+".part", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("make the output: %w", err)
	}
	if err := write(f, format); err != nil {
		_ = f.Close()
		_ = os.Remove(f.Name())
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("complete the output: %w", err)
	}
	return os.Rename(f.Name(), p.Output)
}

// exportLinksCommand exports links.
type exportLinksCommand struct{ exportPlace }

// Run writes the links.
func (c *exportLinksCommand) Run(ctx context.Context, t *terminal) error {
	return c.export(t.out, func(out io.Writer, format bulk.Format) error {
		w := bulk.NewLinkWriter(out, format)
		if err := c.eachLink(ctx, t, w.Write); err != nil {
			return err
		}
		return w.Flush()
	})
}

func (c *exportLinksCommand) eachLink(ctx context.Context, t *terminal, visit func(*engine.Link) error) error {
	if c.Server != "" {
		server, err := c.dial()
		if err != nil {
			return err
		}
		defer server.Close()
		return server.EachLink(ctx, visit)
	}
	store, err := openAtRest(ctx, t, &c.StoreSettings, true)
	if err != nil {
		return err
	}
	defer closeRead(store)
	query := engine.LinkQuery{Domain: engine.DefaultDomain, Sort: engine.SortOldest, Limit: linkPage}
	for {
		page, err := store.ListLinks(ctx, query)
		if err != nil {
			return fmt.Errorf("read the links: %w", err)
		}
		for i := range page.Links {
			if err := visit(&page.Links[i]); err != nil {
				return fmt.Errorf("write a link: %w", err)
			}
		}
		if !page.More || len(page.Links) == 0 {
			return nil
		}
		last := page.Links[len(page.Links)-1]
		query.After = &engine.LinkCursor{Sort: query.Sort, Time: last.CreatedAt, ID: last.ID}
	}
}

// exportClicksCommand exports clicks.
type exportClicksCommand struct {
	exportPlace
	From timeFlag `placeholder:"TIME" help:"Clicks from this time on, such as 2026-01-31 or 2026-01-31T12:00:00Z."`
	To   timeFlag `placeholder:"TIME" help:"Clicks before this time."`
}

// Run writes the clicks.
func (c *exportClicksCommand) Run(ctx context.Context, t *terminal) error {
	from, to := time.Time(c.From), time.Time(c.To)
	if !from.IsZero() && !to.IsZero() && !to.After(from) {
		return usagef("--to: %s is not after --from, %s", to.Format(time.RFC3339), from.Format(time.RFC3339))
	}
	return c.export(t.out, func(out io.Writer, format bulk.Format) error {
		w := bulk.NewClickWriter(out, format)
		if err := c.eachClick(ctx, t, from, to, w.Write); err != nil {
			return err
		}
		return w.Flush()
	})
}

func (c *exportClicksCommand) eachClick(ctx context.Context, t *terminal, from, to time.Time, visit func(*bulk.ClickJSON) error) error {
	if c.Server != "" {
		server, err := c.dial()
		if err != nil {
			return err
		}
		defer server.Close()
		return server.EachClick(ctx, from, to, visit)
	}
	store, err := openAtRest(ctx, t, &c.StoreSettings, true)
	if err != nil {
		return err
	}
	defer closeRead(store)
	query := engine.ClickQuery{From: from, To: to, Limit: clickPage}
	for {
		clicks, err := store.Clicks(ctx, query)
		if err != nil {
			return fmt.Errorf("read the clicks: %w", err)
		}
		for i := range clicks {
			if err := visit(new(bulk.ClickOf(&clicks[i]))); err != nil {
				return fmt.Errorf("write a click: %w", err)
			}
			query.After = clicks[i].ID
		}
		if len(clicks) < query.Limit {
			return nil
		}
	}
}

// closeRead closes a store that was only read, so that an error loses nothing.
func closeRead(store engine.Store) { _ = store.Close() }

// timeFlag is a moment: a UTC day or an RFC 3339 time.
type timeFlag time.Time

// UnmarshalText reads it.
func (f *timeFlag) UnmarshalText(text []byte) error {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, string(text)); err == nil {
			*f = timeFlag(at.UTC())
			return nil
		}
	}
	return fmt.Errorf("%q is not accepted; give a time such as 2026-01-31T12:00:00Z, or a day such as 2026-01-31", text)
}
