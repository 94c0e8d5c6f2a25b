package storetest

import "time"

// Exec runs a statement on a database beside the store that is on it.
type Exec func(text string, args ...any) error

// FillFunc puts rollups into a store.
type FillFunc func(exec Exec, l StatsLink, end time.Time, hours, referrers int, each int64) error

// FillPostgres puts a link's rollups by the hour into a Postgres store, as its clicks would have: each of the hours before end has so many clicks
// by each of so many referrers.
func FillPostgres(exec Exec, l StatsLink, end time.Time, hours, referrers int, each int64) error {
	return fill(exec, []string{
		"INSERT INTO click_hours SELECT $1, $2::timestamptz - n * interval '1 hour', $4::integer * $5::bigint, $4::integer * $5::bigint FROM generate_series(1, $3::integer) n",
		"INSERT INTO click_rollups SELECT $1, $2::timestamptz - n * interval '1 hour', 'referrer', 'site' || r || '.example', $5::bigint FROM generate_series(1, $3::integer) n, generate_series(1, $4::integer) r",
		"INSERT INTO link_totals SELECT $1, n, n FROM (SELECT $3::integer * $4::integer * $5::bigint AS n WHERE $2::timestamptz IS NOT NULL) t",
	}, int64(l.ID), end, hours, referrers, each)
}

// FillSQLite does the same to the embedded store.
func FillSQLite(exec Exec, l StatsLink, end time.Time, hours, referrers int, each int64) error {
	const numbers = "WITH RECURSIVE h (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM h WHERE n < ?3), r (k) AS (VALUES (1) UNION ALL SELECT k + 1 FROM r WHERE k < ?4) "
	return fill(exec, []string{
		numbers + "INSERT INTO click_hours SELECT ?1, ?2 - n * 3600, ?4 * ?5, ?4 * ?5, 0 FROM h",
		numbers + "INSERT INTO click_rollups SELECT ?1, ?2 - n * 3600, 'referrer', 'site' || k || '.example', ?5 FROM h, r",
		"INSERT INTO link_totals SELECT ?1, ?3 * ?4 * ?5, ?3 * ?4 * ?5 WHERE ?2 > 0",
	}, int64(l.ID), end.Unix(), hours, referrers, each)
}

func fill(exec Exec, texts []string, args ...any) error {
	for _, text := range texts {
		if err := exec(text, args...); err != nil {
			return err
		}
	}
	return nil
}
