// Package deltas packs the rollups of a batch of clicks into a few rows, which a store adds to its rollups later, many batches at a time.
package deltas

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/carom-dev/carom/engine"
)

// Buckets is how many parts the links are dealt into, by their ids. Rows of databases depend on it, and on how they are dealt: neither changes.
const Buckets = 64

// ByLink deals single links, for a store whose rows lie wherever there is room.
func ByLink(link engine.LinkID) int { return int(uint64(link) % Buckets) }

// Block is how many links that were made one after the other ByBlock keeps together. With 64, a fold writes fewer pages (3 % of a batch's processor
// time in SQLite), but links that are popular together fill one bucket, and their figures take four times as long to read.
const Block = 8

// ByBlock deals blocks of links, for a store whose rows lie by link: what is folded of a bucket is on few pages.
func ByBlock(link engine.LinkID) int { return int(uint64(link) / Block % Buckets) }

// rowBytes is where a row ends and the next one begins: below what Postgres moves out of the row.
const rowBytes = 1800

// Rows are rollups of a batch, packed into rows of a bucket each.
type Rows struct {
	Buckets  []int32 // of each payload
	Payloads [][]byte
	Entries  [Buckets]int // rollups in each bucket
}

// Pack packs hours and rollups, both in the order of their keys, by the bucket that each link has. A row is a sequence of hours: link, hour since the epoch, clicks,
// visits, number of values; and for each value dimension, value and clicks. Numbers are unsigned varints, text has its length before it.
func Pack(hours []engine.HourRollup, rollups []engine.Rollup, bucketOf func(engine.LinkID) int) *Rows {
	d := &Rows{}
	var open [Buckets][]byte
	next := 0
	for _, h := range hours {
		first := next
		for next < len(rollups) && rollups[next].Link == h.Link && rollups[next].Hour == h.Hour {
			next++
		}
		bucket := bucketOf(h.Link)
		row := open[bucket]
		for _, n := range []int64{int64(h.Link), h.Hour / secondsAnHour, h.Clicks, h.Visits, int64(next - first)} {
			row = binary.AppendUvarint(row, uint64(n))
		}
		for i := first; i < next; i++ {
			row = appendCounted(row, string(rollups[i].Dimension))
			row = appendCounted(row, rollups[i].Value)
			row = binary.AppendUvarint(row, uint64(rollups[i].Clicks))
		}
		d.Entries[bucket] += 1 + next - first
		if len(row) >= rowBytes {
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

func (d *Rows) add(bucket int, row []byte) {
	d.Buckets = append(d.Buckets, int32(bucket))
	d.Payloads = append(d.Payloads, row)
}

func appendCounted(dst []byte, text string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}

// ErrDamaged says that a row is not what Pack writes.
var ErrDamaged = errors.New("a row of rollup deltas can't be read")

// Sums adds rows up. For one goroutine.
type Sums struct {
	link   engine.LinkID // the only one that is wanted; 0: all
	hours  map[hourKey]*engine.HourRollup
	values map[valueKey]int64
}

type hourKey struct {
	link engine.LinkID
	hour int64
}

type valueKey struct {
	hourKey
	dimension, value string
}

// NewSums are sums of one link; 0 means of all.
func NewSums(link engine.LinkID) *Sums {
	return &Sums{link: link, hours: map[hourKey]*engine.HourRollup{}, values: map[valueKey]int64{}}
}

// Add takes one row, whose bytes it does not keep, and returns how many rollups it has. After ErrDamaged the sums have a part of it.
func (d *Sums) Add(row []byte) (entries int, err error) {
	r := reader{rest: row}
	for len(r.rest) > 0 {
		key := hourKey{link: engine.LinkID(r.number()), hour: r.number() * secondsAnHour}
		clicks, visits, values := r.number(), r.number(), r.number()
		wanted := !r.broken && (d.link == 0 || d.link == key.link)
		if wanted {
			h := d.hours[key]
			if h == nil {
				h = &engine.HourRollup{Link: key.link, Hour: key.hour}
				d.hours[key] = h
			}
			h.Clicks += clicks
			h.Visits += visits
		}
		entries += 1 + int(values)
		for ; values > 0 && !r.broken; values-- {
			dimension, value, n := r.text(), r.text(), r.number()
			if wanted && !r.broken {
				d.values[valueKey{key, string(dimension), string(value)}] += n
			}
		}
		if r.broken {
			return entries, ErrDamaged
		}
	}
	return entries, nil
}

// Hours are the sums by the hour, in no order.
func (d *Sums) Hours(yield func(engine.HourRollup) bool) {
	for _, h := range d.hours {
		if !yield(*h) {
			return
		}
	}
}

// Clicks are those of all hours.
func (d *Sums) Clicks() (n int64) {
	for _, h := range d.hours {
		n += h.Clicks
	}
	return n
}

// Referrers are the sums by referrer and hour within a period, in no order, and never nil.
func (d *Sums) Referrers(within engine.Period) (values []string, clicks []int64) {
	values, clicks = []string{}, []int64{}
	for k, n := range d.values {
		if k.dimension == string(engine.DimensionReferrer) && within.Has(k.hour) {
			values, clicks = append(values, k.value), append(clicks, n)
		}
	}
	return values, clicks
}

// Sorted are the sums in the order of their keys, as engine.Aggregate returns them.
func (d *Sums) Sorted() ([]engine.HourRollup, []engine.Rollup) {
	hours, rollups := make([]engine.HourRollup, 0, len(d.hours)), make([]engine.Rollup, 0, len(d.values))
	for _, h := range d.hours {
		hours = append(hours, *h)
	}
	for k, n := range d.values {
		rollups = append(rollups, engine.Rollup{Link: k.link, Hour: k.hour, Dimension: engine.Dimension(k.dimension), Value: k.value, Clicks: n})
	}
	slices.SortFunc(hours, func(a, b engine.HourRollup) int {
		return cmp.Or(cmp.Compare(a.Link, b.Link), cmp.Compare(a.Hour, b.Hour))
	})
	slices.SortFunc(rollups, func(a, b engine.Rollup) int {
		return cmp.Or(cmp.Compare(a.Link, b.Link), cmp.Compare(a.Hour, b.Hour), cmp.Compare(a.Dimension, b.Dimension), cmp.Compare(a.Value, b.Value))
	})
	return hours, rollups
}

// AddClicks adds a row's clicks to those links that counts has.
func AddClicks(counts map[engine.LinkID]int64, row []byte) error {
	r := reader{rest: row}
	for len(r.rest) > 0 {
		link := engine.LinkID(r.number())
		r.number() // the hour
		clicks := r.number()
		r.number() // visits
		for values := r.number(); values > 0 && !r.broken; values-- {
			r.text()
			r.text()
			r.number()
		}
		if r.broken {
			return ErrDamaged
		}
		if before, ok := counts[link]; ok {
			counts[link] = before + clicks
		}
	}
	return nil
}

// Check returns ErrDamaged where Add would.
func Check(row []byte) error { return AddClicks(nil, row) }

// reader reads what Pack wrote; broken once it could not.
type reader struct {
	rest   []byte
	broken bool
}

func (r *reader) number() int64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.rest, r.broken = nil, true
		return 0
	}
	r.rest = r.rest[n:]
	return int64(v)
}

func (r *reader) text() []byte {
	n := r.number()
	if n < 0 || n > int64(len(r.rest)) {
		r.rest, r.broken = nil, true
		return nil
	}
	text := r.rest[:n]
	r.rest = r.rest[n:]
	return text
}
