package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/carom-dev/carom/cmd/carom/internal/bulk"
)

// EachClick calls visit with every click from one time to another, oldest first; a zero time is open.
func (c *Client) EachClick(ctx context.Context, from, to time.Time, visit func(*bulk.ClickJSON) error) error {
	query := url.Values{"limit": {strconv.Itoa(pageMax)}}
	if !from.IsZero() {
		query.Set("from", from.UTC().Format(time.RFC3339Nano))
	}
	if !to.IsZero() {
		query.Set("to", to.UTC().Format(time.RFC3339Nano))
	}
	for {
		var page struct {
			Data       []bulk.ClickJSON `json:"data"`
			NextCursor *string          `json:"next_cursor"`
		}
		if err := c.ask(ctx, request{method: http.MethodGet, path: "/clicks", query: query}, &page); err != nil {
			return err
		}
		for i := range page.Data {
			if err := visit(&page.Data[i]); err != nil {
				return err
			}
		}
		if page.NextCursor == nil || *page.NextCursor == "" {
			return nil
		}
		query.Set("cursor", *page.NextCursor)
	}
}
