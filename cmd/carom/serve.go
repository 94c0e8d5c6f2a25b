package main

import (
	"context"

	"github.com/carom-dev/carom/engine"
)

// serveCommand runs the server.
type serveCommand struct{ Settings }

// Run serves until ctx ends.
func (c *serveCommand) Run(ctx context.Context, t *terminal) error {
	return c.Validate()
}

const adminKeyName = "admin"

func adminScopes() []engine.Scope { return []engine.Scope{engine.ScopeAdmin} }
