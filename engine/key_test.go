package engine_test

import (
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

var keyTime = time.Date(2026, 5, 1, 12, 0, 0, 123_456_789, time.FixedZone("east", 7200))

func TestNewAPIKey(t *testing.T) {
	key, secret, err := engine.NewAPIKey("ci", []engine.Scope{engine.ScopeStatsRead, engine.ScopeLinksRead, engine.ScopeStatsRead}, keyTime, keyTime.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(secret, "carom_") || len(secret) != len("carom_")+43 {
		t.Errorf("secret of %d characters, want carom_ and 256 bits in 43", len(secret))
	}
	if key.Prefix != secret[:12] || key.Hash != sha256.Sum256([]byte(secret)) || key.Hash != engine.HashSecret(secret) {
		t.Errorf("prefix %q and hash do not belong to the secret", key.Prefix)
	}
	if want := []engine.Scope{engine.ScopeLinksRead, engine.ScopeStatsRead}; !slices.Equal(key.Scopes, want) {
		t.Errorf("scopes %v, want them sorted and once: %v", key.Scopes, want)
	}
	at := time.Date(2026, 5, 1, 10, 0, 0, 123_456_000, time.UTC)
	if key.CreatedAt != at || key.ExpiresAt != at.Add(time.Hour) {
		t.Errorf("times %v and %v, want %v and an hour later, in UTC and microseconds", key.CreatedAt, key.ExpiresAt, at)
	}
	_, other, err := engine.NewAPIKey("ci", engine.Scopes(), keyTime, time.Time{})
	if err != nil || other == secret {
		t.Errorf("a second key has the same secret, or %v", err)
	}
}

func TestAPIKeyOfRefuses(t *testing.T) {
	const secret = "carom_0123456789abcdefghijk"
	all := engine.Scopes()
	for _, tt := range []struct {
		name, secret, keyName string
		scopes                []engine.Scope
		expires               time.Time
		want                  []string
	}{
		{"a short secret", strings.Repeat("x", 23), "n", all, time.Time{}, []string{"key"}},
		{"a secret with a space", secret + " x", "n", all, time.Time{}, []string{"key"}},
		{"a secret with a line end", secret + "\n", "n", all, time.Time{}, []string{"key"}},
		{"a secret beyond ASCII", secret + "ü", "n", all, time.Time{}, []string{"key"}},
		{"no name", secret, "", all, time.Time{}, []string{"name"}},
		{"a long name", secret, strings.Repeat("x", 129), all, time.Time{}, []string{"name"}},
		{"a name with a line end", secret, "a\nb", all, time.Time{}, []string{"name"}},
		{"a name that is not UTF-8", secret, "a\xff", all, time.Time{}, []string{"name"}},
		{"no scope", secret, "n", nil, time.Time{}, []string{"scopes"}},
		{"an unknown scope", secret, "n", []engine.Scope{"links:read", "root"}, time.Time{}, []string{"scopes"}},
		{"expired", secret, "n", all, keyTime, []string{"expires_at"}},
		{"everything at once", "", "", nil, keyTime.Add(-1), []string{"key", "name", "scopes", "expires_at"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, got, err := engine.APIKeyOf(tt.secret, tt.keyName, tt.scopes, keyTime, tt.expires)
			e, ok := errors.AsType[*engine.Error](err)
			if !ok || e.Code != engine.CodeInvalid || got != "" || key.Name != "" {
				t.Fatalf("APIKeyOf = %+v, %q, %v, want nothing and %s", key, got, err, engine.CodeInvalid)
			}
			var fields []string
			for _, f := range e.Fields {
				fields = append(fields, f.Field)
			}
			if !slices.Equal(fields, tt.want) {
				t.Errorf("refused fields %v, want %v", fields, tt.want)
			}
			if tt.secret != "" && strings.Contains(err.Error(), tt.secret) {
				t.Error("the refusal gives the secret away")
			}
		})
	}
}

func TestAPIKeyOfKeepsTheOperatorsSecret(t *testing.T) {
	secret := strings.Repeat("s", 24)
	scopes := []engine.Scope{engine.ScopeAdmin}
	key, got, err := engine.APIKeyOf(secret, "first", scopes, keyTime, time.Time{})
	if err != nil || got != secret {
		t.Fatalf("APIKeyOf = %q, %v, want the secret back", got, err)
	}
	if len(key.Prefix) > len(secret)/3 {
		t.Errorf("the visible prefix %q is more than a third of the secret", key.Prefix)
	}
	if !key.ExpiresAt.IsZero() {
		t.Errorf("expires at %v, want never", key.ExpiresAt)
	}
	if scopes[0] = engine.ScopeLinksRead; key.Scopes[0] != engine.ScopeAdmin {
		t.Error("the key shares the caller's slice of scopes")
	}
}

func TestAPIKeyMatches(t *testing.T) {
	key, secret, err := engine.NewAPIKey("n", engine.Scopes(), keyTime, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if !key.Matches(engine.HashSecret(secret)) {
		t.Error("its own secret does not match")
	}
	if key.Matches(engine.HashSecret(secret+"x")) || key.Matches([32]byte{}) {
		t.Error("another secret matches")
	}
}

func TestScopes(t *testing.T) {
	for _, held := range engine.Scopes() {
		key := engine.APIKey{Scopes: []engine.Scope{held}}
		for _, asked := range engine.Scopes() {
			want := held == asked || held == engine.ScopeAdmin
			if got := key.Allows(asked); got != want {
				t.Errorf("a key with %s asked for %s: %v, want %v", held, asked, got, want)
			}
		}
	}
	if (&engine.APIKey{}).Allows(engine.ScopeLinksRead) {
		t.Error("a key without scopes may read links")
	}
}

func TestKeyValidity(t *testing.T) {
	for _, tt := range []struct {
		name string
		key  engine.APIKey
		want bool
	}{
		{"without end", engine.APIKey{}, true},
		{"before its end", engine.APIKey{ExpiresAt: keyTime.Add(1)}, true},
		{"at its end", engine.APIKey{ExpiresAt: keyTime}, false},
		{"after its end", engine.APIKey{ExpiresAt: keyTime.Add(-1)}, false},
		{"revoked", engine.APIKey{RevokedAt: keyTime.Add(-1)}, false},
		{"revoked before its end", engine.APIKey{RevokedAt: keyTime.Add(-1), ExpiresAt: keyTime.Add(1)}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.key.Valid(keyTime); got != tt.want {
				t.Errorf("Valid = %v, want %v", got, tt.want)
			}
		})
	}
}
