package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/carom-dev/carom/cmd/carom/internal/client"
	"github.com/carom-dev/carom/cmd/carom/internal/setting"
	"github.com/carom-dev/carom/engine"
)

// keysCommand looks after API keys.
type keysCommand struct {
	Create keysCreateCommand `cmd:"" help:"Make a key; its secret is shown once, alone on standard output."`
	List   keysListCommand   `cmd:"" help:"List all keys."`
	Revoke keysRevokeCommand `cmd:"" help:"End a key."`
}

// keyPlace is where the keys are.
type keyPlace struct {
	StoreSettings  `group:"Storage"`
	remoteSettings `group:"Running Carom"`
}

// keyKeeper is a place that keeps keys, at rest or running.
type keyKeeper interface {
	CreateKey(ctx context.Context, name string, scopes []engine.Scope, expires time.Time) (client.Key, error)
	Keys(ctx context.Context) ([]client.Key, error)
	RevokeKey(ctx context.Context, id engine.KeyID) error
	Close()
}

// open finds the keeper. With must, a store that is not there yet is an error.
func (p *keyPlace) open(ctx context.Context, t *terminal, must bool) (keyKeeper, error) {
	if p.Server != "" {
		return p.dial()
	}
	store, err := openAtRest(ctx, t, &p.StoreSettings, must)
	if err != nil {
		return nil, err
	}
	return storeKeys{store}, nil
}

// keysCreateCommand makes a key.
type keysCreateCommand struct {
	keyPlace
	Name    string           `required:"" help:"What the key is for."`
	Scopes  []string         `required:"" help:"What it may do: links:read, links:write, stats:read, admin; with commas between them."`
	Expires setting.Duration `default:"0s" help:"How long it is valid, such as 720h; 0 for ever."`
}

// Run makes the key.
func (c *keysCreateCommand) Run(ctx context.Context, t *terminal) error {
	scopes := make([]engine.Scope, len(c.Scopes))
	for i, s := range c.Scopes {
		scopes[i] = engine.Scope(strings.TrimSpace(s))
	}
	now, expires := time.Now(), time.Time{}
	if c.Expires > 0 {
		expires = now.Add(time.Duration(c.Expires))
	}
	// What can't be a key is the caller's mistake, whoever would keep it.
	if _, _, err := engine.NewAPIKey(c.Name, scopes, now, expires); err != nil {
		return usageError{err}
	}
	keeper, err := c.open(ctx, t, false)
	if err != nil {
		return err
	}
	defer keeper.Close()
	key, err := keeper.CreateKey(ctx, c.Name, scopes, expires)
	if err != nil {
		return err
	}
	t.say("key %d %q (%s) made; this is the only time its secret is shown:", key.ID, key.Name, joinScopes(key.Scopes))
	fmt.Fprintln(t.out, key.Secret)
	return nil
}

// keysListCommand lists keys.
type keysListCommand struct{ keyPlace }

// Run prints a table of the keys.
func (c *keysListCommand) Run(ctx context.Context, t *terminal) error {
	keeper, err := c.open(ctx, t, true)
	if err != nil {
		return err
	}
	defer keeper.Close()
	keys, err := keeper.Keys(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tPREFIX\tSCOPES\tCREATED\tEXPIRES\tLAST USED\tREVOKED")
	for _, k := range keys {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Name, k.Prefix, joinScopes(k.Scopes),
			dateText(&k.CreatedAt), dateText(k.ExpiresAt), dateText(k.LastUsedAt), dateText(k.RevokedAt))
	}
	return w.Flush()
}

// keysRevokeCommand ends a key.
type keysRevokeCommand struct {
	keyPlace
	ID int64 `arg:"" help:"The key's number, as the list has it."`
}

// Run revokes the key.
func (c *keysRevokeCommand) Run(ctx context.Context, t *terminal) error {
	keeper, err := c.open(ctx, t, true)
	if err != nil {
		return err
	}
	defer keeper.Close()
	if err := keeper.RevokeKey(ctx, engine.KeyID(c.ID)); err != nil {
		return err
	}
	t.say("key %d revoked", c.ID)
	return nil
}

// storeKeys keeps keys in a store at rest.
type storeKeys struct{ store engine.Store }

func (s storeKeys) CreateKey(ctx context.Context, name string, scopes []engine.Scope, expires time.Time) (client.Key, error) {
	key, secret, err := engine.NewAPIKey(name, scopes, time.Now(), expires)
	if err != nil {
		return client.Key{}, err
	}
	if key, err = s.store.CreateKey(ctx, key); err != nil {
		return client.Key{}, fmt.Errorf("store the key: %w", err)
	}
	return client.Key{ID: key.ID, Name: key.Name, Scopes: key.Scopes, Secret: secret}, nil
}

func (s storeKeys) Keys(ctx context.Context) ([]client.Key, error) {
	stored, err := s.store.ListKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the keys: %w", err)
	}
	keys := make([]client.Key, len(stored))
	for i, k := range stored {
		keys[i] = client.Key{
			ID: k.ID, Name: k.Name, Prefix: k.Prefix, Scopes: k.Scopes, CreatedAt: k.CreatedAt,
			ExpiresAt: &k.ExpiresAt, LastUsedAt: &k.LastUsedAt, RevokedAt: &k.RevokedAt,
		}
	}
	return keys, nil
}

func (s storeKeys) RevokeKey(ctx context.Context, id engine.KeyID) error {
	if _, err := s.store.RevokeKey(ctx, id, time.Now()); err != nil {
		return fmt.Errorf("revoke key %d: %w", id, err)
	}
	return nil
}

func (s storeKeys) Close() {
	// Everything is committed; an error here loses nothing.
	_ = s.store.Close()
}

func joinScopes(scopes []engine.Scope) string {
	words := make([]string, len(scopes))
	for i, s := range scopes {
		words[i] = string(s)
	}
	return cmp.Or(strings.Join(words, ","), "-")
}

// dateText is a time to the second, or "-".
func dateText(at *time.Time) string {
	if at == nil || at.IsZero() {
		return "-"
	}
	return at.UTC().Format(time.RFC3339)
}
