//go:build !linux || (!amd64 && !arm64)

package edge

import "net"

// loops are there on Linux only.
type loops struct{}

func newLoops(*Server, []net.Listener) (*loops, error) { return nil, nil } //nolint:nilnil // no loops, and no error

func (*loops) listen(ln *net.TCPListener) (net.Listener, error) { return ln, nil }

func (*loops) failed() <-chan error { return nil }

func (*loops) stop() {}
