package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

func idempotencyRules() []rule {
	once := func(key string, digest byte) *engine.Idempotency {
		return &engine.Idempotency{Key: key, Digest: [32]byte{digest}}
	}
	return []rule{
		{"a repeat returns the first link and changes nothing", func(t *testing.T, s engine.Store) {
			first, change, err := s.CreateLink(t.Context(), link("first"), author(0), once("k", 1))
			must(t, err)
			if change.ID == 0 {
				t.Error("the first creation has change 0")
			}
			again, change, err := s.CreateLink(t.Context(), link("second"), author(engine.IdempotencyTTL-time.Microsecond), once("k", 1))
			must(t, err)
			wantLink(t, "the repeat", again, first)
			if last := lastChange(t, s); change.ID != 0 || last != 1 {
				t.Errorf("the repeat: change %d, end of the log %d, want 0, 1", change.ID, last)
			}
		}},
		{"another digest under the same key is refused", func(t *testing.T, s engine.Store) {
			_, _, err := s.CreateLink(t.Context(), link("first"), author(0), once("k", 1))
			must(t, err)
			_, _, err = s.CreateLink(t.Context(), link("second"), author(0), once("k", 2))
			wantCode(t, "CreateLink with another digest", err, engine.CodeInvalid)
		}},
		{"keys are of their author", func(t *testing.T, s engine.Store) {
			_, _, err := s.CreateLink(t.Context(), link("first"), author(0), once("k", 1))
			must(t, err)
			other := author(0)
			other.Key++
			l, change, err := s.CreateLink(t.Context(), link("second"), other, once("k", 1))
			must(t, err)
			if change.ID == 0 || l.Code != "second" {
				t.Errorf("another author's key gave link %q, change %d, want a new link", l.Code, change.ID)
			}
		}},
		{"after its time a key is new", func(t *testing.T, s engine.Store) {
			_, _, err := s.CreateLink(t.Context(), link("first"), author(0), once("k", 1))
			must(t, err)
			l, change, err := s.CreateLink(t.Context(), link("second"), author(engine.IdempotencyTTL), once("k", 2))
			must(t, err)
			if change.ID == 0 || l.Code != "second" {
				t.Errorf("after the time: link %q, change %d, want a new link", l.Code, change.ID)
			}
		}},
		{"a creation that failed is not remembered", func(t *testing.T, s engine.Store) {
			create(t, s, link("taken"))
			_, _, err := s.CreateLink(t.Context(), link("taken"), author(0), once("k", 1))
			wantCode(t, "CreateLink", err, engine.CodeConflict)
			_, change, err := s.CreateLink(t.Context(), link("free"), author(0), once("k", 2))
			must(t, err)
			if change.ID == 0 {
				t.Error("the key of a failed creation was remembered")
			}
		}},
		{"parallel repeats make one link", func(t *testing.T, s engine.Store) {
			const n = 8
			links, changes, errs := make([]engine.Link, n), make([]engine.Change, n), make([]error, n)
			parallel(n, func(i int) {
				links[i], changes[i], errs[i] = s.CreateLink(t.Context(), link("p"+string(rune('a'+i))), author(0), once("k", 1))
			})
			must(t, errors.Join(errs...))
			made := 0
			for i, l := range links {
				if changes[i].ID != 0 {
					made++
				}
				wantLink(t, "a parallel repeat", l, links[0])
			}
			if made != 1 {
				t.Errorf("%d links were made, want 1", made)
			}
		}},
	}
}
