//go:build !unix

package edge

// connectionsAllowed is a bound for systems that do not tell theirs.
func connectionsAllowed() int { return 16 << 10 }
