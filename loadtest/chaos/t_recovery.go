package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/carom-dev/carom/loadtest/client"
)

// settled holds, while panics go on, that nothing hangs, nothing is lost, and everything is counted.
func (p *panicking) settled(ctx context.Context) error {
	for k, i := range p.instances {
		for index := panicHot + panicEdited + panicFew; index < len(p.oracle.links) && index < panicHot+panicEdited+panicFew+int(p.cold.Load()); index++ {
			if err := p.have(ctx, i, index); err != nil {
				return err
			}
		}
		if !i.running() {
			return errors.New("a process is gone")
		}
		logged := p.logged[k].Load()
		var counted float64
		if err := until(ctx, "all panics are counted", patience, func() (bool, error) {
			all, err := i.api.Metrics(ctx)
			if err != nil {
				return false, err
			}
			counted = all["carom_actors_worker_panics_total"]
			for name, value := range all {
				if strings.HasPrefix(name, "carom_actors_panics_total{") {
					counted += value
				}
			}
			return counted >= float64(logged), nil
		}); err != nil {
			return err
		}
		p.counted += counted
	}
	_, err := p.oracle.check(ctx, p.instances[0].api, patience)
	return err
}

// recover has an edit arrive everywhere while panics go on, ends the instances in order, and has the visits that were left be had, each
// once, without panics. What comes is none of the oracle's any more.
func (p *panicking) recover(ctx context.Context) error {
	api := p.instances[0].api
	moved, err := api.Shorten(ctx, map[string]any{"code": "moved", "url": "https://example.com/moved"})
	if err != nil {
		return err
	}
	for n, from := range p.instances {
		target := fmt.Sprintf("https://example.com/moved/%d", n)
		if err := from.api.Edit(ctx, moved.Path(), map[string]any{"url": target}); err != nil {
			return fmt.Errorf("edit: %w", err)
		}
		for _, at := range p.instances {
			if err := until(ctx, "an edit is everywhere", patience, func() (bool, error) {
				r, err := at.ask(moved.Code, p.next())
				return r.Status == 302 && string(r.Location) == target, err
			}); err != nil {
				return err
			}
		}
	}
	for _, i := range p.instances {
		if err := i.stop(); err != nil {
			return err
		}
	}
	for k := len(p.instances) - 1; k >= 0; k-- { // each takes back what it held
		if err := p.instances[k].start(ctx); err != nil {
			return err
		}
		if k > 0 {
			if err := p.instances[k].stop(); err != nil {
				return err
			}
		}
	}
	return p.spend(ctx, p.instances[0])
}

// spend uses up all visits that there are.
func (p *panicking) spend(ctx context.Context, i *instance) error {
	for k := range panicFew {
		code := p.oracle.links[panicHot+panicEdited+k].code
		if err := until(ctx, code+" is used up", patience, func() (bool, error) {
			for {
				r, err := i.ask(code, p.next())
				if err != nil || r.Status != 302 {
					return r.Status == 410, err
				}
			}
		}); err != nil {
			return err
		}
	}
	return until(ctx, "each visit is stored once", patience, func() (bool, error) {
		stored, err := i.api.Links(ctx)
		if err != nil {
			return false, err
		}
		for _, l := range stored {
			if at, ok := p.oracle.index[l.Code]; ok && p.oracle.links[at].visits > 0 && l.Clicks != panicVisits {
				return false, fmt.Errorf("%s has %d clicks, want %d", l.Code, l.Clicks, panicVisits)
			}
		}
		return true, nil
	})
}

// ask visits a link once, as a stranger who has no limit yet: each request has an address of its own.
func (i *instance) ask(code string, id int) (client.Response, error) {
	conn, err := client.Dial(i.addr, patience)
	if err != nil {
		return client.Response{}, err
	}
	defer conn.Close()
	return conn.Do(appendVisitFrom(nil, code, id, fmt.Sprintf("10.%d.%d.1", id>>8&255, id&255)))
}
