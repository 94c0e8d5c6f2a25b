package storetest

import (
	"crypto/sha256"
	"reflect"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

func apiKey(name string) engine.APIKey {
	return engine.APIKey{
		Name: name, Prefix: "carom_abc", Hash: sha256.Sum256([]byte(name)), Scopes: []engine.Scope{engine.ScopeLinksRead, engine.ScopeStatsRead},
		CreatedAt: epoch.Add(1234 * time.Microsecond), ExpiresAt: epoch.Add(time.Hour),
	}
}

func keyRules() []rule {
	createKey := func(t *testing.T, s engine.Store, k engine.APIKey) engine.APIKey {
		t.Helper()
		stored, err := s.CreateKey(t.Context(), k)
		must(t, err)
		return stored
	}
	wantKey := func(t *testing.T, s engine.Store, want engine.APIKey) {
		t.Helper()
		got, err := s.KeyByHash(t.Context(), want.Hash)
		must(t, err)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("KeyByHash\n got %+v\nwant %+v", got, want)
		}
	}
	return []rule{
		{"a created key is found by its hash, expired or not", func(t *testing.T, s engine.Store) {
			forever := apiKey("größe")
			forever.ExpiresAt, forever.Scopes = time.Time{}, []engine.Scope{engine.ScopeAdmin}
			for _, in := range []engine.APIKey{apiKey("a"), forever} {
				got := createKey(t, s, in)
				want := in
				want.ID = got.ID
				if got.ID <= 0 || !reflect.DeepEqual(got, want) {
					t.Errorf("CreateKey\n got %+v\nwant %+v", got, want)
				}
				wantKey(t, s, want)
			}
		}},
		{"a hash that is there is a conflict, and one that is not is not found", func(t *testing.T, s engine.Store) {
			first := createKey(t, s, apiKey("a"))
			again := apiKey("a")
			again.Name = "b"
			_, err := s.CreateKey(t.Context(), again)
			wantCode(t, "CreateKey", err, engine.CodeConflict)
			wantKey(t, s, first)
			_, err = s.KeyByHash(t.Context(), apiKey("c").Hash)
			wantCode(t, "KeyByHash", err, engine.CodeNotFound)
		}},
		{"keys are listed oldest first", func(t *testing.T, s engine.Store) {
			if keys, err := s.ListKeys(t.Context()); err != nil || len(keys) != 0 {
				t.Errorf("ListKeys of none = %v, %v", keys, err)
			}
			young := apiKey("young")
			young.CreatedAt = epoch.Add(time.Hour)
			y := createKey(t, s, young)
			want := []engine.APIKey{createKey(t, s, apiKey("a")), createKey(t, s, apiKey("b")), y}
			got, err := s.ListKeys(t.Context())
			must(t, err)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("ListKeys\n got %+v\nwant %+v", got, want)
			}
		}},
		{"a key is revoked once, and stays to be found", func(t *testing.T, s engine.Store) {
			want := createKey(t, s, apiKey("a"))
			other := createKey(t, s, apiKey("b"))
			want.RevokedAt = epoch.Add(time.Minute)
			for _, at := range []time.Time{want.RevokedAt, epoch.Add(time.Hour)} {
				got, err := s.RevokeKey(t.Context(), want.ID, at)
				must(t, err)
				if !reflect.DeepEqual(got, want) {
					t.Errorf("RevokeKey\n got %+v\nwant %+v", got, want)
				}
			}
			wantKey(t, s, want)
			wantKey(t, s, other)
			_, err := s.RevokeKey(t.Context(), 4711, epoch)
			wantCode(t, "RevokeKey", err, engine.CodeNotFound)
		}},
		{"a use is noted to the minute, and an earlier one does not move it back", func(t *testing.T, s engine.Store) {
			k := createKey(t, s, apiKey("a"))
			other := createKey(t, s, apiKey("b"))
			for _, touch := range []struct{ at, want time.Duration }{
				{0, 0}, {90 * time.Second, time.Minute}, {100 * time.Second, time.Minute}, {10 * time.Second, time.Minute}, {time.Hour, time.Hour},
			} {
				must(t, s.TouchKey(t.Context(), k.ID, epoch.Add(touch.at)))
				k.LastUsedAt = epoch.Add(touch.want)
				wantKey(t, s, k)
			}
			wantKey(t, s, other)
			must(t, s.TouchKey(t.Context(), 4711, epoch))
		}},
	}
}
