package postgres

import (
	"strings"

	"github.com/carom-dev/carom/engine"
)

// EncodeClicks lets benchmarks encode the same rows for a COPY of their own.
func EncodeClicks(clicks []engine.Click, first int64) []byte {
	return encodeClicks(clicks).numbered(first)
}

// CopyInto is the store's COPY into another table.
func CopyInto(table string) string { return strings.Replace(copyClicks, "clicks", table, 1) }

// FoldEarly has even small batches written as deltas, and folded when a few wait.
func (s *Store) FoldEarly() { s.deltasFrom, s.backlog.enough = 1, 3 }

// FoldLate leaves all deltas where they are.
func (s *Store) FoldLate() { s.backlog.enough = 1 << 40 }
