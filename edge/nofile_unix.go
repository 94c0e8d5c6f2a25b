//go:build unix

package edge

import "golang.org/x/sys/unix"

// connectionsAllowed is three quarters of the open files this process may have: the rest is for the journal, the store and
// whatever else the process opens.
func connectionsAllowed() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return connectionsFallback
	}
	return int(max(min(uint64(limit.Cur), connectionsMax)/4*3, 1)) //nolint:unconvert // the field's type differs between systems
}

const (
	connectionsFallback = 768 // of the 1024 open files that systems allow by tradition
	// connectionsMax bounds an unlimited setting: a million idle connections are 15 GB of buffers already.
	connectionsMax = 1 << 20
)
