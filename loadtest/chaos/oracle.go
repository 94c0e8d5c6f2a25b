package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/carom-dev/carom/loadtest/program"
)

// referer is what the unique id of a request is behind, in its Referer.
const referer = "https://chaos.example/"

// oracle knows what became of each request, and compares that with what is stored. Safe for concurrent use.
type oracle struct {
	links   []link
	index   map[string]int // of a code
	limited bool           // visitors have a rate limit, and may be answered with 429

	mu        sync.Mutex // guards what is below
	requests  []fate     // by id
	answered  int
	missing   int // answered, and not seen in the store yet
	extra     int // seen in the store, and not answered
	wrong     []string
	wrongs    int
	byLink    []int           // stored, by link
	byHour    []map[int64]int // stored, by link and hour
	cursor    string
	lastClick int64
}

// fate is what is known of one request, in 8 bytes.
type fate struct {
	link  uint32
	state uint8
}

const (
	fateAnswered = 1 << iota // the complete redirect was read
	fateRefused              // a complete answer was read that is no redirect
	fateStored
)

// wrongsKept is how many of the things that are wrong are shown.
const wrongsKept = 5

func newOracle(links []link) *oracle {
	o := &oracle{links: links, index: map[string]int{}, byLink: make([]int, len(links)), byHour: make([]map[int64]int, len(links))}
	for i, l := range links {
		o.index[l.code] = i
		o.byHour[i] = map[int64]int{}
	}
	return o
}

// expect makes room for so many more requests, so that a long list of them is not copied again and again while visitors wait.
func (o *oracle) expect(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.requests = slices.Grow(o.requests, n)
}

// send notes that a request for a link is about to be sent, and names it.
func (o *oracle) send(link int) (id int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.requests = append(o.requests, fate{link: uint32(link)})
	return len(o.requests) - 1
}

// answer notes a complete answer: a redirect has to be the link's, and 503 is the only other one that a link that lives may get, but for
// 410 where visits are counted, and 429 where there is a limit.
func (o *oracle) answer(id, status int, location string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := &o.requests[id]
	switch {
	case status == 302 && location == o.links[r.link].target:
		r.state |= fateAnswered
		o.answered++
		if r.state&fateStored == 0 {
			o.missing++
		} else {
			o.extra--
		}
	case status == 503, status == 410 && o.links[r.link].visits > 0, status == 429 && o.limited:
		r.state |= fateRefused
		if r.state&fateStored != 0 {
			o.wrongLocked("request %d was refused and is stored", id)
		}
	default:
		r.state |= fateRefused
		o.wrongLocked("request %d for %s was answered with %d %q", id, o.links[r.link].code, status, location)
	}
}

// wrongLocked notes something that must not be.
func (o *oracle) wrongLocked(format string, args ...any) {
	if o.wrongs++; len(o.wrong) < wrongsKept {
		o.wrong = append(o.wrong, fmt.Sprintf(format, args...))
	}
}

// stored notes a click that was read back.
func (o *oracle) storedLocked(c *program.Click) {
	link, ok := o.index[c.Code]
	if !ok {
		o.wrongLocked("a click on %q is stored, which nobody asked for", c.Code)
		return
	}
	o.byLink[link]++
	o.byHour[link][c.At.Unix()/3600]++
	text, ok := strings.CutPrefix(c.Referrer, referer)
	id, err := strconv.Atoi(text)
	if !ok || err != nil || id < 0 || id >= len(o.requests) {
		o.wrongLocked("a click on %s with the referrer %q is stored, which nobody sent", c.Code, c.Referrer)
		return
	}
	r := &o.requests[id]
	switch {
	case int(r.link) != link:
		o.wrongLocked("request %d was for %s and is stored for %s", id, o.links[r.link].code, c.Code)
	case r.state&fateStored != 0:
		o.wrongLocked("request %d is stored twice", id)
	case r.state&fateRefused != 0:
		o.wrongLocked("request %d was refused and is stored", id)
	case r.state&fateAnswered != 0:
		o.missing--
	default:
		o.extra++
	}
	r.state |= fateStored
}

// collect reads what was stored since the last time.
func (o *oracle) collect(ctx context.Context, api *program.API) error {
	o.mu.Lock()
	cursor := o.cursor
	o.mu.Unlock()
	for {
		clicks, next, err := api.ClickPage(ctx, cursor)
		if err != nil {
			return fmt.Errorf("read clicks back: %w", err)
		}
		o.mu.Lock()
		for k := range clicks {
			// The page behind the last cursor was not full, and is read again.
			if clicks[k].ID > o.lastClick {
				o.lastClick = clicks[k].ID
				o.storedLocked(&clicks[k])
			}
		}
		o.cursor = cursor
		o.mu.Unlock()
		if next == "" {
			return nil
		}
		cursor = next
	}
}

