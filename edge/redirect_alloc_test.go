//go:build !race

package edge

import (
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

func TestAllocRedirect(t *testing.T) {
	forwarding := live(benchTarget, 302)
	forwarding.ForwardQuery = true
	for _, tt := range []struct {
		rule, path string
		r          engine.Resolution
	}{{"a hit", "/abc", live(benchTarget, 302)}, {"a hit with a forwarded query", "/abc?x=1&y=2", forwarding}, {"a permanent hit", "/abc", live(benchTarget, 308)}} {
		t.Run(tt.rule, func(t *testing.T) {
			s, err := New(Config{Resolver: &plainResolver{tt.r}, Clicks: plainJournal{}, Visitors: fakeHasher{}, API: fakeAPI{}})
			if err != nil {
				t.Fatal(err)
			}
			ctx := request(t, "198.51.100.7:1", "GET "+tt.path+browserRequest[len("GET /abc"):])
			var dst []byte
			if n := testing.AllocsPerRun(200, func() {
				s.handle(ctx)
				dst = ctx.Response.Header.AppendBytes(dst[:0])
				ctx.Response.Reset()
			}); n != 0 {
				t.Errorf("%s allocates %v times, want 0", tt.rule, n)
			}
		})
	}
}

// TestAllocQuick holds the same on the way that does without the HTTP server, also for a code that is known to lead nowhere.
func TestAllocQuick(t *testing.T) {
	for rule, r := range map[string]engine.Resolution{"a hit": live(benchTarget, 302), "a page": {Outcome: engine.OutcomeInactive}} {
		t.Run(rule, func(t *testing.T) {
			s, err := New(Config{Resolver: &plainResolver{r}, Clicks: plainJournal{}, Visitors: fakeHasher{}, API: fakeAPI{}})
			if err != nil {
				t.Fatal(err)
			}
			c, in, out, now := quickConn(s), []byte(browserRequest), make([]byte, 0, 1<<10), time.Now()
			if n := testing.AllocsPerRun(200, func() {
				n := 0
				if n, out, _ = s.quick(c, in, out[:0], now, false); n != len(in) {
					t.Fatalf("%d bytes are answered, want all", n)
				}
			}); n != 0 {
				t.Errorf("%s allocates %v times, want 0", rule, n)
			}
		})
	}
}

// TestAllocConnection holds the hit at 0 allocations also with the HTTP server around it.
func TestAllocConnection(t *testing.T) {
	server := benchServer(t)
	const requests = 2000
	if n := testing.AllocsPerRun(5, func() {
		if err := server.ServeConn(&repeatConn{request: browserRequest, peer: benchPeer(), left: requests}); err != nil {
			t.Fatal(err)
		}
	}); n > requests/20 {
		t.Errorf("%d hits on a connection allocate %v times, want only what the connection itself needs", requests, n)
	}
}
