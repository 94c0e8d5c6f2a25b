package edge

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// reusePort lets several sockets of this process share a port.
func reusePort(_, _ string, c syscall.RawConn) error {
	var err error
	if cerr := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }); cerr != nil {
		return fmt.Errorf("reach the socket: %w", cerr)
	}
	if err != nil {
		return fmt.Errorf("set SO_REUSEPORT: %w", err)
	}
	return nil
}
