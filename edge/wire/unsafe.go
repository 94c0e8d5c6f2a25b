package wire

import "unsafe"

// stringOf views b as a string without a copy. Sound where the string is dropped before b changes: its only use is
// netip.ParseAddr, which keeps its argument only in its error, which is dropped, and copies a zone.
func stringOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
