package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/carom-dev/carom/cmd/carom/internal/setting"
	"github.com/carom-dev/carom/engine"
)

const adminKeyName = "admin"

func adminScopes() []engine.Scope { return []engine.Scope{engine.ScopeAdmin} }

// ensureAdminKey makes sure that the API can be used: the key of the settings is stored, or, when there is no key at all, a new
// one is made, whose secret is returned to be shown once.
func ensureAdminKey(ctx context.Context, store engine.KeyStore, given setting.Secret, log *slog.Logger) (secret string, err error) {
	if given != "" {
		return "", storeAdminKey(ctx, store, string(given), log)
	}
	keys, err := store.ListKeys(ctx)
	if err != nil {
		return "", fmt.Errorf("read the API keys: %w", err)
	}
	if len(keys) > 0 {
		return "", nil
	}
	key, secret, err := engine.NewAPIKey(adminKeyName, adminScopes(), time.Now(), time.Time{})
	if err != nil {
		return "", err
	}
	if key, err = store.CreateKey(ctx, key); err != nil {
		return "", fmt.Errorf("store the first admin key: %w", err)
	}
	log.Info("first admin key made", "key_id", key.ID, "prefix", key.Prefix)
	return secret, nil
}

// storeAdminKey stores the key that an operator chose, unless it is there.
func storeAdminKey(ctx context.Context, store engine.KeyStore, secret string, log *slog.Logger) error {
	there, err := store.KeyByHash(ctx, engine.HashSecret(secret))
	switch engine.ErrorCodeOf(err) {
	case "":
		if !there.Valid(time.Now()) {
			log.Warn("the key of --admin-key is revoked or expired", "key_id", there.ID)
		}
		return nil
	case engine.CodeNotFound:
	default:
		return fmt.Errorf("look the key of --admin-key up: %w", err)
	}
	key, _, err := engine.APIKeyOf(secret, adminKeyName, adminScopes(), time.Now(), time.Time{})
	if err != nil {
		return err
	}
	key, err = store.CreateKey(ctx, key)
	if engine.ErrorCodeOf(err) == engine.CodeConflict {
		return nil // another instance was faster
	}
	if err != nil {
		return fmt.Errorf("store the key of --admin-key: %w", err)
	}
	log.Info("key of --admin-key stored", "key_id", key.ID, "prefix", key.Prefix)
	return nil
}
