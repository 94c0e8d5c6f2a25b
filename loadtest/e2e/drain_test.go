package e2e_test

import (
	"errors"
	"path/filepath"
	"testing"
)

// TestDrainUnderLoadLosesNothing asks the server to end while clicks come in at full speed: what was answered is in the store when
// the process is gone, and nothing else happened to be counted twice.
func TestDrainUnderLoadLosesNothing(t *testing.T) {
	t.Parallel()
	dir, answeredFile := t.TempDir(), filepath.Join(t.TempDir(), "answered")
	importSample(t, dir)
	p := start(t, dir)
	over, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		stopped <- errors.Join(recorded(t.Context(), p, 2000, over), p.Stop(stopTimeout))
	}()
	code := replay(t, "-server", p.Addr, "-mark", "-repeat", "200", "-answered", answeredFile)
	close(over)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	if code != 3 {
		t.Errorf("replay ended with %d, want 3: the server gone in the middle", code)
	}
	answered := readAnswered(t, answeredFile)
	p = start(t, dir)
	raw, err := ask(t, p).Clicks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stored := map[string]int{}
	for _, c := range raw {
		stored[mark(&c)]++
	}
	for name := range answered {
		if stored[name] != 1 {
			t.Fatalf("answered click %s is stored %d times, want once", name, stored[name])
		}
	}
	// A kind end finishes what it has begun: no request is left between recorded and answered.
	if len(raw) != len(answered) {
		t.Errorf("%d clicks stored, %d answered, want as many", len(raw), len(answered))
	}
	t.Logf("%d clicks answered and stored", len(raw))
	stop(t, p)
}
