package sqlite

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/deltas"
)

// linkRun says that a link has the run that ends with last.
type linkRun struct {
	link engine.LinkID
	last int64
}

// packRuns packs runs, which are in the order of their links and ids, into a row a bucket: pairs of the link and the last id, each less the one
// before it (uvarints).
func packRuns(runs []clickRun) (rows [deltas.Buckets][]byte) {
	var before [deltas.Buckets]linkRun
	for i := range runs {
		r := linkRun{runs[i].link, runs[i].last}
		bucket := deltas.ByBlock(r.link)
		rows[bucket] = binary.AppendUvarint(rows[bucket], uint64(r.link-before[bucket].link))
		rows[bucket] = binary.AppendUvarint(rows[bucket], uint64(r.last-before[bucket].last))
		before[bucket] = r
	}
	return rows
}

var errLinkRuns = errors.New("a row of runs can't be read")

// eachLinkRun hands out what packRuns has packed into a row.
func eachLinkRun(row []byte, fn func(linkRun)) error {
	var r linkRun
	for len(row) > 0 {
		link, n := binary.Uvarint(row)
		if n <= 0 {
			return errLinkRuns
		}
		last, m := binary.Uvarint(row[n:])
		if m <= 0 {
			return errLinkRuns
		}
		row = row[n+m:]
		r.link, r.last = r.link+engine.LinkID(link), r.last+int64(last)
		fn(r)
	}
	return nil
}

// sortRuns puts runs into the order of their table.
func sortRuns(runs []linkRun) {
	slices.SortFunc(runs, func(a, b linkRun) int { return cmp.Or(cmp.Compare(a.link, b.link), cmp.Compare(a.last, b.last)) })
}

// waitingRuns reads the last ids of a link's runs that are not in link_runs yet, in their order. They are all behind those that are; one that
// is in both, as somebody has written the table anew, is left out.
func waitingRuns(ctx context.Context, db querier, link engine.LinkID) ([]int64, error) {
	ids, known := []int64{}, int64(0)
	if err := db.QueryRowContext(ctx, "SELECT coalesce(max(last_id), 0) FROM link_runs WHERE link_id = ?", int64(link)).Scan(&known); err != nil {
		return nil, fmt.Errorf("look for the link's last run: %w", err)
	}
	err := eachDelta(ctx, db, deltaRuns, []int{deltas.ByBlock(link)}, func(row []byte) error {
		return eachLinkRun(row, func(r linkRun) {
			if r.link == link && r.last > known {
				ids = append(ids, r.last)
			}
		})
	})
	slices.Sort(ids)
	return ids, err
}
