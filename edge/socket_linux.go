package edge

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// unsentMax is how much of its answers the kernel takes from a connection beyond what is on its way to the client, in bytes. Else
// it takes up to 4 MiB (tcp_wmem), which a client that asks for much and reads nothing makes it keep, and copy on the way.
const unsentMax = 128 << 10

// prepareSocket sets what a listening socket hands down to its connections; shared lets several sockets of this process share a port.
func prepareSocket(shared bool) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		cerr := c.Control(func(fd uintptr) {
			if err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentMax); err != nil {
				err = fmt.Errorf("set TCP_NOTSENT_LOWAT: %w", err)
				return
			}
			if !shared {
				return
			}
			if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
				err = fmt.Errorf("set SO_REUSEPORT: %w", err)
			}
		})
		if cerr != nil {
			return fmt.Errorf("reach the socket: %w", cerr)
		}
		return err
	}
}
