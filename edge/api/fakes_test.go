package api

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/carom-dev/carom/engine"
)

var errAway = errors.New("connection refused")

// fakeStore keeps everything in memory; err, when set, is what every call returns.
type fakeStore struct {
	mu      sync.Mutex
	err     error
	links   []engine.Link
	audit   []engine.AuditEvent
	idem    map[string]idemEntry
	keys    []engine.APIKey
	clicks  []engine.StoredClick
	stats   engine.StatsQuery   // the last one asked
	series  []engine.StatsPoint // of every link; nil: one point
	lookups int                 // of keys
	touched []engine.KeyID
	taken   int // how many creations still hit a taken code
	imports int // how many imports still succeed, when importErr is set
	// importErr is what imports fail with after that.
	importErr error
}

type idemEntry struct {
	digest [32]byte
	link   engine.LinkID
}

// fail makes every call return err from now on.
func (s *fakeStore) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *fakeStore) find(id engine.LinkID) *engine.Link {
	for i := range s.links {
		if s.links[i].ID == id {
			return &s.links[i]
		}
	}
	return nil
}

func (s *fakeStore) byCode(code string) *engine.Link {
	for i := range s.links {
		if s.links[i].Code == code {
			return &s.links[i]
		}
	}
	return nil
}

func (s *fakeStore) log(l *engine.Link, before *engine.LinkState, action engine.AuditAction, by engine.Author) engine.Change {
	id := engine.AuditID(len(s.audit) + 1)
	s.audit = append(s.audit, engine.AuditEvent{ID: id, Link: l.ID, Action: action, Key: by.Key, RequestID: by.RequestID, Before: before, After: l.State(), At: by.At})
	return engine.Change{ID: id, Link: l.ID, Key: l.Key(), Version: l.Version, Origin: by.Origin}
}

func (s *fakeStore) insert(l engine.Link, action engine.AuditAction, by engine.Author) (engine.Link, engine.Change) {
	l.ID, l.Version, l.CreatedAt, l.UpdatedAt = engine.LinkID(len(s.links)+1), 1, by.At.Add(time.Duration(len(s.links))*time.Second), by.At
	s.links = append(s.links, l)
	return l, s.log(&l, nil, action, by)
}

func (s *fakeStore) LoadLinks(context.Context, []engine.Key) ([]engine.Link, error) {
	return nil, s.err
}

func (s *fakeStore) CreateLink(_ context.Context, l engine.Link, by engine.Author, idem *engine.Idempotency) (engine.Link, engine.Change, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return engine.Link{}, engine.Change{}, s.err
	}
	if idem != nil {
		if e, ok := s.idem[idem.Key]; ok {
			if e.digest != idem.Digest {
				return engine.Link{}, engine.Change{}, &engine.FieldError{Field: "Idempotency-Key", Detail: "was used for another request"}
			}
			return *s.find(e.link), engine.Change{}, nil
		}
	}
	if s.taken > 0 || s.byCode(l.Code) != nil {
		s.taken--
		return engine.Link{}, engine.Change{}, engine.Errorf(engine.CodeConflict, "the code %q is taken", l.Code)
	}
	made, change := s.insert(l, engine.ActionCreated, by)
	if idem != nil {
		s.idem[idem.Key] = idemEntry{idem.Digest, made.ID}
	}
	return made, change, nil
}

func (s *fakeStore) UpdateLink(_ context.Context, id engine.LinkID, action engine.AuditAction, by engine.Author, edit func(*engine.Link) error) (engine.Link, engine.Change, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return engine.Link{}, engine.Change{}, s.err
	}
	l := s.find(id)
	if l == nil {
		return engine.Link{}, engine.Change{}, noLink(id)
	}
	if _, _, err := l.Edited(edit, by.At); err != nil {
		return engine.Link{}, engine.Change{}, err
	}
	after, changed, err := l.Edited(edit, by.At) // run twice, as a store may
	if err != nil || !changed {
		return after, engine.Change{}, err
	}
	before := l.State()
	*l = after
	return after, s.log(&after, before, action, by), nil
}

func noLink(id engine.LinkID) error {
	return engine.Errorf(engine.CodeNotFound, "there is no link %d", id)
}

func (s *fakeStore) Link(_ context.Context, id engine.LinkID) (engine.Link, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return engine.Link{}, s.err
	}
	if l := s.find(id); l != nil {
		return *l, nil
	}
	return engine.Link{}, noLink(id)
}

func (s *fakeStore) ListLinks(_ context.Context, q engine.LinkQuery) (engine.LinkPage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return engine.LinkPage{}, s.err
	}
	compare := func(a, b engine.Link) int {
		switch q.Sort {
		case engine.SortOldest:
			return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
		case engine.SortCode:
			return cmp.Or(cmp.Compare(a.Code, b.Code), cmp.Compare(a.ID, b.ID))
		case engine.SortUpdated:
			return cmp.Or(b.UpdatedAt.Compare(a.UpdatedAt), cmp.Compare(b.ID, a.ID))
		}
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.ID, a.ID))
	}
	all := slices.Clone(s.links)
	slices.SortFunc(all, compare)
	var p engine.LinkPage
	for _, l := range all {
		if q.Code != "" && l.Code != q.Code || q.Active != nil && l.Active != *q.Active || !strings.Contains(l.Target+l.Title, q.Search) {
			continue
		}
		p.Total++
		if q.After != nil && compare(l, engine.Link{ID: q.After.ID, Code: q.After.Code, CreatedAt: q.After.Time, UpdatedAt: q.After.Time}) <= 0 {
			continue
		}
		if len(p.Links) == q.Limit {
			p.More = true
			continue
		}
		p.Links = append(p.Links, l)
	}
	return p, nil
}

