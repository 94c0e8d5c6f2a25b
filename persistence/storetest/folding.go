package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

// The clicks of Folding are of links in few of the buckets that deltas are dealt into, with many hours and referrers, so that each batch
// fills some.
const (
	foldedLinks     = 6
	foldedHours     = 24
	foldedReferrers = 40
)

// foldedDay begins after all clicks of Folding.
var foldedDay = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// Folding proves that figures are whole while a store writes rollups as deltas and folds them.
type Folding struct {
	ids     []engine.LinkID
	clicks  []engine.Click
	batches int // stored
}

// NewFolding makes links in a store.
func NewFolding(t *testing.T, s engine.Store) *Folding {
	t.Helper()
	links := make([]engine.Link, 64*foldedLinks/2)
	for i := range links {
		links[i] = link(fmt.Sprint("folded", i))
	}
	results, err := s.ImportLinks(t.Context(), links, engine.ConflictError, engine.Author{})
	must(t, err)
	f := &Folding{}
	for _, r := range results {
		if r.ID%64 < 2 {
			f.ids = append(f.ids, r.ID)
		}
	}
	for _, id := range f.ids {
		for hour := range foldedHours {
			for n := range foldedReferrers {
				c := engine.Click{At: foldedDay.AddDate(0, 0, -1).Add(time.Duration(hour)*time.Hour + time.Duration(n)).UnixMicro(), Link: id, Visitor: uint64(n), Status: 302}
				if c.Referrer = fmt.Appendf(nil, "https://site%d.example/", n); n%4 == 0 {
					c.Flags = engine.ClickHead
				}
				f.clicks = append(f.clicks, c)
			}
		}
	}
	return f
}

// Run has nodes write batches, each to a store of its own, while others seal the day all the time; at each moment a link's figures, read from s,
// agree with each other.
func (f *Folding) Run(t *testing.T, s engine.Store, nodes []engine.Store, sealers ...engine.Sealer) {
	t.Helper()
	const batches = 4
	var writing, reading sync.WaitGroup
	for n, store := range nodes {
		writing.Go(func() {
			for b := range engine.Position(batches) {
				if err := store.WriteClicks(t.Context(), batch(engine.NodeID(fmt.Sprint("node", n)), 0, b, b+1, f.clicks...)); err != nil {
					t.Errorf("WriteClicks: %v", err)
				}
			}
		})
	}
	written, cancel := context.WithCancel(t.Context())
	defer cancel()
	meanwhile := func(do func()) {
		reading.Go(func() {
			for written.Err() == nil {
				do()
			}
		})
	}
	last := int64(0)
	meanwhile(func() { last = f.wantAgreement(t, s, f.ids[0], last) })
	for _, sealer := range sealers {
		meanwhile(func() { f.Seal(t, sealer) })
	}
	writing.Wait()
	cancel()
	reading.Wait()
	f.batches += batches * len(nodes)
}

// Seal seals the day.
func (f *Folding) Seal(t *testing.T, s engine.Sealer) {
	t.Helper()
	if err := s.SealDays(t.Context(), foldedDay, 1); err != nil {
		t.Errorf("SealDays: %v", err)
	}
}

// wantAgreement wants a link's figures to agree with each other and not to fall; it returns their number of clicks.
func (f *Folding) wantAgreement(t *testing.T, s engine.Store, id engine.LinkID, last int64) int64 {
	t.Helper()
	stats, err := s.Stats(t.Context(), engine.StatsQuery{Link: id, Referrers: 2 * foldedReferrers})
	if err != nil {
		t.Errorf("Stats: %v", err)
		return last
	}
	var series, referrers int64
	for _, p := range stats.Series {
		series += p.Clicks
	}
	for _, r := range stats.Referrers {
		referrers += r.Clicks
	}
	const each = foldedHours * foldedReferrers
	if stats.Clicks < last || stats.Clicks%each != 0 || stats.Visits != stats.Clicks*3/4 || series != stats.Clicks || referrers != stats.Clicks {
		t.Errorf("%d clicks after %d, %d visits, %d in the series, %d by referrer", stats.Clicks, last, stats.Visits, series, referrers)
	}
	l, err := s.Link(t.Context(), id)
	if err != nil || l.Clicks < stats.Clicks || l.Clicks%each != 0 {
		t.Errorf("the link has %d clicks (%v) after %d in its figures", l.Clicks, err, stats.Clicks)
	}
	return stats.Clicks
}

// Want wants each link to have the clicks of all batches.
func (f *Folding) Want(t *testing.T, s engine.Store) {
	t.Helper()
	page, err := s.ListLinks(t.Context(), engine.LinkQuery{Domain: engine.DefaultDomain, Limit: 1000})
	must(t, err)
	listed := map[engine.LinkID]int64{}
	for i := range page.Links {
		listed[page.Links[i].ID] = page.Links[i].Clicks
	}
	for _, id := range f.ids {
		stats, err := s.Stats(t.Context(), engine.StatsQuery{Link: id, Referrers: 2 * foldedReferrers})
		must(t, err)
		l, err := s.Link(t.Context(), id)
		must(t, err)
		want := int64(f.batches * foldedHours * foldedReferrers)
		if stats.Clicks != want || l.Clicks != want || listed[id] != want || len(stats.Series) != foldedHours || len(stats.Referrers) != foldedReferrers {
			t.Errorf("link %d: %d clicks in its figures, %d of its own, %d in the list, %d hours, %d referrers, want %d, %d and %d", id, stats.Clicks, l.Clicks, listed[id],
				len(stats.Series), len(stats.Referrers), want, foldedHours, foldedReferrers)
		}
		for _, p := range stats.Series {
			if p.Clicks != int64(f.batches*foldedReferrers) {
				t.Errorf("link %d: %d clicks in the hour of %v, want %d", id, p.Clicks, p.Start, f.batches*foldedReferrers)
			}
		}
		for _, r := range stats.Referrers {
			if r.Clicks != int64(f.batches*foldedHours) {
				t.Errorf("link %d: %d clicks from %s, want %d", id, r.Clicks, r.Value, f.batches*foldedHours)
			}
		}
	}
}
