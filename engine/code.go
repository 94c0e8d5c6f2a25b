package engine

import (
	"crypto/rand"
	"fmt"
	"io"
	"slices"
	"strings"
)

const (
	// CodeMaxLen is the longest code in bytes.
	CodeMaxLen = 64
	// generatedCodeLen gives 62^7 = 3.5e12 codes: at a million links a generated code collides once in 3.5 million tries.
	generatedCodeLen = 7

	codeAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// codeBytes marks the bytes a code may have: A-Z a-z 0-9 _ and -.
var codeBytes = func() (ok [256]bool) {
	for _, c := range []byte(codeAlphabet + "_-") {
		ok[c] = true
	}
	return ok
}()

// reservedCodes are the first path segments that Carom answers itself, or keeps for itself. Compared without case, so that
// no link can be mistaken for one of them.
var reservedCodes = []string{
	"admin", "api", "assets", "clicks", "dashboard", "docs", "domains", "events", "favicon", "health", "healthz", "keys", "livez",
	"login", "logout", "metrics", "openapi", "readyz", "rest", "robots", "setup", "shorten", "static", "stats", "tags", "urls", "version", "webhooks",
}

// ValidCode reports whether code has the form of a code: 1 to CodeMaxLen bytes of A-Z a-z 0-9 _ and -.
// It is what the redirect path asks before any look-up; reserved words pass, as they can't be stored.
func ValidCode(code []byte) bool {
	if len(code) == 0 || len(code) > CodeMaxLen {
		return false
	}
	for _, c := range code {
		if !codeBytes[c] {
			return false
		}
	}
	return true
}

// CheckCode says why code can't be given to a link, or nil when it can.
func CheckCode(code string) error {
	switch {
	case code == "":
		return &FieldError{Field: "code", Detail: "is empty; leave it out for a generated one, or give 1 to 64 of A-Z a-z 0-9 _ -"}
	case len(code) > CodeMaxLen:
		return &FieldError{Field: "code", Detail: fmt.Sprintf("has %d bytes; at most %d are accepted", len(code), CodeMaxLen)}
	case !ValidCode([]byte(code)):
		return &FieldError{Field: "code", Detail: "has a character outside A-Z a-z 0-9 _ -"}
	case slices.Contains(reservedCodes, strings.ToLower(code)):
		return &FieldError{Field: "code", Detail: fmt.Sprintf("%q is reserved for the service itself", code)}
	}
	return nil
}

// NewCode draws a code of 7 base62 characters from r (nil means crypto/rand). Bytes of 248 and above are thrown away, so that
// each character is equally likely. It never returns a reserved word. An error is r's.
func NewCode(r io.Reader) (string, error) {
	if r == nil {
		r = rand.Reader
	}
	var code [generatedCodeLen]byte
	var buf [16]byte
	for {
		n := 0
		for n < len(code) {
			if _, err := io.ReadFull(r, buf[:]); err != nil {
				return "", fmt.Errorf("read randomness for a code: %w", err)
			}
			for _, b := range buf {
				if n < len(code) && b < 4*62 {
					code[n] = codeAlphabet[b%62]
					n++
				}
			}
		}
		if c := string(code[:]); CheckCode(c) == nil {
			return c, nil
		}
	}
}
