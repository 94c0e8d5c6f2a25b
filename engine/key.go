package engine

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Scope is something an API key may do.
type Scope string

// The scopes. ScopeAdmin includes the others and is alone in managing keys.
const (
	ScopeLinksRead  Scope = "links:read"
	ScopeLinksWrite Scope = "links:write"
	ScopeStatsRead  Scope = "stats:read"
	ScopeAdmin      Scope = "admin"
)

// Scopes lists every scope.
func Scopes() []Scope { return []Scope{ScopeLinksRead, ScopeLinksWrite, ScopeStatsRead, ScopeAdmin} }

// KeyID names an API key.
type KeyID int64

const (
	// keyMark begins every key, so that secret scanners find one that leaked.
	keyMark      = "carom_"
	keyPrefixLen = len(keyMark) + 6
	keyNameMax   = 128
)

// APIKey is a key as the store keeps it: never the secret, only its SHA-256. 256 random bits need no slow hash.
type APIKey struct {
	ID         KeyID
	Name       string
	Prefix     string // the secret's first characters, to tell keys apart
	Hash       [sha256.Size]byte
	Scopes     []Scope
	CreatedAt  time.Time
	ExpiresAt  time.Time // zero: never
	LastUsedAt time.Time // zero: not yet; kept to the minute
	RevokedAt  time.Time // zero: in force
}

// NewAPIKey makes a key and its secret, which is shown once and kept nowhere. expires zero means never.
func NewAPIKey(name string, scopes []Scope, now, expires time.Time) (key APIKey, secret string, err error) {
	var bits [32]byte
	if _, err := rand.Read(bits[:]); err != nil {
		return APIKey{}, "", fmt.Errorf("read randomness for a key: %w", err)
	}
	return APIKeyOf(keyMark+base64.RawURLEncoding.EncodeToString(bits[:]), name, scopes, now, expires)
}

// APIKeyOf makes the key for a secret that an operator chose, such as CAROM_ADMIN_KEY: at least 24 characters.
func APIKeyOf(secret, name string, scopes []Scope, now, expires time.Time) (APIKey, string, error) {
	var fields []FieldError
	if len(secret) < 24 || strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' }) {
		fields = append(fields, FieldError{Field: "key", Detail: "is not accepted; give at least 24 printable ASCII characters without spaces"})
	}
	if name == "" || len(name) > keyNameMax || !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		fields = append(fields, FieldError{Field: "name", Detail: fmt.Sprintf("is not accepted; give 1 to %d bytes of UTF-8 without control characters", keyNameMax)})
	}
	if len(scopes) == 0 {
		fields = append(fields, FieldError{Field: "scopes", Detail: fmt.Sprintf("is empty; give at least one of %v", Scopes())})
	}
	for _, s := range scopes {
		if !slices.Contains(Scopes(), s) && len(fields) < FieldErrorsMax {
			fields = append(fields, FieldError{Field: "scopes", Detail: fmt.Sprintf("has %.40q; accepted are %v", s, Scopes())})
		}
	}
	if !expires.IsZero() && !expires.After(now) {
		fields = append(fields, FieldError{Field: "expires_at", Detail: "is not in the future"})
	}
	if len(fields) > 0 {
		return APIKey{}, "", &Error{Code: CodeInvalid, Message: "the key is not accepted", Fields: fields}
	}
	scopes = slices.Clone(scopes)
	slices.Sort(scopes)
	key := APIKey{
		Name: name, Prefix: secret[:min(keyPrefixLen, len(secret)/3)], Hash: sha256.Sum256([]byte(secret)), Scopes: slices.Compact(scopes),
		CreatedAt: now.UTC().Truncate(time.Microsecond),
	}
	if !expires.IsZero() {
		key.ExpiresAt = expires.UTC().Truncate(time.Microsecond)
	}
	return key, secret, nil
}

// HashSecret is what a presented secret is looked up by.
func HashSecret(secret string) [sha256.Size]byte { return sha256.Sum256([]byte(secret)) }

// Matches compares hashes in constant time.
func (k *APIKey) Matches(hash [sha256.Size]byte) bool {
	return subtle.ConstantTimeCompare(k.Hash[:], hash[:]) == 1
}

// Allows reports whether the key has scope at now.
func (k *APIKey) Allows(scope Scope) bool {
	return slices.Contains(k.Scopes, scope) || slices.Contains(k.Scopes, ScopeAdmin)
}

// Valid reports whether the key is in force at now.
func (k *APIKey) Valid(now time.Time) bool {
	return k.RevokedAt.IsZero() && (k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt))
}
