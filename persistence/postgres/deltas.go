package postgres

import (
	"encoding/binary"
	"errors"

	"github.com/carom-dev/carom/engine"
)

// deltaBuckets is how many parts the links are dealt into, by their ids. Rows of the database depend on it: it never changes.
const deltaBuckets = 64

// deltaBytes is where a row of deltas ends and the next one begins: below what Postgres moves out of the row.
const deltaBytes = 1800

func deltaBucket(link int64) int { return int(uint64(link) % deltaBuckets) }

// deltaRows are rollups of a batch, packed into rows of a bucket each.
type deltaRows struct {
	buckets  []int32
	payloads [][]byte
	entries  [deltaBuckets]int // rollups in each bucket
}

// packDeltas packs hours and rollups, both in the order of their keys. A row is a sequence of hours: link, hour since the epoch, clicks,
// visits, number of values; and for each value dimension, value and clicks. Numbers are unsigned varints, text has its length before it.
func packDeltas(hours []engine.HourRollup, rollups []engine.Rollup) *deltaRows {
	d := &deltaRows{}
	var open [deltaBuckets][]byte
	next := 0
	for _, h := range hours {
		first := next
		for next < len(rollups) && rollups[next].Link == h.Link && rollups[next].Hour == h.Hour {
			next++
		}
		bucket := deltaBucket(int64(h.Link))
		row := open[bucket]
		for _, n := range []int64{int64(h.Link), h.Hour / secondsAnHour, h.Clicks, h.Visits, int64(next - first)} {
			row = binary.AppendUvarint(row, uint64(n))
		}
		for i := first; i < next; i++ {
			row = appendCounted(row, string(rollups[i].Dimension))
			row = appendCounted(row, rollups[i].Value)
			row = binary.AppendUvarint(row, uint64(rollups[i].Clicks))
		}
		d.entries[bucket] += 1 + next - first
		if len(row) >= deltaBytes {
			d.add(bucket, row)
			row = nil
		}
		open[bucket] = row
	}
	for bucket, row := range open {
		if len(row) > 0 {
			d.add(bucket, row)
		}
	}
	return d
}

const secondsAnHour = 3600

func (d *deltaRows) add(bucket int, row []byte) {
	d.buckets = append(d.buckets, int32(bucket))
	d.payloads = append(d.payloads, row)
}

func appendCounted(dst []byte, text string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}

// errDeltas says that a row is not what packDeltas writes.
var errDeltas = errors.New("a row of rollup deltas can't be read")

// deltaSums adds rows of deltas up.
type deltaSums struct {
	link   int64 // the only one that is wanted; 0: all
	hours  map[hourKey]*engine.HourRollup
	values map[valueKey]int64
}

type hourKey struct{ link, hour int64 }

type valueKey struct {
	hourKey
	dimension, value string
}

func newDeltaSums(link int64) *deltaSums {
	return &deltaSums{link: link, hours: map[hourKey]*engine.HourRollup{}, values: map[valueKey]int64{}}
}

// add takes one row.
func (d *deltaSums) add(row []byte) error {
	r := deltaReader{rest: row}
	for len(r.rest) > 0 {
		key := hourKey{link: r.number(), hour: r.number() * secondsAnHour}
		clicks, visits, values := r.number(), r.number(), r.number()
		wanted := !r.broken && (d.link == 0 || d.link == key.link)
		if wanted {
			h := d.hours[key]
			if h == nil {
				h = &engine.HourRollup{Link: engine.LinkID(key.link), Hour: key.hour}
				d.hours[key] = h
			}
			h.Clicks += clicks
			h.Visits += visits
		}
		for ; values > 0 && !r.broken; values-- {
			dimension, value, n := r.text(), r.text(), r.number()
			if wanted && !r.broken {
				d.values[valueKey{key, string(dimension), string(value)}] += n
			}
		}
		if r.broken {
			return errDeltas
		}
	}
	return nil
}

// deltaReader reads what packDeltas wrote; broken once it could not.
type deltaReader struct {
	rest   []byte
	broken bool
}

func (r *deltaReader) number() int64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.rest, r.broken = nil, true
		return 0
	}
	r.rest = r.rest[n:]
	return int64(v)
}

func (r *deltaReader) text() []byte {
	n := r.number()
	if n < 0 || n > int64(len(r.rest)) {
		r.rest, r.broken = nil, true
		return nil
	}
	text := r.rest[:n]
	r.rest = r.rest[n:]
	return text
}
