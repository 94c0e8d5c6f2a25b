package engine

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// StoredText is the form in which every store keeps bytes that a visitor sent: each run of invalid UTF-8 and each NUL is
// replaced by U+FFFD, as not every database takes them in a text; all else stays as it was given.
func StoredText(b []byte) string {
	return strings.ReplaceAll(strings.ToValidUTF8(string(b), "\uFFFD"), "\x00", "\uFFFD")
}

// IsStoredText reports whether b is in that form already, as nearly all is that visitors send.
func IsStoredText(b []byte) bool { return utf8.Valid(b) && bytes.IndexByte(b, 0) < 0 }
