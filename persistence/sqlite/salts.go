package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"time"
)

// saltDays is how many days before the asked one keep their salt.
const saltDays = 2

// VisitorSalt reads or makes the secret of a UTC day.
func (s *Store) VisitorSalt(ctx context.Context, day time.Time) (salt [16]byte, err error) {
	number := day.UTC().Unix() / 86400
	if done, err := s.saltOnly(ctx, number, &salt); done || err != nil {
		return salt, err
	}
	err = s.write(ctx, "make a visitor salt", func(ctx context.Context, tx *sql.Tx) error {
		var fresh [16]byte
		if _, err := rand.Read(fresh[:]); err != nil {
			return fmt.Errorf("read randomness: %w", err)
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO visitor_salts (day, salt) VALUES (?, ?) ON CONFLICT DO NOTHING", number, fresh[:]); err != nil {
			return fmt.Errorf("insert: %w", err)
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM visitor_salts WHERE day < ?", number-saltDays); err != nil {
			return fmt.Errorf("delete old salts: %w", err)
		}
		var stored []byte
		if err := tx.QueryRowContext(ctx, "SELECT salt FROM visitor_salts WHERE day = ?", number).Scan(&stored); err != nil {
			return fmt.Errorf("read: %w", err)
		}
		copy(salt[:], stored)
		return nil
	})
	return salt, err
}

// saltOnly reads the day's salt; done says that it is there and no older one has to go.
func (s *Store) saltOnly(ctx context.Context, number int64, salt *[16]byte) (done bool, err error) {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	found, old := false, false
	err = query(ctx, s.points, func(rows *sql.Rows) error {
		var day int64
		var stored []byte
		err := rows.Scan(&day, &stored)
		if day == number {
			found = true
			copy(salt[:], stored)
		}
		old = old || day < number-saltDays
		return err
	}, "SELECT day, salt FROM visitor_salts")
	if err != nil {
		return false, s.wrap("read a visitor salt", err)
	}
	return found && !old, nil
}
