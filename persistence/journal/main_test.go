package journal

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain is also the program that the kill test starts and kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childDirVar); dir != "" {
		os.Exit(runChild(dir))
	}
	goleak.VerifyTestMain(m)
}
