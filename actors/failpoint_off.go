//go:build !failpoint

package actors

import (
	"github.com/carom-dev/carom/actors/stage"
	"github.com/carom-dev/carom/engine"
)

// stall is where a build with the tag "failpoint" can be told to stop a shard's actor. In any other build it is nothing.
func stall(engine.Key) {}

// declareFailpoints names the places in the work of workers at which such a build can be told to panic.
func declareFailpoints(*stage.Stage, *Config) {}
