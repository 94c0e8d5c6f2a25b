package api

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/carom-dev/carom/edge/wire"
	"github.com/carom-dev/carom/engine"
)

const (
	// keyTTL is how long a key is taken from memory: a key revoked on another instance works here for at most that long.
	keyTTL = 3 * time.Second
	// keysMax bounds the keys in memory; beyond it those in it are thrown away, and asked for again.
	keysMax = 4096
	// touchInterval is the resolution of a key's last use.
	touchInterval = time.Minute
	// touchesMax bounds the uses being noted at once; one more is noted a minute later, or not at all.
	touchesMax = 4
	// secretMax is the longest secret that is hashed, in bytes.
	secretMax = 512
)

var (
	errNoKey      = engine.Errorf(engine.CodeUnauthenticated, "a key is needed: send Authorization: Bearer KEY, or X-Api-Key: KEY")
	errUnknownKey = engine.Errorf(engine.CodeUnauthenticated, "the key is not known, revoked or expired")
)

// authenticate finds the key that came with the request. client is who pays for a key that is not known.
func (a *API) authenticate(r *request, client uint64) (engine.APIKey, error) {
	secret := presentedSecret(r)
	if secret == "" || len(secret) > secretMax {
		r.ctx.Response.Header.Set("WWW-Authenticate", `Bearer realm="carom"`)
		return engine.APIKey{}, errNoKey
	}
	hash := engine.HashSecret(secret)
	key, known, fresh := a.keys.get(hash, r.now)
	if !fresh {
		// A look-up costs the store a query, so it is paid for before: but for a key that was in force a moment ago, whose user shares
		// the network with whoever guesses.
		if !known {
			if err := a.limits.peek(r, client); err != nil {
				return engine.APIKey{}, err
			}
		}
		ctx, cancel := r.store()
		defer cancel()
		found, err := a.cfg.Keys.KeyByHash(ctx, hash)
		switch {
		case err == nil:
			key = found
			a.keys.put(hash, key, r.now)
		case engine.ErrorCodeOf(err) != engine.CodeNotFound:
			return engine.APIKey{}, away(err)
		default:
			key = engine.APIKey{}
			a.keys.drop(hash)
		}
		// That there is no such key is not remembered: it may be made on another instance the next moment.
	}
	if key.ID == 0 || !key.Matches(hash) || !key.Valid(r.now) {
		r.ctx.Response.Header.Set("WWW-Authenticate", `Bearer realm="carom", error="invalid_token"`)
		return engine.APIKey{}, errUnknownKey
	}
	return key, nil
}

func presentedSecret(r *request) string {
	if scheme, token, ok := strings.Cut(wire.Header(r.ctx, "authorization"), " "); ok && strings.EqualFold(scheme, "bearer") {
		return strings.TrimSpace(token)
	}
	return wire.Header(r.ctx, "x-api-key")
}

// touch notes the key's use, at most once a minute and never in the way of the answer.
func (a *API) touch(r *request) {
	if r.now.Sub(r.key.LastUsedAt) < touchInterval || !a.keys.touchable(r.key.Hash, r.now) {
		return
	}
	id, at, timeout, store := r.key.ID, r.now, a.cfg.StoreTimeout, a.cfg.Keys
	a.keys.touching.Go(func() {
		defer func() { <-a.keys.touches }()
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		if err := store.TouchKey(ctx, id, at); err != nil {
			a.cfg.Logger.Debug("key's use was not noted", "err", err)
		}
	})
}

// Close waits for the uses of keys that are being noted. Requests must have ended.
func (a *API) Close() { a.keys.touching.Wait() }

// keyCache holds keys, each taken for true for a few seconds. Safe for concurrent use.
type keyCache struct {
	mu       sync.Mutex
	keys     map[[sha256.Size]byte]cachedKey // guarded by mu
	touches  chan struct{}
	touching sync.WaitGroup
}

type cachedKey struct {
	key     engine.APIKey
	until   time.Time
	touched time.Time
}

func newKeyCache() *keyCache {
	return &keyCache{keys: make(map[[sha256.Size]byte]cachedKey), touches: make(chan struct{}, touchesMax)}
}

// get gives what the store said of a key: known is that it had one, fresh that it was asked less than keyTTL ago.
func (c *keyCache) get(hash [sha256.Size]byte, now time.Time) (key engine.APIKey, known, fresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cached, known := c.keys[hash]
	return cached.key, known, known && now.Before(cached.until)
}

func (c *keyCache) put(hash [sha256.Size]byte, key engine.APIKey, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before, known := c.keys[hash]
	if !known && len(c.keys) >= keysMax {
		clear(c.keys)
	}
	c.keys[hash] = cachedKey{key: key, until: now.Add(keyTTL), touched: before.touched}
}

// touchable claims the note of a use, and a place among those being noted.
func (c *keyCache) touchable(hash [sha256.Size]byte, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	cached, ok := c.keys[hash]
	if !ok || now.Sub(cached.touched) < touchInterval {
		return false
	}
	select {
	case c.touches <- struct{}{}:
	default:
		return false
	}
	cached.touched = now
	c.keys[hash] = cached
	return true
}

// drop forgets a key, whose revocation is then in force here at once.
func (c *keyCache) drop(hash [sha256.Size]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.keys, hash)
}

// keyClient is what rate limits know a key by. Apart from every ClientKey, which hashes 7 bytes.
func keyClient(id engine.KeyID) uint64 {
	var b [9]byte
	b[0] = 'k'
	binary.LittleEndian.PutUint64(b[1:], uint64(id))
	return xxhash.Sum64(b[:])
}
