package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/carom-dev/carom/engine"
)

// errConflicts ends the transaction of an import that must store nothing.
var errConflicts = errors.New("the batch has conflicts")

// ImportLinks stores a batch: one look-up, then one pass over the links in memory, then as few statements as can be.
// With ConflictError and a conflict, links that would have been made or changed keep their outcome, without ID and Change.
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
	p := &importPlan{conflict: conflict, by: by, results: make([]engine.ImportResult, len(links))}
	err := s.write(ctx, "import links", func(ctx context.Context, tx *sql.Tx) error {
		if err := p.lookUp(ctx, tx, s.hot.codes, links); err != nil {
			return fmt.Errorf("look codes up: %w", err)
		}
		for i := range links {
			p.decide(i, links[i])
		}
		if p.conflicts {
			return errConflicts
		}
		return p.store(ctx, tx, s)
	})
	switch {
	case errors.Is(err, errConflicts):
		p.forget()
	case err != nil:
		return nil, err
	}
	return p.results, nil
}

// importPlan is what a batch comes to, made in memory before anything is written. Owned by one ImportLinks.
type importPlan struct {
	conflict  engine.OnConflict
	by        engine.Author
	current   map[engine.Key]*importLink // each code as it is after the links decided so far
	nextID    engine.LinkID
	made      []*importLink // to be inserted, in the state they end in
	changed   []*importLink // to be updated, in the state they end in; once each
	events    []event
	sources   []int // which link each event comes from
	results   []engine.ImportResult
	conflicts bool
}

// importLink is a link that the batch names.
type importLink struct {
	engine.Link
	listed bool // in made or changed
}

func (p *importPlan) lookUp(ctx context.Context, tx *sql.Tx, codes *sql.Stmt, links []engine.Link) error {
	next, err := nextID(ctx, tx, "links")
	if err != nil {
		return err
	}
	p.nextID = engine.LinkID(next)
	keys := make([]engine.Key, len(links))
	for i := range links {
		keys[i] = links[i].Key()
	}
	p.current = make(map[engine.Key]*importLink, len(links))
	stmt := tx.StmtContext(ctx, codes)
	return eachDomain(keys, func(domain engine.DomainID, codes []string) error {
		return queryCodes(ctx, stmt, domain, codes, func(l engine.Link) { p.current[l.Key()] = &importLink{Link: l} })
	})
}

// decide takes link i into the plan.
func (p *importPlan) decide(i int, l engine.Link) {
	l.Normalize()
	there := p.current[l.Key()]
	if there == nil {
		made := &importLink{Link: l.Created(p.nextID, p.by.At), listed: true}
		p.nextID++
		p.current[made.Key()] = made
		p.made = append(p.made, made)
		p.note(i, engine.ImportCreated, event{link: made.Link, action: engine.ActionImported})
		return
	}
	p.results[i].ID = there.ID
	switch {
	case there.Same(&l):
		p.results[i].Outcome = engine.ImportUnchanged
	case p.conflict == engine.ConflictSkip:
		p.results[i].Outcome = engine.ImportSkipped
	case p.conflict == engine.ConflictError:
		p.results[i].Outcome = engine.ImportConflict
		p.conflicts = true
	default:
		before := there.Link
		l.ID, l.Version, l.CreatedAt, l.UpdatedAt = there.ID, there.Version+1, there.CreatedAt, p.by.At
		there.Link = l
		if !there.listed {
			there.listed = true
			p.changed = append(p.changed, there)
		}
		p.note(i, engine.ImportUpdated, event{link: l, before: &before, action: engine.ActionImported})
	}
}

func (p *importPlan) note(i int, outcome engine.ImportOutcome, e event) {
	p.results[i].Outcome, p.results[i].ID = outcome, e.link.ID
	p.events = append(p.events, e)
	p.sources = append(p.sources, i)
}

func (p *importPlan) store(ctx context.Context, tx *sql.Tx, s *Store) error {
	made := make([]engine.Link, len(p.made))
	for i, l := range p.made {
		made[i] = l.Link
	}
	if err := s.insertLinks(ctx, tx, made); err != nil {
		return err
	}
	for _, l := range p.changed {
		if err := updateLink(ctx, tx, &l.Link); err != nil {
			return err
		}
	}
	changes, err := s.appendEvents(ctx, tx, p.by, p.events)
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
	stays := map[engine.LinkID]bool{}
	for _, l := range p.current {
		stays[l.ID] = true
	}
	for _, l := range p.made {
		delete(stays, l.ID)
	}
	for i := range p.results {
		if !stays[p.results[i].ID] {
			p.results[i].ID = 0
		}
	}
}
