package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

func linkRules() []rule {
	return []rule{
		{"a created link reads back as it was given, times to the microsecond", func(t *testing.T, s engine.Store) {
			in := link("Full_1-x")
			in.Title, in.RedirectStatus, in.ForwardQuery, in.MaxVisits = "Größe, 日本語, 🎱 'quoted' \\ %", 308, true, engine.MaxVisitsMax
			in.ValidSince = epoch.Add(-time.Hour + 123456789*time.Nanosecond).In(time.FixedZone("", 3600))
			in.ValidUntil = time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC)
			in.Target += strings.Repeat("x", engine.TargetMaxLen-len(in.Target))
			in.ID, in.Version, in.Clicks, in.CreatedAt, in.UpdatedAt = 99, 9, 9, epoch.Add(9), epoch.Add(9)
			got, change, err := s.CreateLink(t.Context(), in, author(1234567*time.Nanosecond), nil)
			must(t, err)
			want := in
			want.ID, want.Version, want.Clicks = got.ID, 1, 0
			want.CreatedAt, want.UpdatedAt = epoch.Add(1234*time.Microsecond), epoch.Add(1234*time.Microsecond)
			want.Normalize()
			wantLink(t, "CreateLink", got, want)
			wantStored(t, s, want)
			if wantChange := (engine.Change{ID: lastChange(t, s), Link: got.ID, Key: got.Key(), Version: 1, Origin: nodeA, At: got.CreatedAt.UnixMicro()}); change != wantChange {
				t.Errorf("CreateLink: change = %+v, want %+v", change, wantChange)
			}
		}},
		{"unset fields stay unset, and the second moment of 1970 is not unset", func(t *testing.T, s engine.Store) {
			l := link("plain")
			l.Title, l.Active = "", false
			wantStored(t, s, create(t, s, l))
			l = link("old")
			l.ValidSince = time.UnixMicro(1).UTC()
			wantStored(t, s, create(t, s, l))
			l = link("older")
			l.ValidSince = time.UnixMicro(0).UTC() // what the stores and the published tables call unset
			_, _, err := s.CreateLink(t.Context(), l, author(0), nil)
			wantCode(t, "CreateLink valid since the first moment of 1970", err, engine.CodeInvalid)
		}},
		{"codes differ by case", func(t *testing.T, s engine.Store) {
			lower, upper := create(t, s, link("case")), create(t, s, link("CASE"))
			wantStored(t, s, lower)
			wantStored(t, s, upper)
		}},
		{"a taken code is a conflict, also of an inactive link, and writes nothing", func(t *testing.T, s engine.Store) {
			first := create(t, s, link("taken"))
			first = update(t, s, first.ID, func(l *engine.Link) { l.Active = false })
			before := lastChange(t, s)
			_, change, err := s.CreateLink(t.Context(), link("taken"), author(0), nil)
			wantCode(t, "CreateLink of a taken code", err, engine.CodeConflict)
			if last := lastChange(t, s); last != before || change.ID != 0 {
				t.Errorf("CreateLink of a taken code: change %d, end of the log %d, want 0, %d", change.ID, last, before)
			}
			wantStored(t, s, first)
		}},
		{"of parallel creations of one code one wins", func(t *testing.T, s engine.Store) {
			const n = 12
			errs := make([]error, n)
			parallel(n, func(i int) { _, _, errs[i] = s.CreateLink(t.Context(), link("race"), author(0), nil) })
			won := 0
			for _, err := range errs {
				if err == nil {
					won++
					continue
				}
				wantCode(t, "CreateLink", err, engine.CodeConflict)
			}
			if won != 1 {
				t.Errorf("%d of %d parallel creations of one code succeeded, want 1", won, n)
			}
		}},
		{"a link that is not valid, or of a domain that is not known, is refused", func(t *testing.T, s engine.Store) {
			for _, spoil := range []func(*engine.Link){
				func(l *engine.Link) { l.Code = "" },
				func(l *engine.Link) { l.RedirectStatus = 200 },
				func(l *engine.Link) { l.Title = "nul\x00" },
				func(l *engine.Link) { l.MaxVisits = -1 },
				func(l *engine.Link) { l.Domain = 4711 },
			} {
				l := link("bad")
				spoil(&l)
				_, _, err := s.CreateLink(t.Context(), l, author(0), nil)
				wantCode(t, fmt.Sprintf("CreateLink(%+v)", l), err, engine.CodeInvalid)
			}
			if last := lastChange(t, s); last != 0 {
				t.Errorf("LastChange() = %d after refused links, want 0", last)
			}
		}},
		{"loading returns the links that exist and no other", func(t *testing.T, s engine.Store) {
			want := map[string]engine.Link{}
			keys := []engine.Key{key("missing"), {Domain: 4711, Code: "l1"}, key("L1")}
			for i := range 250 {
				given := link(fmt.Sprint("l", i))
				if i%2 == 0 {
					given.ValidSince, given.ValidUntil, given.MaxVisits = epoch.Add(time.Duration(i)*time.Second), epoch.Add(time.Hour), int64(i)
					given.RedirectStatus, given.ForwardQuery = 308, true
				}
				l := create(t, s, given)
				want[l.Code] = l
				keys = append(keys, l.Key())
			}
			for i := range 3000 {
				keys = append(keys, key(fmt.Sprint("none", i)))
			}
			got, err := s.LoadLinks(t.Context(), keys)
			must(t, err)
			if len(got) != len(want) {
				t.Fatalf("LoadLinks returned %d links, want %d", len(got), len(want))
			}
			for _, l := range got {
				wantLoaded(t, "LoadLinks", l, want[l.Code])
			}
			one, err := s.LoadLinks(t.Context(), []engine.Key{key("l7")})
			must(t, err)
			if len(one) != 1 {
				t.Fatalf("LoadLinks of one key returned %d links, want 1", len(one))
			}
			wantLoaded(t, "LoadLinks of one key", one[0], want["l7"])
			for _, none := range [][]engine.Key{nil, {}, {key("missing")}, {{Domain: 4711, Code: "l1"}}, {key("a\x00b'\xff"), key("\"]")}} {
				if got, err := s.LoadLinks(t.Context(), none); err != nil || len(got) != 0 {
					t.Errorf("LoadLinks(%+v) = %v, %v, want none", none, got, err)
				}
			}
		}},
		{"a link that does not exist is not found", func(t *testing.T, s engine.Store) {
			_, err := s.Link(t.Context(), 4711)
			wantCode(t, "Link", err, engine.CodeNotFound)
			_, _, err = s.UpdateLink(t.Context(), 4711, engine.ActionUpdated, author(0), func(*engine.Link) error { return nil })
			wantCode(t, "UpdateLink", err, engine.CodeNotFound)
		}},
		{"an update stores the next version", func(t *testing.T, s engine.Store) {
			l := create(t, s, link("edit"))
			got, change, err := s.UpdateLink(t.Context(), l.ID, engine.ActionUpdated, author(time.Minute), func(l *engine.Link) error {
				l.Target, l.Title, l.Active, l.RedirectStatus = "https://example.org/", "", false, 301
				l.ValidSince, l.ValidUntil, l.MaxVisits, l.ForwardQuery = epoch, epoch.Add(time.Hour+1), 3, true
				return nil
			})
			must(t, err)
			want := l
			want.Target, want.Title, want.Active, want.RedirectStatus = "https://example.org/", "", false, 301
			want.ValidSince, want.ValidUntil, want.MaxVisits, want.ForwardQuery = epoch, epoch.Add(time.Hour), 3, true
			want.Version, want.UpdatedAt = 2, epoch.Add(time.Minute)
			wantLink(t, "UpdateLink", got, want)
			wantStored(t, s, want)
			if wantChange := (engine.Change{ID: lastChange(t, s), Link: l.ID, Key: l.Key(), Version: 2, Origin: nodeA, At: want.UpdatedAt.UnixMicro()}); change != wantChange {
				t.Errorf("UpdateLink: change = %+v, want %+v", change, wantChange)
			}
			cleared := update(t, s, l.ID, func(l *engine.Link) { l.ValidSince, l.ValidUntil, l.MaxVisits = time.Time{}, time.Time{}, 0 })
			if cleared.MaxVisits != 0 || !cleared.ValidSince.IsZero() || !cleared.ValidUntil.IsZero() {
				t.Errorf("UpdateLink to unset fields = %+v", cleared)
			}
			wantStored(t, s, cleared)
		}},
		{"an edit that changes nothing, or only what it can't change, writes nothing", func(t *testing.T, s engine.Store) {
			l := create(t, s, link("same"))
			before := lastChange(t, s)
			got, change, err := s.UpdateLink(t.Context(), l.ID, engine.ActionUpdated, author(time.Minute), func(l *engine.Link) error {
				l.ID, l.Domain, l.Version, l.Clicks, l.CreatedAt, l.UpdatedAt = 1000, 9, 9, 9, epoch.Add(9e9), epoch.Add(9e9)
				return nil
			})
			must(t, err)
			wantLink(t, "UpdateLink", got, l)
			wantStored(t, s, l)
			if last := lastChange(t, s); change.ID != 0 || last != before {
				t.Errorf("UpdateLink: change %d, end of the log %d, want 0, %d", change.ID, last, before)
			}
		}},
		{"an edit's error is returned as it is and nothing is stored", func(t *testing.T, s engine.Store) {
			l := create(t, s, link("fails"))
			refusal := errors.New("not today")
			_, _, err := s.UpdateLink(t.Context(), l.ID, engine.ActionUpdated, author(0), func(l *engine.Link) error {
				l.Title = "changed"
				return refusal
			})
			if err != refusal { //nolint:errorlint // the very value is promised
				t.Errorf("UpdateLink = %v, want the edit's own error", err)
			}
			_, _, err = s.UpdateLink(t.Context(), l.ID, engine.ActionUpdated, author(0), func(l *engine.Link) error {
				l.RedirectStatus = 999
				return nil
			})
			wantCode(t, "UpdateLink to what is not valid", err, engine.CodeInvalid)
			wantStored(t, s, l)
		}},
		{"a code belongs to its link for ever", func(t *testing.T, s engine.Store) {
			l := create(t, s, link("from"))
			_, _, err := s.UpdateLink(t.Context(), l.ID, engine.ActionUpdated, author(time.Hour), func(l *engine.Link) error {
				l.Code, l.Title = "to", "changed"
				return nil
			})
			wantCode(t, "UpdateLink to another code", err, engine.CodeInvalid)
			wantStored(t, s, l)
		}},
		{"parallel updates are all in force, one version each", func(t *testing.T, s engine.Store) {
			const n = 12
			l := create(t, s, link("busy"))
			errs := make([]error, n)
			parallel(n, func(i int) {
				_, _, errs[i] = s.UpdateLink(t.Context(), l.ID, engine.ActionUpdated, author(0), func(l *engine.Link) error {
					l.Title += "x"
					return nil
				})
			})
			must(t, errors.Join(errs...))
			got, err := s.Link(t.Context(), l.ID)
			must(t, err)
			if got.Title != l.Title+strings.Repeat("x", n) || got.Version != n+1 {
				t.Errorf("after %d updates: title %q, version %d, want %d more x, version %d", n, got.Title, got.Version, n, n+1)
			}
		}},
	}
}

// parallel runs fn n times at once and waits.
func parallel(n int, fn func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { fn(i) })
	}
	wg.Wait()
}

// wantStored wants both ways of reading to give want.
func wantStored(t *testing.T, s engine.Store, want engine.Link) {
	t.Helper()
	got, err := s.Link(t.Context(), want.ID)
	must(t, err)
	wantLink(t, "Link", got, want)
	loaded, err := s.LoadLinks(t.Context(), []engine.Key{want.Key()})
	must(t, err)
	if len(loaded) != 1 {
		t.Fatalf("LoadLinks(%q) returned %d links, want 1", want.Code, len(loaded))
	}
	wantLoaded(t, "LoadLinks", loaded[0], want)
}

// wantLoaded compares what tables publish, and leaves out what a load may leave out.
func wantLoaded(t *testing.T, call string, got, want engine.Link) {
	t.Helper()
	for _, l := range []*engine.Link{&got, &want} {
		l.Title, l.CreatedAt, l.UpdatedAt, l.Clicks = "", time.Time{}, time.Time{}, 0
	}
	wantLink(t, call, got, want)
}

func wantLink(t *testing.T, call string, got, want engine.Link) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s\n got %+v\nwant %+v", call, got, want)
	}
}
