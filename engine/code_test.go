package engine_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/carom-dev/carom/engine"
)

func TestCheckCode(t *testing.T) {
	for _, tt := range []struct {
		name, code, want string // want is a part of the refusal; "" for an accepted code
	}{
		{"one character", "a", ""},
		{"every kind of character", "aZ09_-", ""},
		{"64 characters", strings.Repeat("x", 64), ""},
		{"only a dash", "-", ""},
		{"a word that begins with a reserved one", "apis", ""},
		{"empty", "", "is empty"},
		{"65 characters", strings.Repeat("x", 65), "has 65 bytes"},
		{"slash", "a/b", "has a character outside"},
		{"dot", "robots.txt", "has a character outside"},
		{"space", "a b", "has a character outside"},
		{"percent-encoded", "a%2Fb", "has a character outside"},
		{"double-encoded", "a%252Fb", "has a character outside"},
		{"unicode letter", "ü", "has a character outside"},
		{"unicode digit", "１", "has a character outside"},
		{"NUL", "a\x00", "has a character outside"},
		{"invalid UTF-8", "a\xff", "has a character outside"},
		{"reserved", "health", "is reserved"},
		{"reserved in another case", "Health", "is reserved"},
		{"the API's own path", "shorten", "is reserved"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := engine.CheckCode(tt.code)
			if tt.want == "" {
				if err != nil {
					t.Errorf("CheckCode(%q) = %v, want it accepted", tt.code, err)
				}
				if !engine.ValidCode([]byte(tt.code)) {
					t.Errorf("ValidCode(%q) = false for a code that can be given", tt.code)
				}
				return
			}
			fe, ok := errors.AsType[*engine.FieldError](err)
			if !ok || fe.Field != "code" || !strings.Contains(fe.Detail, tt.want) {
				t.Errorf("CheckCode(%q) = %v, want a refusal of code that says %q", tt.code, err, tt.want)
			}
		})
	}
}

func TestReservedWordsHaveTheFormOfACode(t *testing.T) {
	// The redirect path asks ValidCode alone; a reserved word must pass it and be stopped where links are stored.
	if !engine.ValidCode([]byte("urls")) || engine.CheckCode("urls") == nil {
		t.Error("urls: want a valid form that can't be given to a link")
	}
}

func TestNewCodeForm(t *testing.T) {
	seen := map[string]bool{}
	for range 10_000 {
		code, err := engine.NewCode(nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(code) != 7 || strings.ContainsAny(code, "_-") || engine.CheckCode(code) != nil {
			t.Fatalf("NewCode() = %q, want 7 characters of base62 that can be given to a link", code)
		}
		if seen[code] {
			t.Fatalf("NewCode() gave %q twice in 10,000", code)
		}
		seen[code] = true
	}
}

func TestNewCodeThrowsAwayBytesThatWouldFavourSomeCharacters(t *testing.T) {
	// 248 to 255 map to nothing, the others to their remainder by 62: 0 and 247 to the alphabet's two ends.
	in := append(bytes.Repeat([]byte{248, 255}, 8), 0, 61, 62, 247, 1, 2, 3, 9, 9, 9, 9, 9, 9, 9, 9, 9)
	code, err := engine.NewCode(bytes.NewReader(in))
	if err != nil || code != "0z0z123" {
		t.Errorf("NewCode() = %q, %v, want %q", code, err, "0z0z123")
	}
}

func TestNewCodeUsesEveryCharacter(t *testing.T) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	// 7 does not divide 16, so a code never takes all of a read: walk the whole range by rotation.
	counts := map[rune]int{}
	for i := range 256 {
		code, err := engine.NewCode(bytes.NewReader(append(append([]byte{}, all[i:]...), all[:i]...)))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range code {
			counts[c]++
		}
	}
	if len(counts) != 62 {
		t.Errorf("%d different characters, want 62", len(counts))
	}
}

func TestNewCodeNeverReturnsAReservedWord(t *testing.T) {
	// "metrics" has 7 characters: the alphabet is 0-9 A-Z a-z, so m is at 48.
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	word := make([]byte, 16)
	for i, c := range "metrics" {
		word[i] = byte(strings.IndexRune(alphabet, c))
	}
	other := bytes.Repeat([]byte{5}, 16)
	code, err := engine.NewCode(bytes.NewReader(append(word, other...)))
	if err != nil || code != "5555555" {
		t.Errorf("NewCode() = %q, %v, want the draw after %q", code, err, "metrics")
	}
}

func TestNewCodeReturnsTheErrorOfItsSource(t *testing.T) {
	if _, err := engine.NewCode(bytes.NewReader(nil)); !errors.Is(err, io.EOF) {
		t.Errorf("NewCode(empty) = %v, want EOF", err)
	}
	if _, err := engine.NewCode(bytes.NewReader([]byte{1, 2})); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("NewCode(two bytes) = %v, want an unexpected EOF", err)
	}
}
