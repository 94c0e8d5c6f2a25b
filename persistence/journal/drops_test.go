package journal

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/carom-dev/carom/engine"
)

func TestDropReasons(t *testing.T) {
	for _, tt := range []struct {
		cause error
		want  string
	}{
		{fmt.Errorf("extend lane 3: %w", errBytesMax), "full"},
		{fmt.Errorf("allocate: %w", syscall.ENOSPC), "disk"},
		{errQuota, "disk"},
		{syscall.EIO, "error"},
		{engine.ErrJournalClosed, "closed"},
	} {
		if got := dropReasonOf(tt.cause).String(); got != tt.want {
			t.Errorf("a click dropped for %q counts as %s, want %s", tt.cause, got, tt.want)
		}
	}
}