// tally is what the oracle counts.
type tally struct{ sent, answered, missing, extra, wrongs int }

// String is the tally in short.
func (t tally) String() string {
	return fmt.Sprintf("%d sent, %d answered, %d lost, %d stored without an answer, %d wrong", t.sent, t.answered, t.missing, t.extra, t.wrongs)
}

// tally reads it.
func (o *oracle) tally() tally {
	o.mu.Lock()
	defer o.mu.Unlock()
	return tally{len(o.requests), o.answered, o.missing, o.extra, o.wrongs}
}

// errLost says that answered clicks are not stored.
var errLost = errors.New("answered clicks are not stored")

// await reads clicks back until all that were answered are stored. The load has to rest.
func (o *oracle) await(ctx context.Context, api *program.API, timeout time.Duration) error {
	deadline := time.Now().Add(timeout)
	for {
		if err := o.collect(ctx, api); err != nil && time.Now().After(deadline) {
			return err
		}
		t := o.tally()
		switch {
		case t.wrongs > 0:
			return o.judge()
		case t.missing == 0:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("%w: %d of %d, %v after the load", errLost, t.missing, t.answered, timeout)
		}
		if err := wait(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// judge tells what is wrong so far, lost clicks aside.
func (o *oracle) judge() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.wrongs == 0 {
		return nil
	}
	return fmt.Errorf("%d things are wrong: %s", o.wrongs, strings.Join(o.wrong, "; "))
}

// settleTime is how long nothing may be stored any more before what is stored counts as final: many times the writer's interval.
const settleTime = time.Second

// check waits until all is stored, and compares everything: requests, single clicks, totals, and the series by the hour. The load has to
// rest. lost is how many answered clicks may be missing, as their loss was counted.
func (o *oracle) check(ctx context.Context, api *program.API, timeout time.Duration) (tally, error) {
	if err := o.await(ctx, api, timeout); err != nil {
		return o.tally(), err
	}
	return o.settle(ctx, api, timeout)
}

// settle waits until nothing more is stored, reads it all, and compares the counters. Lost clicks are the caller's to judge.
func (o *oracle) settle(ctx context.Context, api *program.API, timeout time.Duration) (tally, error) {
	deadline := time.Now().Add(timeout)
	last, since := -1, time.Now()
	for time.Since(since) < settleTime {
		if err := o.collect(ctx, api); err != nil {
			return o.tally(), err
		}
		now := o.storedClicks()
		if now != last {
			last, since = now, time.Now()
		}
		if time.Now().After(deadline) {
			return o.tally(), fmt.Errorf("clicks are still being stored %v after the load", timeout)
		}
		if err := wait(ctx, 100*time.Millisecond); err != nil {
			return o.tally(), err
		}
	}
	if err := o.judge(); err != nil {
		return o.tally(), err
	}
	return o.tally(), o.compareCounters(ctx, api)
}

func (o *oracle) storedClicks() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	sum := 0
	for _, n := range o.byLink {
		sum += n
	}
	return sum
}

// compareCounters holds each link's total and series against the single clicks that were read.
func (o *oracle) compareCounters(ctx context.Context, api *program.API) error {
	all, err := api.Links(ctx)
	if err != nil {
		return fmt.Errorf("read links: %w", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	var errs []error
	for _, l := range all {
		at, ok := o.index[l.Code]
		if !ok {
			continue
		}
		if l.Clicks != int64(o.byLink[at]) {
			errs = append(errs, fmt.Errorf("link %s counts %d clicks and has %d single ones", l.Code, l.Clicks, o.byLink[at]))
		}
		if o.byLink[at] == 0 {
			continue
		}
		stats, err := api.Stats(ctx, l)
		if err != nil {
			return fmt.Errorf("read stats: %w", err)
		}
		series, referrers := int64(0), int64(0)
		for _, point := range stats.Series {
			series += point.Clicks
			if want := o.byHour[at][point.Start.Unix()/3600]; point.Clicks != int64(want) {
				errs = append(errs, fmt.Errorf("link %s counts %d clicks in the hour of %s and has %d single ones", l.Code, point.Clicks, point.Start, want))
			}
		}
		for _, r := range stats.Referrers {
			referrers += r.Clicks
		}
		if want := int64(o.byLink[at]); stats.Clicks != want || series != want || referrers != want || stats.Visits != want {
			errs = append(errs, fmt.Errorf("link %s has %d single clicks, and counts %d, %d visits, %d by the hour, %d by referrer",
				l.Code, want, stats.Clicks, stats.Visits, series, referrers))
		}
		if len(errs) >= wrongsKept {
			break
		}
	}
	return errors.Join(errs...)
}
