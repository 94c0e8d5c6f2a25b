//go:build !race

package wire

import "testing"

func TestAddrAllocs(t *testing.T) {
	clients := NewClients(trusted)
	ctx := parsed(t, "10.0.0.1:1", "X-Forwarded-For: 6.6.6.6, 2001:db8::7, 10.9.9.9\r\n")
	if n := testing.AllocsPerRun(100, func() { clients.Addr(ctx) }); n != 0 {
		t.Errorf("Addr behind a proxy allocates %v times, want 0", n)
	}
}

func TestRequestIDAllocs(t *testing.T) {
	ids, err := NewRequestIDs()
	if err != nil {
		t.Fatal(err)
	}
	ctx := parsed(t, "10.0.0.1:1", "")
	buf := make([]byte, 0, RequestIDMax)
	if n := testing.AllocsPerRun(100, func() { buf = ids.Append(buf[:0], ctx, nil) }); n != 0 {
		t.Errorf("Append allocates %v times, want 0", n)
	}
}