func (s *fakeStore) LinkAudit(_ context.Context, id engine.LinkID, after engine.AuditID, limit int) ([]engine.AuditEvent, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	if s.find(id) == nil {
		return nil, noLink(id)
	}
	var events []engine.AuditEvent
	for _, e := range s.audit {
		if e.Link == id && e.ID > after && len(events) < limit {
			events = append(events, e)
		}
	}
	return events, nil
}

func (s *fakeStore) ImportLinks(_ context.Context, links []engine.Link, conflict engine.OnConflict, by engine.Author) ([]engine.ImportResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	if s.imports--; s.importErr != nil && s.imports < 0 {
		return nil, s.importErr
	}
	results := make([]engine.ImportResult, len(links))
	refused := false
	for i, l := range links {
		if o := s.byCode(l.Code); o != nil && conflict == engine.ConflictError && !o.Same(&l) {
			results[i].Outcome, refused = engine.ImportConflict, true
		}
	}
	if refused {
		return results, nil
	}
	for i, l := range links {
		o := s.byCode(l.Code)
		switch {
		case s.taken > 0:
			s.taken--
			results[i].Outcome = engine.ImportSkipped
		case o == nil:
			made, change := s.insert(l, engine.ActionImported, by)
			results[i] = engine.ImportResult{Outcome: engine.ImportCreated, ID: made.ID, Change: change}
		case o.Same(&l):
			results[i] = engine.ImportResult{Outcome: engine.ImportUnchanged, ID: o.ID}
		case conflict == engine.ConflictOverwrite:
			o.Target = l.Target
			o.Version++
			results[i] = engine.ImportResult{Outcome: engine.ImportUpdated, ID: o.ID, Change: s.log(o, nil, engine.ActionImported, by)}
		default:
			results[i] = engine.ImportResult{Outcome: engine.ImportSkipped, ID: o.ID}
		}
	}
	return results, nil
}

func (s *fakeStore) ChangesSince(context.Context, engine.AuditID, int) ([]engine.Change, error) {
	return nil, s.err
}
func (s *fakeStore) LastChange(context.Context) (engine.AuditID, error) { return 0, s.err }

func (s *fakeStore) CreateKey(_ context.Context, k engine.APIKey) (engine.APIKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return engine.APIKey{}, s.err
	}
	k.ID = engine.KeyID(len(s.keys) + 1)
	s.keys = append(s.keys, k)
	return k, nil
}

func (s *fakeStore) KeyByHash(_ context.Context, hash [32]byte) (engine.APIKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lookups++
	if s.err != nil {
		return engine.APIKey{}, s.err
	}
	for _, k := range s.keys {
		if k.Matches(hash) {
			return k, nil
		}
	}
	return engine.APIKey{}, engine.Errorf(engine.CodeNotFound, "no such key")
}

func (s *fakeStore) ListKeys(context.Context) ([]engine.APIKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.keys), s.err
}

func (s *fakeStore) RevokeKey(_ context.Context, id engine.KeyID, at time.Time) (engine.APIKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return engine.APIKey{}, s.err
	}
	if id > engine.KeyID(len(s.keys)) {
		return engine.APIKey{}, engine.Errorf(engine.CodeNotFound, "there is no key %d", id)
	}
	s.keys[id-1].RevokedAt = at
	return s.keys[id-1], nil
}

func (s *fakeStore) TouchKey(_ context.Context, id engine.KeyID, _ time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.touched = append(s.touched, id)
	return s.err
}

func (s *fakeStore) Clicks(_ context.Context, q engine.ClickQuery) ([]engine.StoredClick, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	if q.Link != 0 && s.find(q.Link) == nil {
		return nil, noLink(q.Link)
	}
	var found []engine.StoredClick
	for _, c := range s.clicks {
		in := (q.From.IsZero() || !c.Time().Before(q.From)) && (q.To.IsZero() || c.Time().Before(q.To))
		if c.ID > q.After && (q.Link == 0 || c.Link == q.Link) && in && len(found) < q.Limit {
			found = append(found, c)
		}
	}
	return found, nil
}

func (s *fakeStore) Stats(_ context.Context, q engine.StatsQuery) (engine.Stats, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats = q
	if s.err != nil {
		return engine.Stats{}, s.err
	}
	if s.find(q.Link) == nil {
		return engine.Stats{}, noLink(q.Link)
	}
	series := s.series
	if series == nil {
		series = []engine.StatsPoint{{Start: time.Unix(3600, 0), Clicks: 3}}
	}
	return engine.Stats{
		Clicks: 3, Visits: 2, Series: series,
		Referrers: []engine.StatsValue{{Value: "news.example", Clicks: 2}, {Value: "", Clicks: 1}},
	}, nil
}

// fakeAnnouncer remembers what was announced.
type fakeAnnouncer struct {
	mu      sync.Mutex
	changes []engine.Change
}

func (f *fakeAnnouncer) Announce(_ context.Context, _ engine.Link, c engine.Change) engine.Propagation {
	return f.AnnounceMany(context.Background(), []engine.Change{c})
}

func (f *fakeAnnouncer) AnnounceMany(_ context.Context, changes []engine.Change) engine.Propagation {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range changes {
		if c.ID != 0 {
			f.changes = append(f.changes, c)
		}
	}
	return engine.Propagation{Applied: 2, Live: 3}
}
