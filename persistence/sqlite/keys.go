package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/carom-dev/carom/engine"
)

const selectKeys = "SELECT id, name, prefix, hash, scopes, created_at, expires_at, last_used_at, revoked_at FROM api_keys "

// CreateKey stores a key.
func (s *Store) CreateKey(ctx context.Context, k engine.APIKey) (engine.APIKey, error) {
	scopes := make([]string, len(k.Scopes))
	for i, scope := range k.Scopes {
		scopes[i] = string(scope)
	}
	var stored engine.APIKey
	err := s.write(ctx, "create a key", func(ctx context.Context, tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `INSERT INTO api_keys (name, prefix, hash, scopes, created_at, expires_at, last_used_at, revoked_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, k.Name, k.Prefix, k.Hash[:], strings.Join(scopes, " "), s.moment(k.CreatedAt).UnixMicro(),
			micros(k.ExpiresAt), micros(k.LastUsedAt), micros(k.RevokedAt))
		if isTaken(err) {
			return engine.Errorf(engine.CodeConflict, "the key is there already")
		}
		if err != nil {
			return err
		}
		id, err := result.LastInsertId()
		if err != nil {
			return err
		}
		stored, err = keyBy(ctx, tx, "WHERE id = ?", id)
		return err
	})
	if err != nil {
		return engine.APIKey{}, err
	}
	return stored, nil
}

func scanKey(row interface{ Scan(...any) error }) (engine.APIKey, error) {
	var k engine.APIKey
	var hash []byte
	var scopes string
	var created int64
	var expires, used, revoked sql.Null[int64]
	if err := row.Scan(&k.ID, &k.Name, &k.Prefix, &hash, &scopes, &created, &expires, &used, &revoked); err != nil {
		return engine.APIKey{}, err
	}
	copy(k.Hash[:], hash)
	for scope := range strings.FieldsSeq(scopes) {
		k.Scopes = append(k.Scopes, engine.Scope(scope))
	}
	k.CreatedAt = time.UnixMicro(created).UTC()
	k.ExpiresAt, k.LastUsedAt, k.RevokedAt = timeOf(expires), timeOf(used), timeOf(revoked)
	return k, nil
}

func keyBy(ctx context.Context, db querier, where string, arg any) (engine.APIKey, error) {
	k, err := scanKey(db.QueryRowContext(ctx, selectKeys+where, arg))
	if errors.Is(err, sql.ErrNoRows) {
		return engine.APIKey{}, engine.Errorf(engine.CodeNotFound, "there is no such key")
	}
	return k, err
}

// KeyByHash finds a key by its secret's hash.
func (s *Store) KeyByHash(ctx context.Context, hash [32]byte) (engine.APIKey, error) {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return engine.APIKey{}, err
	}
	defer leave()
	k, err := keyBy(ctx, s.points, "WHERE hash = ?", hash[:])
	if err != nil {
		return engine.APIKey{}, s.wrap("find a key", err)
	}
	return k, nil
}

// ListKeys reads all keys.
func (s *Store) ListKeys(ctx context.Context) ([]engine.APIKey, error) {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	var keys []engine.APIKey
	err = query(ctx, s.reader, func(rows *sql.Rows) error {
		k, err := scanKey(rows)
		keys = append(keys, k)
		return err
	}, selectKeys+"ORDER BY created_at, id")
	if err != nil {
		return nil, s.wrap("list keys", err)
	}
	return keys, nil
}

// RevokeKey ends a key.
func (s *Store) RevokeKey(ctx context.Context, id engine.KeyID, at time.Time) (engine.APIKey, error) {
	var k engine.APIKey
	err := s.write(ctx, "revoke a key", func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE api_keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", s.moment(at).UnixMicro(), int64(id))
		if err != nil {
			return err
		}
		k, err = keyBy(ctx, tx, "WHERE id = ?", int64(id))
		return err
	})
	if err != nil {
		return engine.APIKey{}, err
	}
	return k, nil
}

// TouchKey notes a use, to the minute: a key that was noted in this minute costs a read and no write.
func (s *Store) TouchKey(ctx context.Context, id engine.KeyID, at time.Time) error {
	minute := s.moment(at).Truncate(time.Minute).UnixMicro()
	const due = "id = ?1 AND coalesce(last_used_at, -1) < ?2"
	needed, err := s.exists(ctx, "SELECT EXISTS (SELECT 1 FROM api_keys WHERE "+due+")", int64(id), minute)
	if err != nil || !needed {
		return err
	}
	return s.write(ctx, "note the use of a key", func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE api_keys SET last_used_at = ?2 WHERE "+due, int64(id), minute)
		return err
	})
}

func (s *Store) exists(ctx context.Context, text string, args ...any) (found bool, err error) {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	if err := s.reader.QueryRowContext(ctx, text, args...).Scan(&found); err != nil {
		return false, s.wrap("look a key up", err)
	}
	return found, nil
}
