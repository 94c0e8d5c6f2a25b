package engine

import "strings"

// StoredText is the form in which every store keeps bytes that a visitor sent: each run of invalid UTF-8 and each NUL is
// replaced by U+FFFD, as not every database takes them in a text; all else stays as it was given.
func StoredText(b []byte) string {
	return strings.ReplaceAll(strings.ToValidUTF8(string(b), "\uFFFD"), "\x00", "\uFFFD")
}
