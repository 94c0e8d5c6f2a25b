package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/carom-dev/carom/engine"
)

// errConflicts ends the transaction of an import that must store nothing.
var errConflicts = errors.New("the batch has conflicts")

// ImportLinks stores a batch: one insert of what is new, one locked look-up of what is not, one pass in memory, one update, and one
// append to the change log. With ConflictError and a conflict, links that would have been made or changed keep their outcome,
// without ID and Change.
func (s *Store) ImportLinks(ctx context.Context, links []engine.Link, conflict engine.OnConflict, by engine.Author) ([]engine.ImportResult, error) {
	if conflict > engine.ConflictError {
		return nil, engine.Errorf(engine.CodeInvalid, "there is no way %d to treat conflicts", conflict)
	}
	for i := range links {
		if err := links[i].Check(); err != nil {
			if e, ok := errors.AsType[*engine.Error](err); ok {
				e.Message = fmt.Sprintf("link %d of the import has fields that are not accepted", i+1)
			}
			return nil, err
		}
	}
	by.At = s.moment(by.At)
	var p *importPlan
	err := s.editWithin(ctx, s.cfg.WriteTimeout, "import links", func(ctx context.Context, tx pgx.Tx) error {
		p = &importPlan{conflict: conflict, by: by, current: make(map[engine.Key]*known, len(links)), results: make([]engine.ImportResult, len(links))}
		if err := p.start(ctx, tx, links); err != nil {
			return err
		}
		for i := range links {
			p.decide(i, links[i])
		}
		if p.conflicts {
			return errConflicts
		}
		return p.finish(ctx, tx)
	})
	switch {
	case errors.Is(err, errConflicts):
		p.forget()
	case err != nil:
		return nil, err
	}
	return p.results, nil
}

// importPlan is what a batch comes to. Owned by one try of an ImportLinks.
type importPlan struct {
	conflict  engine.OnConflict
	by        engine.Author
	current   map[engine.Key]*known
	events    []event
	sources   []int // which link each event comes from
	results   []engine.ImportResult
	conflicts bool
}

// known is a code as it is after the links decided so far.
type known struct {
	link    engine.Link
	made    bool // by this batch
	told    bool // its making is among the events
	changed bool // since it was made or read
}

// start inserts the first link of each code and locks those that were there before, both in the order of the keys. A code belongs to
// its link for ever, so one that could not be inserted can be read.
func (p *importPlan) start(ctx context.Context, tx pgx.Tx, links []engine.Link) error {
	firsts := make([]*engine.Link, 0, len(links))
	for i := range links {
		if p.current[links[i].Key()] == nil {
			k := &known{link: links[i].Created(0, p.by.At)}
			p.current[k.link.Key()] = k
			firsts = append(firsts, &k.link)
		}
	}
	slices.SortFunc(firsts, func(a, b *engine.Link) int {
		return cmp.Or(cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Code, b.Code))
	})
	made, err := rowsOf(firsts).insert(ctx, tx)
	if err != nil {
		return domainRefusal(err)
	}
	var others []engine.Key
	for _, l := range firsts {
		if id, ok := made[l.Key()]; ok {
			l.ID = id
			p.current[l.Key()].made = true
		} else {
			others = append(others, l.Key())
		}
	}
	for _, ask := range byDomain(others) {
		err := scan(ctx, tx, func(rows pgx.Rows) error {
			l, err := scanLink(rows)
			if k := p.current[l.Key()]; err == nil && k != nil {
				k.link = l
			}
			return err
		}, selectByCodes+" ORDER BY l.code FOR UPDATE OF l", ask.domain, ask.codes)
		if err != nil {
			return fmt.Errorf("look codes up: %w", err)
		}
	}
	return nil
}

// decide takes link i into the plan.
func (p *importPlan) decide(i int, l engine.Link) {
	l.Normalize()
	k := p.current[l.Key()]
	p.results[i].ID = k.link.ID
	switch {
	case k.made && !k.told:
		k.told = true
		p.note(i, engine.ImportCreated, event{link: k.link, action: engine.ActionImported})
	case k.link.Same(&l):
		p.results[i].Outcome = engine.ImportUnchanged
	case p.conflict == engine.ConflictSkip:
		p.results[i].Outcome = engine.ImportSkipped
	case p.conflict == engine.ConflictError:
		p.results[i].Outcome = engine.ImportConflict
		p.conflicts = true
	default:
		before := k.link
		l.ID, l.Version, l.Clicks, l.CreatedAt, l.UpdatedAt = before.ID, before.Version+1, before.Clicks, before.CreatedAt, p.by.At
		k.link, k.changed = l, true
		p.note(i, engine.ImportUpdated, event{link: l, before: &before, action: engine.ActionImported})
	}
}

func (p *importPlan) note(i int, outcome engine.ImportOutcome, e event) {
	p.results[i].Outcome = outcome
	p.events = append(p.events, e)
	p.sources = append(p.sources, i)
}

// finish writes what has changed and the events.
func (p *importPlan) finish(ctx context.Context, tx pgx.Tx) error {
	var changed []*engine.Link
	for _, k := range p.current {
		if k.changed {
			changed = append(changed, &k.link)
		}
	}
	if len(changed) > 0 {
		if err := rowsOf(changed).update(ctx, tx); err != nil {
			return err
		}
	}
	changes, err := appendEvents(ctx, tx, p.by, p.events)
	if err != nil {
		return err
	}
	for i, c := range changes {
		p.results[p.sources[i]].Change = c
	}
	return nil
}

// forget takes out of the results what was not stored.
func (p *importPlan) forget() {
	for _, k := range p.current {
		if k.made {
			for i := range p.results {
				if p.results[i].ID == k.link.ID {
					p.results[i].ID = 0
				}
			}
		}
	}
}
