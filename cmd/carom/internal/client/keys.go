package client

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/carom-dev/carom/engine"
)

// Key is an API key as the API shows it.
type Key struct {
	ID         engine.KeyID   `json:"id"`
	Name       string         `json:"name"`
	Prefix     string         `json:"prefix"`
	Scopes     []engine.Scope `json:"scopes"`
	CreatedAt  time.Time      `json:"created_at"`
	ExpiresAt  *time.Time     `json:"expires_at"`
	LastUsedAt *time.Time     `json:"last_used_at"`
	RevokedAt  *time.Time     `json:"revoked_at"`
	Secret     string         `json:"key"` // only in the answer that makes it
}

// CreateKey makes a key; expires zero means never.
func (c *Client) CreateKey(ctx context.Context, name string, scopes []engine.Scope, expires time.Time) (Key, error) {
	ask := struct {
		Name      string         `json:"name"`
		Scopes    []engine.Scope `json:"scopes"`
		ExpiresAt time.Time      `json:"expires_at,omitzero"`
	}{name, scopes, expires}
	body, err := json.Marshal(ask)
	if err != nil {
		return Key{}, fmt.Errorf("encode the key: %w", err)
	}
	var k Key
	err = c.ask(ctx, request{method: http.MethodPost, path: "/keys", contentType: "application/json", body: body}, &k)
	return k, err
}

// Keys reads all keys.
func (c *Client) Keys(ctx context.Context) ([]Key, error) {
	var answer struct {
		Data []Key `json:"data"`
	}
	err := c.ask(ctx, request{method: http.MethodGet, path: "/keys"}, &answer)
	return answer.Data, err
}

// RevokeKey ends a key.
func (c *Client) RevokeKey(ctx context.Context, id engine.KeyID) error {
	res, err := c.do(ctx, request{method: http.MethodDelete, path: "/keys/" + strconv.FormatInt(int64(id), 10)})
	if err != nil {
		return err
	}
	return res.Body.Close()
}
