package testservices

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Direct asks a database over a pool of its own, without any of the product's code: the yardstick of benchmarks. Safe for concurrent use.
type Direct struct{ pool *pgxpool.Pool }

// Direct connects to one database, over connsMax connections at most. It does not wait for the server.
func (p *Postgres) Direct(ctx context.Context, database string, connsMax int) (*Direct, error) {
	cfg, err := pgxpool.ParseConfig(p.URL(database))
	if err != nil {
		return nil, fmt.Errorf("parse the URL of the database: %w", err)
	}
	cfg.MaxConns = int32(connsMax)
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("make the connection pool: %w", err)
	}
	return &Direct{pool}, nil
}

// QueryRow reads the one row of a query into dest.
func (d *Direct) QueryRow(ctx context.Context, text string, args []any, dest ...any) error {
	return d.pool.QueryRow(ctx, text, args...).Scan(dest...)
}

// Exec runs a statement.
func (d *Direct) Exec(ctx context.Context, text string) error {
	_, err := d.pool.Exec(ctx, text)
	return err
}

// Close ends the connections.
func (d *Direct) Close() { d.pool.Close() }
