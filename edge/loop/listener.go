//go:build linux && (amd64 || arm64)

package loop

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Listener accepts the connections of a TCP listener as *Conn.
type Listener struct {
	net.Listener
	group *Group
	file  *os.File // the same socket; net's own descriptor can be neither read nor waited for
	raw   syscall.RawConn
}

// Listen takes ln over.
func (g *Group) Listen(ln *net.TCPListener) (*Listener, error) {
	file, err := ln.File()
	if err != nil {
		return nil, fmt.Errorf("reach the listener's socket: %w", err)
	}
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("reach the listener's socket: %w", err)
	}
	if err := inherit(raw); err != nil {
		file.Close()
		return nil, err
	}
	return &Listener{Listener: ln, group: g, file: file, raw: raw}, nil
}

// inherit sets what accepted connections have from their listener: what net sets on each of its own.
func inherit(raw syscall.RawConn) error {
	var err error
	cerr := raw.Control(func(fd uintptr) {
		for _, o := range []struct{ level, name, value int }{
			{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
			{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15},
			{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
			{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 9},
		} {
			if err == nil {
				err = unix.SetsockoptInt(int(fd), o.level, o.name, o.value)
			}
		}
	})
	if err = errors.Join(cerr, err); err != nil {
		return fmt.Errorf("set the options of connections: %w", err)
	}
	return nil
}

// Accept waits for a connection, a *Conn that nobody waits for yet: Attach or Talk comes next.
func (l *Listener) Accept() (net.Conn, error) {
	var (
		fd  int
		sa  unix.Sockaddr
		err error
	)
	if rerr := l.raw.Read(func(listener uintptr) bool {
		for {
			fd, sa, err = unix.Accept4(int(listener), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			if !errors.Is(err, syscall.EINTR) {
				return !errors.Is(err, syscall.EAGAIN)
			}
		}
	}); rerr != nil {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	}
	if err != nil {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: os.NewSyscallError("accept4", err)}
	}
	return newConn(l.group, fd, addrPortOf(sa)), nil
}

// Close ends the listener.
func (l *Listener) Close() error { return errors.Join(l.file.Close(), l.Listener.Close()) }

func addrPortOf(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		addr := netip.AddrFrom16(sa.Addr)
		if sa.ZoneId != 0 && !addr.Is4In6() {
			addr = addr.WithZone(fmt.Sprint(sa.ZoneId))
		}
		return netip.AddrPortFrom(addr, uint16(sa.Port))
	}
	return netip.AddrPort{}
}
