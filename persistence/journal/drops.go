package journal

import (
	"errors"

	"github.com/carom-dev/carom/engine"
)

// dropReason is why a click was not recorded.
type dropReason int

const (
	dropFull   dropReason = iota // the bound on the journal's bytes
	dropDisk                     // the disk, or the owner's part of it, is full
	dropError                    // the disk failed
	dropClosed                   // the journal is closed
	dropReasons
)

// String is the reason's name in Stats.
func (r dropReason) String() string { return [dropReasons]string{"full", "disk", "error", "closed"}[r] }

func dropReasonOf(cause error) dropReason {
	switch {
	case errors.Is(cause, errBytesMax):
		return dropFull
	case errors.Is(cause, engine.ErrJournalClosed):
		return dropClosed
	case isFull(cause):
		return dropDisk
	}
	return dropError
}
