//go:build linux && (amd64 || arm64) && race

package loop

import (
	"errors"
	"syscall"
)

// The race detector sees what a socket orders only through the syscall package's own calls.

func receive(fd int, p []byte) (int, syscall.Errno) { return result(syscall.Read(fd, p)) }

func send(fd int, p []byte) (int, syscall.Errno) { return result(syscall.Write(fd, p)) }

func result(n int, err error) (int, syscall.Errno) {
	errno, _ := errors.AsType[syscall.Errno](err)
	return n, errno
}
