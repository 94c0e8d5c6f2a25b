package api

import (
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/valyala/fasthttp"

	"github.com/carom-dev/carom/engine"
)

// keyJSON is an API key as the API gives it; Key, the secret, only in the answer to its creation.
type keyJSON struct {
	ID         engine.KeyID   `json:"id"`
	Name       string         `json:"name"`
	Prefix     string         `json:"prefix"`
	Scopes     []engine.Scope `json:"scopes"`
	CreatedAt  time.Time      `json:"created_at"`
	ExpiresAt  *time.Time     `json:"expires_at"`
	LastUsedAt *time.Time     `json:"last_used_at"`
	RevokedAt  *time.Time     `json:"revoked_at"`
	Key        string         `json:"key,omitzero"`
}

func keyOut(k *engine.APIKey) keyJSON {
	return keyJSON{
		ID: k.ID, Name: k.Name, Prefix: k.Prefix, Scopes: k.Scopes, CreatedAt: k.CreatedAt.UTC(), ExpiresAt: timeOrNil(k.ExpiresAt),
		LastUsedAt: timeOrNil(k.LastUsedAt), RevokedAt: timeOrNil(k.RevokedAt),
	}
}

func (a *API) listKeys(r *request) error {
	if err := r.noQuery(); err != nil {
		return err
	}
	ctx, cancel := r.store()
	defer cancel()
	keys, err := a.cfg.Keys.ListKeys(ctx)
	if err != nil {
		return away(err)
	}
	out := page[keyJSON]{Data: make([]keyJSON, len(keys))}
	for i := range keys {
		out.Data[i] = keyOut(&keys[i])
	}
	return r.answer(fasthttp.StatusOK, out)
}

func (a *API) createKey(r *request) error {
	if err := r.noQuery(); err != nil {
		return err
	}
	if _, err := r.bodyType(typeJSON); err != nil {
		return err
	}
	var (
		name    string
		scopes  []engine.Scope
		expires time.Time
	)
	if err := decode(r.ctx.PostBody(), fields{
		"name": takeString(&name),
		"scopes": func(v jsontext.Value) error {
			if v.Kind() != '[' || json.Unmarshal(v, &scopes) != nil {
				return wrongType(v, "an array of strings")
			}
			return nil
		},
		"expires_at": orNull(func() { expires = time.Time{} }, takeTime(&expires)),
	}); err != nil {
		return err
	}
	key, secret, err := engine.NewAPIKey(name, scopes, r.now, expires)
	if err != nil {
		return err
	}
	ctx, cancel := r.store()
	defer cancel()
	if key, err = a.cfg.Keys.CreateKey(ctx, key); err != nil {
		return away(err)
	}
	out := keyOut(&key)
	out.Key = secret
	r.ctx.Response.Header.Set("Location", r.origin()+"/keys/"+strconv.FormatInt(int64(key.ID), 10))
	r.ctx.Response.Header.Set("Cache-Control", "no-store")
	return r.answer(fasthttp.StatusCreated, out)
}

func (a *API) revokeKey(r *request) error {
	id, err := r.pathID("key")
	if err != nil {
		return err
	}
	if err := r.noQuery(); err != nil {
		return err
	}
	ctx, cancel := r.store()
	defer cancel()
	key, err := a.cfg.Keys.RevokeKey(ctx, engine.KeyID(id), r.now.UTC().Truncate(time.Microsecond))
	if err != nil {
		return away(err)
	}
	a.keys.drop(key.Hash)
	r.ctx.Response.SetStatusCode(fasthttp.StatusNoContent)
	return nil
}
