//go:build !failpoint

package actors

import "github.com/carom-dev/carom/engine"

// stall is where a build with the tag "failpoint" can be told to stop a shard's actor. In any other build it is nothing.
func stall(engine.Key) {}
