package storetest

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

func historyRules() []rule {
	return []rule{
		{"each change is an event with who, when, before and after", func(t *testing.T, s engine.Store) {
			in := link("told")
			in.MaxVisits, in.ValidSince = 5, epoch
			made, _, err := s.CreateLink(t.Context(), in, author(0), nil)
			must(t, err)
			create(t, s, link("other"))
			by := engine.Author{Key: 8, RequestID: "request-2", Origin: nodeB, At: epoch.Add(time.Hour)}
			changed, _, err := s.UpdateLink(t.Context(), made.ID, engine.ActionDeactivated, by, func(l *engine.Link) error {
				l.Active, l.MaxVisits, l.ValidUntil = false, 0, epoch.Add(time.Hour)
				return nil
			})
			must(t, err)
			got, err := s.LinkAudit(t.Context(), made.ID, 0, 100)
			must(t, err)
			want := []engine.AuditEvent{
				{ID: 1, Link: made.ID, Action: engine.ActionCreated, Key: 7, RequestID: "request-1", After: made.State(), At: epoch},
				{ID: 3, Link: made.ID, Action: engine.ActionDeactivated, Key: 8, RequestID: "request-2", Before: made.State(), After: changed.State(), At: by.At},
			}
			if len(got) == 2 { // numbers may have gaps
				want[0].ID, want[1].ID = got[0].ID, got[1].ID
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("LinkAudit\n got %+v\nwant %+v", got, want)
			}
		}},
		{"the command line is author 0 without a request", func(t *testing.T, s engine.Store) {
			l, _, err := s.CreateLink(t.Context(), link("cli"), engine.Author{At: epoch}, nil)
			must(t, err)
			got, err := s.LinkAudit(t.Context(), l.ID, 0, 1)
			must(t, err)
			if len(got) != 1 || got[0].Key != 0 || got[0].RequestID != "" {
				t.Errorf("LinkAudit = %+v, want one event without key and request", got)
			}
		}},
		{"a history is read in pages, oldest first", func(t *testing.T, s engine.Store) {
			l := create(t, s, link("long"))
			for i := range 6 {
				update(t, s, l.ID, func(l *engine.Link) { l.Title = fmt.Sprint("title ", i) })
			}
			var versions []uint64
			after := engine.AuditID(0)
			for {
				page, err := s.LinkAudit(t.Context(), l.ID, after, 3)
				must(t, err)
				if len(page) == 0 {
					break
				}
				if len(page) > 3 {
					t.Fatalf("LinkAudit with limit 3 returned %d events", len(page))
				}
				for _, e := range page {
					versions = append(versions, e.After.Version)
				}
				after = page[len(page)-1].ID
			}
			if want := []uint64{1, 2, 3, 4, 5, 6, 7}; !slices.Equal(versions, want) {
				t.Errorf("versions in pages = %v, want %v", versions, want)
			}
		}},
		{"the history of no link is not found", func(t *testing.T, s engine.Store) {
			_, err := s.LinkAudit(t.Context(), 4711, 0, 10)
			wantCode(t, "LinkAudit", err, engine.CodeNotFound)
		}},
		{"the change log has every change in order", func(t *testing.T, s engine.Store) {
			if last := lastChange(t, s); last != 0 {
				t.Errorf("LastChange() of an empty log = %d, want 0", last)
			}
			l, created, err := s.CreateLink(t.Context(), link("a"), author(0), nil)
			must(t, err)
			_, updated, err := s.UpdateLink(t.Context(), l.ID, engine.ActionUpdated, author(0), func(l *engine.Link) error {
				l.Title = "changed"
				return nil
			})
			must(t, err)
			imported, err := s.ImportLinks(t.Context(), []engine.Link{link("b"), link("c")}, engine.ConflictError, author(0))
			must(t, err)
			want := []engine.Change{created, updated, imported[0].Change, imported[1].Change}
			got, err := s.ChangesSince(t.Context(), 0, 100)
			must(t, err)
			if !slices.Equal(got, want) {
				t.Errorf("ChangesSince(0)\n got %+v\nwant %+v", got, want)
			}
			if got, err = s.ChangesSince(t.Context(), created.ID, 2); err != nil || !slices.Equal(got, want[1:3]) {
				t.Errorf("ChangesSince(%d) of 2 = %+v, %v, want %+v", created.ID, got, err, want[1:3])
			}
			last := lastChange(t, s)
			if got, err = s.ChangesSince(t.Context(), last, 10); err != nil || len(got) != 0 || last != want[3].ID {
				t.Errorf("ChangesSince(%d) = %+v, %v, want none after %d", last, got, err, want[3].ID)
			}
		}},
		{"a reader that follows the log beside parallel writers misses nothing", proveFollow},
	}
}

// proveFollow reads the log from its own last position while others write. An event that became visible after a later one
// would be passed over.
func proveFollow(t *testing.T, s engine.Store) {
	const writers, each = 6, 15
	done := make(chan struct{})
	go func() {
		defer close(done)
		parallel(writers, func(w int) {
			for i := range each {
				if _, _, err := s.CreateLink(t.Context(), link(fmt.Sprintf("w%d-%d", w, i)), author(0), nil); err != nil {
					t.Errorf("CreateLink: %v", err)
				}
			}
		})
	}()
	seen := map[string]bool{}
	var after engine.AuditID
	read := func() bool {
		changes, err := s.ChangesSince(t.Context(), after, 7)
		must(t, err)
		for _, c := range changes {
			if c.ID <= after {
				t.Fatalf("ChangesSince returned event %d after event %d", c.ID, after)
			}
			after = c.ID
			seen[c.Key.Code] = true
		}
		return len(changes) > 0
	}
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
			read()
		}
	}
	for read() { // drains what is left
	}
	if len(seen) != writers*each {
		t.Errorf("the reader saw %d changes, want %d", len(seen), writers*each)
	}
}
