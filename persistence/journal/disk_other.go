//go:build !linux

package journal

func newDisk() disk { return bufferedDisk{} }
