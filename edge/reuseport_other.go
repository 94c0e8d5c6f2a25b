//go:build !linux

package edge

import (
	"errors"
	"syscall"
)

// reusePort is refused where the system would not spread connections over the sockets.
func reusePort(_, _ string, _ syscall.RawConn) error {
	return errors.New("several listeners on one port need Linux; set one")
}
