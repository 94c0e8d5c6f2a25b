package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

func importRules() []rule {
	return []rule{
		{"new links are stored, in order, and a second run changes nothing", func(t *testing.T, s engine.Store) {
			links := make([]engine.Link, 1300)
			for i := range links {
				links[i] = link(fmt.Sprint("import", i))
				links[i].ValidUntil = epoch.Add(time.Hour + 1)
			}
			first := importLinks(t, s, links, engine.ConflictError, engine.ImportCreated)
			for i, r := range first {
				if r.Change.ID == 0 || r.Change.Link != r.ID || r.Change.Key != links[i].Key() || r.Change.Version != 1 || r.Change.Origin != nodeA {
					t.Fatalf("ImportLinks: result %d = %+v for %q", i, r, links[i].Code)
				}
				if i > 0 && r.Change.ID <= first[i-1].Change.ID {
					t.Fatalf("ImportLinks: change %d after change %d", r.Change.ID, first[i-1].Change.ID)
				}
			}
			want := links[1299]
			want.ID, want.Version, want.CreatedAt, want.UpdatedAt = first[1299].ID, 1, epoch, epoch
			want.Normalize()
			wantStored(t, s, want)
			last := lastChange(t, s)
			for _, conflict := range []engine.OnConflict{engine.ConflictSkip, engine.ConflictOverwrite, engine.ConflictError} {
				for i, r := range importLinks(t, s, links, conflict, engine.ImportUnchanged) {
					if r.ID != first[i].ID || r.Change != (engine.Change{}) {
						t.Fatalf("ImportLinks again: result %d = %+v, want link %d without a change", i, r, first[i].ID)
					}
				}
			}
			if now := lastChange(t, s); now != last {
				t.Errorf("the log ends at %d after repeats, want %d", now, last)
			}
		}},
		{"skip leaves what is there", func(t *testing.T, s engine.Store) {
			there := create(t, s, link("there"))
			other := link("there")
			other.Target = "https://example.org/other"
			got := importLinks(t, s, []engine.Link{other, link("new")}, engine.ConflictSkip, engine.ImportSkipped, engine.ImportCreated)
			if got[0].ID != there.ID || got[0].Change.ID != 0 {
				t.Errorf("ImportLinks: skipped = %+v, want link %d without a change", got[0], there.ID)
			}
			wantStored(t, s, there)
		}},
		{"overwrite stores the next version and says what was before", func(t *testing.T, s engine.Store) {
			there := create(t, s, link("there"))
			other := engine.Link{Domain: engine.DefaultDomain, Code: "there", Target: "https://example.org/other", RedirectStatus: 301, MaxVisits: 9}
			results, err := s.ImportLinks(t.Context(), []engine.Link{link("new"), other}, engine.ConflictOverwrite, author(time.Hour))
			must(t, err)
			wantOutcomes(t, results, engine.ImportCreated, engine.ImportUpdated)
			want := other
			want.ID, want.Version, want.CreatedAt, want.UpdatedAt = there.ID, 2, there.CreatedAt, epoch.Add(time.Hour)
			wantStored(t, s, want)
			events, err := s.LinkAudit(t.Context(), there.ID, 0, 10)
			must(t, err)
			if len(events) != 2 || events[1].Action != engine.ActionImported || events[1].ID != results[1].Change.ID ||
				events[1].Before == nil || events[1].Before.Target != there.Target || events[1].After.Target != other.Target {
				t.Errorf("LinkAudit = %+v, want a creation and an import", events)
			}
		}},
		{"error stores nothing of a batch with a conflict, and tells which", func(t *testing.T, s engine.Store) {
			there, same := create(t, s, link("there")), create(t, s, link("same"))
			last := lastChange(t, s)
			other := link("there")
			other.Title = "other"
			results := importLinks(t, s, []engine.Link{link("n1"), other, link("same"), link("n2")}, engine.ConflictError,
				engine.ImportCreated, engine.ImportConflict, engine.ImportUnchanged, engine.ImportCreated)
			for i, want := range []engine.LinkID{0, there.ID, same.ID, 0} {
				if results[i].ID != want || results[i].Change != (engine.Change{}) {
					t.Errorf("ImportLinks: result %d = %+v, want link %d without a change", i, results[i], want)
				}
			}
			if left, err := s.LoadLinks(t.Context(), []engine.Key{key("n1"), key("n2")}); err != nil || len(left) != 0 || lastChange(t, s) != last {
				t.Errorf("after a conflict: new links %v, %v, want none, and no change", left, err)
			}
			wantStored(t, s, there)
		}},
		{"the same code twice in a batch is a conflict of the second with the first", func(t *testing.T, s engine.Store) {
			first, second := link("twice"), link("twice")
			second.Title = "second"
			r := importLinks(t, s, []engine.Link{first, second, first}, engine.ConflictSkip, engine.ImportCreated, engine.ImportSkipped, engine.ImportUnchanged)
			if r[1].ID != r[0].ID || r[2].ID != r[0].ID {
				t.Errorf("ImportLinks: ids %d, %d, %d, want one", r[0].ID, r[1].ID, r[2].ID)
			}
			first.Code, second.Code = "two", "two"
			r = importLinks(t, s, []engine.Link{first, second, second}, engine.ConflictOverwrite, engine.ImportCreated, engine.ImportUpdated, engine.ImportUnchanged)
			want := second
			want.ID, want.Version, want.CreatedAt, want.UpdatedAt = r[0].ID, 2, epoch, epoch
			wantStored(t, s, want)
			if events, err := s.LinkAudit(t.Context(), r[0].ID, 0, 10); err != nil || len(events) != 2 || events[0].Before != nil || events[1].Before == nil {
				t.Errorf("LinkAudit = %+v, %v, want a creation and an update", events, err)
			}
			first.Code, second.Code = "three", "three"
			importLinks(t, s, []engine.Link{first, second}, engine.ConflictError, engine.ImportCreated, engine.ImportConflict)
			if left, err := s.LoadLinks(t.Context(), []engine.Key{key("three")}); err != nil || len(left) != 0 {
				t.Errorf("after a conflict within the batch: %v, %v, want none", left, err)
			}
		}},
		{"codes that differ by case are no conflict", func(t *testing.T, s engine.Store) {
			importLinks(t, s, []engine.Link{link("ab"), link("aB"), link("AB")}, engine.ConflictError,
				engine.ImportCreated, engine.ImportCreated, engine.ImportCreated)
		}},
		{"a link that is not valid refuses the batch, and an empty batch is fine", func(t *testing.T, s engine.Store) {
			bad, lost := link("bad"), link("lost")
			bad.RedirectStatus, lost.Domain = 1, 4711
			for _, l := range []engine.Link{bad, lost} {
				_, err := s.ImportLinks(t.Context(), []engine.Link{link("good"), l}, engine.ConflictSkip, author(0))
				wantCode(t, "ImportLinks", err, engine.CodeInvalid)
			}
			results, err := s.ImportLinks(t.Context(), nil, engine.ConflictSkip, author(0))
			if err != nil || len(results) != 0 || lastChange(t, s) != 0 {
				t.Errorf("ImportLinks of nothing = %v, %v, want nothing", results, err)
			}
		}},
		{"parallel imports of the same links make each once", func(t *testing.T, s engine.Store) {
			links := make([]engine.Link, 100)
			for i := range links {
				links[i] = link(fmt.Sprint("p", i))
			}
			made := make([]int, 4)
			parallel(len(made), func(i int) {
				mine := slices.Clone(links)
				if i%2 == 1 {
					slices.Reverse(mine)
				}
				results, err := s.ImportLinks(t.Context(), mine, engine.ConflictOverwrite, author(0))
				if err != nil {
					t.Errorf("ImportLinks: %v", err)
				}
				for _, r := range results {
					if r.Outcome == engine.ImportCreated {
						made[i]++
					}
				}
			})
			if total := made[0] + made[1] + made[2] + made[3]; total != len(links) {
				t.Errorf("%d links were made, want %d", total, len(links))
			}
		}},
	}
}

// importLinks imports and wants the outcomes; one outcome stands for all.
func importLinks(t *testing.T, s engine.Store, links []engine.Link, conflict engine.OnConflict, want ...engine.ImportOutcome) []engine.ImportResult {
	t.Helper()
	results, err := s.ImportLinks(t.Context(), links, conflict, author(0))
	must(t, err)
	if len(want) == 1 {
		want = slices.Repeat(want, len(links))
	}
	wantOutcomes(t, results, want...)
	return results
}

func wantOutcomes(t *testing.T, results []engine.ImportResult, want ...engine.ImportOutcome) {
	t.Helper()
	if len(results) != len(want) {
		t.Fatalf("ImportLinks returned %d results, want %d", len(results), len(want))
	}
	for i, r := range results {
		if r.Outcome != want[i] {
			t.Fatalf("ImportLinks: outcome %d = %d, want %d", i, r.Outcome, want[i])
		}
	}
}
