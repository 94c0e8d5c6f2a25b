package postgres

import "strings"

// AppendClicks lets benchmarks encode the same rows for a COPY of their own.
var AppendClicks = appendClicks

// CopyInto is the store's COPY into another table.
func CopyInto(table string) string { return strings.Replace(copyClicks, "clicks", table, 1) }
