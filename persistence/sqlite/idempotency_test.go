package sqlite

import (
	"fmt"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

// TestExpiredIdempotencyKeysGoInSteps makes more keys than one creation forgets, and uses one of them again once they have expired.
func TestExpiredIdempotencyKeysGoInSteps(t *testing.T) {
	s := openInside(t)
	create := func(code, key string, digest byte, at time.Time) engine.LinkID {
		t.Helper()
		l, _, err := s.CreateLink(t.Context(), engine.Link{Domain: 1, Code: code, Target: "https://example.com/", RedirectStatus: 302},
			engine.Author{At: at}, &engine.Idempotency{Key: key, Digest: [32]byte{digest}})
		if err != nil {
			t.Fatal(err)
		}
		return l.ID
	}
	kept := func() (n int) {
		t.Helper()
		if err := s.reader.QueryRowContext(t.Context(), "SELECT count(*) FROM idempotency").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	const keys = 2*idempotencyForgotten + 50
	start := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	for i := range keys {
		create(fmt.Sprint("c", i), fmt.Sprint("k", i), 1, start)
	}
	later := start.Add(engine.IdempotencyTTL)
	last := fmt.Sprint("k", keys-1)
	made := create("again", last, 2, later)
	if got := kept(); got != keys-idempotencyForgotten && got != keys-idempotencyForgotten+1 {
		t.Errorf("%d keys are kept, want %d to be forgotten", got, idempotencyForgotten)
	}
	if again := create("once-more", last, 2, later); again != made {
		t.Errorf("the key's second use made link %d, want %d", again, made)
	}
	create("x", "new", 1, later)
	if got := kept(); got > 3 {
		t.Errorf("%d keys are kept, want the two that are not expired", got)
	}
}
