package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/carom-dev/carom/engine"
)

const keyColumns = "id, name, prefix, hash, scopes, created_at, expires_at, last_used_at, revoked_at"

func scanKey(row pgx.Row) (engine.APIKey, error) {
	var k engine.APIKey
	var id int64
	var hash []byte
	var scopes []string
	var expires, used, revoked *time.Time
	if err := row.Scan(&id, &k.Name, &k.Prefix, &hash, &scopes, &k.CreatedAt, &expires, &used, &revoked); err != nil {
		return engine.APIKey{}, err
	}
	k.ID, k.CreatedAt = engine.KeyID(id), k.CreatedAt.UTC()
	copy(k.Hash[:], hash)
	for _, s := range scopes {
		k.Scopes = append(k.Scopes, engine.Scope(s))
	}
	for _, t := range []struct {
		from *time.Time
		to   *time.Time
	}{{expires, &k.ExpiresAt}, {used, &k.LastUsedAt}, {revoked, &k.RevokedAt}} {
		if t.from != nil {
			*t.to = t.from.UTC()
		}
	}
	return k, nil
}

// CreateKey stores a key.
func (s *Store) CreateKey(ctx context.Context, k engine.APIKey) (engine.APIKey, error) {
	scopes := make([]string, len(k.Scopes))
	for i, scope := range k.Scopes {
		scopes[i] = string(scope)
	}
	var stored engine.APIKey
	err := s.edit(ctx, "create a key", func(ctx context.Context, tx pgx.Tx) (err error) {
		stored, err = scanKey(tx.QueryRow(ctx, `INSERT INTO api_keys (name, prefix, hash, scopes, created_at, expires_at, last_used_at, revoked_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (hash) DO NOTHING RETURNING `+keyColumns,
			k.Name, k.Prefix, k.Hash[:], scopes, s.moment(k.CreatedAt), orNull(k.ExpiresAt), orNull(k.LastUsedAt), orNull(k.RevokedAt)))
		if errors.Is(err, pgx.ErrNoRows) {
			return engine.Errorf(engine.CodeConflict, "the key is there already")
		}
		return err
	})
	return stored, err
}

// KeyByHash finds a key.
func (s *Store) KeyByHash(ctx context.Context, hash [32]byte) (engine.APIKey, error) {
	var k engine.APIKey
	err := s.read(ctx, "find a key", func(ctx context.Context, conn *pgx.Conn) (err error) {
		k, err = scanKey(conn.QueryRow(ctx, "SELECT "+keyColumns+" FROM api_keys WHERE hash = $1", hash[:]))
		return noKey(err)
	})
	return k, err
}

func noKey(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return engine.Errorf(engine.CodeNotFound, "there is no such key")
	}
	return err
}

// ListKeys reads all keys.
func (s *Store) ListKeys(ctx context.Context) ([]engine.APIKey, error) {
	var keys []engine.APIKey
	err := s.read(ctx, "list keys", func(ctx context.Context, conn *pgx.Conn) error {
		keys = keys[:0]
		return scan(ctx, conn, func(rows pgx.Rows) error {
			k, err := scanKey(rows)
			keys = append(keys, k)
			return err
		}, "SELECT "+keyColumns+" FROM api_keys ORDER BY created_at, id")
	})
	return keys, err
}

// RevokeKey ends a key; the first time counts.
func (s *Store) RevokeKey(ctx context.Context, id engine.KeyID, at time.Time) (engine.APIKey, error) {
	var k engine.APIKey
	err := s.edit(ctx, "revoke a key", func(ctx context.Context, tx pgx.Tx) (err error) {
		k, err = scanKey(tx.QueryRow(ctx, "UPDATE api_keys SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1 RETURNING "+keyColumns, int64(id), s.moment(at)))
		return noKey(err)
	})
	return k, err
}

// TouchKey notes a use, to the minute: a key in constant use costs one update a minute.
func (s *Store) TouchKey(ctx context.Context, id engine.KeyID, at time.Time) error {
	return s.edit(ctx, "note the use of a key", func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE api_keys SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)",
			int64(id), at.UTC().Truncate(time.Minute))
		return err
	})
}
