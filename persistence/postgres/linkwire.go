package postgres

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/carom-dev/carom/engine"
)

// loadColumns are read by scanLoaded: what tables publish. The other five columns would be sent and read for nothing.
const loadColumns = "l.id, l.code, l.target, l.active, l.redirect_status, l.valid_since, l.valid_until, l.max_visits, l.forward_query, l.version"

// errLinkRow says that a row is not what loadColumns ask for.
var errLinkRow = errors.New("a row of links can't be read")

// scanLoaded is for look-ups, which come by the thousand: it reads Postgres' binary format itself, where the row has it, as pgx would
// go through a plan for each value. In the mode "exec" rows are text. The domain is left to the caller.
func scanLoaded(rows pgx.Rows) (engine.Link, error) {
	for _, field := range rows.FieldDescriptions() {
		if field.Format != pgx.BinaryFormatCode && field.DataTypeOID != pgtype.TextOID { // text is the same in both
			return scanLoadedText(rows)
		}
	}
	r := wireRow{values: rows.RawValues()}
	l := engine.Link{
		ID: engine.LinkID(r.number(8)), Code: r.text(), Target: r.text(), Active: r.number(1) != 0, RedirectStatus: int(r.number(2)),
		ValidSince: r.time(), ValidUntil: r.time(), MaxVisits: r.number(8), ForwardQuery: r.number(1) != 0, Version: uint64(r.number(8)),
	}
	if r.broken || len(r.values) > 0 {
		return engine.Link{}, errLinkRow
	}
	return l, nil
}

func scanLoadedText(row pgx.Row) (engine.Link, error) {
	var l engine.Link
	var v linkValues
	if err := row.Scan(&v.id, &l.Code, &l.Target, &l.Active, &v.status, &v.since, &v.until, &v.visits, &l.ForwardQuery, &v.version); err != nil {
		return engine.Link{}, err
	}
	v.into(&l)
	return l, nil
}

// wireRow reads the values of a row one after the other; broken once one was not of its size. NULL is the zero value.
type wireRow struct {
	values [][]byte // valid until the next row
	broken bool
}

func (r *wireRow) next() []byte {
	if len(r.values) == 0 {
		r.broken = true
		return nil
	}
	v := r.values[0]
	r.values = r.values[1:]
	return v
}

func (r *wireRow) text() string { return string(r.next()) }

// number reads a signed integer of size bytes, or a boolean of one.
func (r *wireRow) number(size int) int64 {
	v := r.next()
	switch {
	case v == nil:
		return 0
	case len(v) != size:
		r.broken = true
		return 0
	}
	switch size {
	case 1:
		return int64(v[0])
	case 2:
		return int64(int16(binary.BigEndian.Uint16(v)))
	case 4:
		return int64(int32(binary.BigEndian.Uint32(v)))
	}
	return int64(binary.BigEndian.Uint64(v))
}

// time reads a timestamptz, microseconds since 2000.
func (r *wireRow) time() time.Time {
	if len(r.values) > 0 && r.values[0] == nil {
		r.next()
		return time.Time{}
	}
	return time.UnixMicro(r.number(8) + epochMicros).UTC()
}
