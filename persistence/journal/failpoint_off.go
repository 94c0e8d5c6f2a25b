//go:build !failpoint || !unix

package journal

// failpoint is a named place at which a build with the tag "failpoint" can be told to die or to wait. In any other build it is nothing.
func failpoint(string) {}
