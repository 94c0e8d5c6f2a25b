package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/carom-dev/carom/cmd/carom/internal/client"
	"github.com/carom-dev/carom/cmd/carom/internal/setting"
)

// healthCommand asks a running Carom whether it is ready; it is what a container's health check calls.
type healthCommand struct {
	Listen  setting.Address  `group:"Listening" default:":8080" help:"Where the server of this machine listens."`
	Server  string           `group:"Running Carom" placeholder:"URL" help:"The server to ask; the one at --listen when unset."`
	Timeout setting.Duration `default:"2s" help:"How long to wait for the answer."`
}

// Run asks once.
func (c *healthCommand) Run(ctx context.Context, t *terminal) error {
	server := cmp.Or(c.Server, localURL(c.Listen))
	asked, err := client.New(server, "")
	if err != nil {
		return usageError{err}
	}
	defer asked.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Duration(c.Timeout))
	defer cancel()
	if err := asked.Ready(ctx); err != nil {
		return err
	}
	fmt.Fprintln(t.out, "ready")
	return nil
}
