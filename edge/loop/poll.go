//go:build linux && (amd64 || arm64)

package loop

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// poll takes what has happened, without waiting; so the scheduler need not hear of it.
func poll(epfd int, events []unix.EpollEvent) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epfd), uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0)
	return int(n), errno
}
