//go:build !linux

package edge

import (
	"errors"
	"syscall"
)

// prepareSocket sets nothing. Several sockets on one port are refused where the system would not spread connections over them.
func prepareSocket(shared bool) func(network, address string, c syscall.RawConn) error {
	return func(string, string, syscall.RawConn) error {
		if shared {
			return errors.New("several listeners on one port need Linux; set one")
		}
		return nil
	}
}
