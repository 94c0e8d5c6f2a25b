package sqlite

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"

	"github.com/carom-dev/carom/engine"
)

// idempotencyForgotten keys that have expired go with each new one: more than come, and few enough to take no time.
const idempotencyForgotten = 100

// repeated finds the link that an earlier call with the same key made, or 0.
func repeated(ctx context.Context, tx *sql.Tx, by engine.Author, idem *engine.Idempotency) (engine.LinkID, error) {
	expired := by.At.Add(-engine.IdempotencyTTL).UnixMicro()
	_, err := tx.ExecContext(ctx, `DELETE FROM idempotency WHERE (actor_key_id, key) IN
		(SELECT actor_key_id, key FROM idempotency WHERE created_at <= ? ORDER BY created_at LIMIT ?)`, expired, idempotencyForgotten)
	if err != nil {
		return 0, fmt.Errorf("forget old idempotency keys: %w", err)
	}
	var digest []byte
	var id engine.LinkID
	err = tx.QueryRowContext(ctx, "SELECT digest, link_id FROM idempotency WHERE actor_key_id = ? AND key = ? AND created_at > ?",
		int64(by.Key), idem.Key, expired).Scan(&digest, &id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("look the idempotency key up: %w", err)
	case subtle.ConstantTimeCompare(digest, idem.Digest[:]) != 1:
		return 0, &engine.Error{Code: engine.CodeInvalid, Message: "the request is not accepted", Fields: []engine.FieldError{
			{Field: "Idempotency-Key", Detail: "was used for another request; take a new one"},
		}}
	}
	return id, nil
}

func remember(ctx context.Context, tx *sql.Tx, by engine.Author, idem *engine.Idempotency, id engine.LinkID) error {
	_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO idempotency (actor_key_id, key, digest, link_id, created_at) VALUES (?, ?, ?, ?, ?)",
		int64(by.Key), idem.Key, idem.Digest[:], int64(id), by.At.UnixMicro())
	if err != nil {
		return fmt.Errorf("keep the idempotency key: %w", err)
	}
	return nil
}
