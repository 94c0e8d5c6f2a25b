package deltas_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/deltas"
)

// someClicks are of many links, hours and referrers, some of them none.
func someClicks(n int) []engine.Click {
	random := rand.New(rand.NewPCG(1, 2))
	clicks := make([]engine.Click, n)
	for i := range clicks {
		c := engine.Click{At: 1_790_000_000_000_000 + random.Int64N(4*3600e6), Link: engine.LinkID(1 + random.IntN(2000)), Status: 302}
		if site := random.IntN(20); site > 0 {
			c.Referrer = fmt.Appendf(nil, "https://site%d.example/page", site)
		}
		if i%5 == 0 {
			c.Flags = engine.ClickHead
		}
		clicks[i] = c
	}
	return clicks
}

func sums(link engine.LinkID, rows [][]byte) (*deltas.Sums, error) {
	s := deltas.NewSums(link)
	for _, row := range rows {
		if _, err := s.Add(row); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func TestRowsReadBackAsTheyWerePacked(t *testing.T) {
	hours, rollups := engine.Aggregate(someClicks(5000))
	packed := deltas.Pack(hours, rollups, deltas.ByLink)
	all, err := sums(0, packed.Payloads)
	if err != nil {
		t.Fatal(err)
	}
	gotHours, gotRollups := all.Sorted()
	if !slices.Equal(gotHours, hours) || !slices.Equal(gotRollups, rollups) {
		t.Errorf("%d hours and %d rollups read back, want %d and %d, the same ones", len(gotHours), len(gotRollups), len(hours), len(rollups))
	}
	if got := all.Clicks(); got != 5000 {
		t.Errorf("%d clicks read back, want 5000", got)
	}
	entries := 0
	for _, n := range packed.Entries {
		entries += n
	}
	if want := len(hours) + len(rollups); entries != want {
		t.Errorf("%d entries are counted, want %d", entries, want)
	}
	for _, row := range packed.Payloads[:3] {
		if _, err := sums(0, [][]byte{row[:len(row)-1]}); err == nil {
			t.Error("a row that was cut reads back without an error")
		}
	}
}

func TestClicksOfSomeLinks(t *testing.T) {
	clicks := someClicks(5000)
	want := map[engine.LinkID]int64{1: 0, 77: 0, 1999: 0, 5000: 0} // the last one has none
	for i := range clicks {
		if _, ok := want[clicks[i].Link]; ok {
			want[clicks[i].Link]++
		}
	}
	hours, rollups := engine.Aggregate(clicks)
	packed := deltas.Pack(hours, rollups, deltas.ByBlock)
	counts := map[engine.LinkID]int64{1: 0, 77: 0, 1999: 0, 5000: 0}
	for _, row := range packed.Payloads {
		if err := deltas.AddClicks(counts, row); err != nil {
			t.Fatal(err)
		}
	}
	if !maps.Equal(counts, want) {
		t.Errorf("AddClicks = %v, want %v", counts, want)
	}
	one, err := sums(77, packed.Payloads)
	if err != nil {
		t.Fatal(err)
	}
	if got := one.Clicks(); got != want[77] {
		t.Errorf("sums of one link have %d clicks, want %d", got, want[77])
	}
}

func FuzzAdd(f *testing.F) {
	hours, rollups := engine.Aggregate(someClicks(50))
	for _, row := range deltas.Pack(hours, rollups, deltas.ByLink).Payloads {
		f.Add(row)
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, row []byte) {
		all, err := sums(0, [][]byte{row})
		counts := map[engine.LinkID]int64{}
		if err == nil {
			hours, _ := all.Sorted()
			for _, h := range hours {
				counts[h.Link] = 0
			}
		}
		sum := int64(0)
		if e := deltas.AddClicks(counts, row); (e == nil) != (err == nil) {
			t.Fatalf("AddClicks(%x) = %v where Add = %v", row, e, err)
		}
		for _, n := range counts {
			sum += n
		}
		if err == nil && sum != all.Clicks() {
			t.Errorf("AddClicks(%x) has %d clicks, want those of Add, %d", row, sum, all.Clicks())
		}
	})
}
