package postgres

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	connectTimeout    = 3 * time.Second
	pingTimeout       = 2 * time.Second
	connLifetime      = 30 * time.Minute
	connLifetimeExtra = 10 * time.Minute // jitter, so that instances started together do not reconnect together
	connIdleMax       = 5 * time.Minute
	healthInterval    = 15 * time.Second
	statementsMax     = 128
)

// sessionSettings make the server give up on us when we are gone without a word: a backend that waits for the rest of a COPY
// heeds no statement_timeout, and it holds locks that the other instances' writers need.
func sessionSettings(statement time.Duration) map[string]string {
	ms := func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
	return map[string]string{
		"statement_timeout":                   ms(statementTimeout(statement)),
		"idle_in_transaction_session_timeout": ms(10 * time.Second),
		"tcp_keepalives_idle":                 "5", // seconds
		"tcp_keepalives_interval":             "2",
		"tcp_keepalives_count":                "3",
		"tcp_user_timeout":                    ms(10 * time.Second),
	}
}

// statementTimeout is the server's bound for a statement of a call that has a timeout: below it, so that the connection survives.
func statementTimeout(call time.Duration) time.Duration { return call * 9 / 10 }

func (s *Store) openPool(ctx context.Context, connsMax int, statement time.Duration) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(s.cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("parse the URL of the database: %w", err)
	}
	conn := cfg.ConnConfig
	if conn.DefaultQueryExecMode, err = s.cfg.execMode(conn.DefaultQueryExecMode); err != nil {
		return nil, fmt.Errorf("check the settings of the store: %w", err)
	}
	if conn.ConnectTimeout == 0 {
		conn.ConnectTimeout = connectTimeout
	}
	conn.StatementCacheCapacity, conn.DescriptionCacheCapacity = statementsMax, statementsMax
	if conn.RuntimeParams["application_name"] == "" {
		conn.RuntimeParams["application_name"] = "carom"
	}
	settings := sessionSettings(statement)
	if conn.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement {
		for name, value := range settings {
			if _, ok := conn.RuntimeParams[name]; !ok { // the URL's word comes first
				conn.RuntimeParams[name] = value
			}
		}
	} else {
		// PgBouncer refuses start-up parameters that it does not track.
		s.local = localSettings(sessionSettings(s.cfg.WriteTimeout))
	}
	cfg.MinConns, cfg.MinIdleConns, cfg.MaxConns = 0, 0, int32(connsMax)
	cfg.MaxConnLifetime, cfg.MaxConnLifetimeJitter = connLifetime, connLifetimeExtra
	cfg.MaxConnIdleTime, cfg.HealthCheckPeriod, cfg.PingTimeout = connIdleMax, healthInterval, pingTimeout
	cfg.ShouldPing = func(ctx context.Context, p pgxpool.ShouldPingParams) bool {
		return p.IdleDuration > time.Second || ctx.Value(pingFirst{}) != nil
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("make the connection pool: %w", err)
	}
	return pool, nil
}

// pingFirst marks the context of a second try: whatever killed the first connection may have killed all of the pool's, and
// an Acquire that pings throws the dead ones away until it finds one that lives.
type pingFirst struct{}

// localSettings is the statement that sets settings until the end of the transaction.
func localSettings(settings map[string]string) string {
	text := "SELECT "
	sep := ""
	for name, value := range settings {
		text += sep + "set_config('" + name + "', '" + value + "', true)"
		sep = ", "
	}
	return text
}
