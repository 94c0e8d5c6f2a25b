package sqlite

import (
	"bytes"
	"slices"
	"testing"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/deltas"
)

func TestLinkRunsReadBackAsTheyWerePacked(t *testing.T) {
	var runs []clickRun
	var want []linkRun
	for i := range int64(5000) {
		r := linkRun{engine.LinkID(1 + i/3*17), 1 << 40 * i / 5000}
		runs, want = append(runs, clickRun{link: r.link, last: r.last}), append(want, r)
	}
	var got []linkRun
	for bucket, row := range packRuns(runs) {
		err := eachLinkRun(row, func(r linkRun) {
			if deltas.ByBlock(r.link) != bucket {
				t.Errorf("link %d is in bucket %d, want %d", r.link, bucket, deltas.ByBlock(r.link))
			}
			got = append(got, r)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	sortRuns(got)
	if !slices.Equal(got, want) {
		t.Errorf("%d runs read back, want %d, the same ones", len(got), len(want))
	}
}

func FuzzEachLinkRun(f *testing.F) {
	for _, row := range packRuns([]clickRun{{link: 1, last: 5}, {link: 1, last: 517}, {link: 64, last: 518}, {link: 5000, last: 1 << 50}}) {
		if len(row) > 0 {
			f.Add(row)
		}
	}
	f.Add(bytes.Repeat([]byte{0xff}, 11))
	f.Fuzz(func(t *testing.T, row []byte) {
		n := 0
		if err := eachLinkRun(row, func(linkRun) { n++ }); err == nil && 2*n > len(row) {
			t.Errorf("%d bytes have %d runs", len(row), n)
		}
	})
}
