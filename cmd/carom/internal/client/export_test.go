package client

import (
	"context"
	"time"
)

// SetWait replaces the pause before a request is sent again.
func (c *Client) SetWait(wait func(context.Context, time.Duration) error) { c.wait = wait }
