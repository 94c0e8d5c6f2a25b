package table

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

const now = 1_700_000_000

func newTable(bytesMax int64) *Table {
	return New(Config{BytesMax: bytesMax, Epoch: now - 1_000_000})
}

func link(code, target string, version uint64) *engine.Link {
	return &engine.Link{
		ID: 1 + engine.LinkID(len(code)), Domain: engine.DefaultDomain, Code: code, Target: target, Active: true, RedirectStatus: 302, Version: version,
	}
}

func key(code string) engine.Key { return engine.Key{Domain: engine.DefaultDomain, Code: code} }

func look(t *Table, code string, at int64) (Entry, bool, bool) {
	k := key(code)
	return t.Lookup(k.Hash(), k.Domain, []byte(code), at)
}

func TestEntryKeepsEveryField(t *testing.T) {
	since, until := time.Unix(now, 0).UTC(), time.Unix(now+9, 5000).UTC()
	for _, l := range []engine.Link{
		{ID: 7, Code: "a", Target: "https://example.com/", Active: true, RedirectStatus: 301, Version: 1},
		{ID: 1 << 60, Code: strings.Repeat("x", 64), Target: strings.Repeat("t", engine.TargetMaxLen), RedirectStatus: 308, Version: 1 << 62},
		{ID: 8, Code: "b", Target: "http://b/", Active: true, RedirectStatus: 307, ForwardQuery: true, ValidSince: since, Version: 3},
		{ID: 9, Code: "c", Target: "http://c/", Active: true, RedirectStatus: 302, ValidUntil: until, MaxVisits: 3, Version: 4},
	} {
		l.Domain = 5
		tb := newTable(0)
		const ref = BudgetRef(1<<32 | 77)
		tb.Put(l.Key(), &l, ref, now)
		e, _, ok := tb.Lookup(l.Key().Hash(), 5, []byte(l.Code), now)
		if !ok {
			t.Fatalf("Lookup(%q) found nothing", l.Code)
		}
		if e.Missing() || e.Link() != l.ID || e.Version() != l.Version || int(e.Status()) != l.RedirectStatus || e.ForwardQuery() != l.ForwardQuery ||
			string(e.Target()) != l.Target || e.Conditions() != engine.ConditionsOf(&l) {
			t.Errorf("entry of %q differs from its link", l.Code)
		}
		got, budgeted := e.Budget()
		if budgeted != (l.MaxVisits > 0) || (budgeted && got != ref) {
			t.Errorf("Budget(%q) = %v, %v", l.Code, got, budgeted)
		}
		if _, _, ok := tb.Lookup(engine.HashKey(6, l.Code), 6, []byte(l.Code), now); ok {
			t.Errorf("%q answers in another domain", l.Code)
		}
	}
}

// TestPutTakesWhatTheStoreSays holds that an older version is published, too: the store may have gone back in time.
func TestPutTakesWhatTheStoreSays(t *testing.T) {
	tb := newTable(0)
	tb.Put(key("a"), link("a", "http://lost/", 5), 0, now)
	tb.Put(key("a"), link("a", "http://kept/", 4), 0, now)
	if e, _, _ := look(tb, "a", now); string(e.Target()) != "http://kept/" || e.Version() != 4 {
		t.Errorf("Target = %q at version %d, want what the store says", e.Target(), e.Version())
	}
}

func TestNegativeEntryGivesWayToALink(t *testing.T) {
	tb := newTable(0)
	tb.Put(key("a"), nil, 0, now)
	if e, _, ok := look(tb, "a", now); !ok || !e.Missing() {
		t.Fatal("no negative entry")
	}
	tb.Put(key("a"), link("a", "http://a/", 1), 0, now)
	if e, _, ok := look(tb, "a", now); !ok || e.Missing() {
		t.Error("the link did not replace the negative entry")
	}
	tb.Remove(key("a"))
	if _, _, ok := look(tb, "a", now); ok {
		t.Error("a removed entry is found")
	}
}

func TestOldEntryIsServedAndRefreshedByOneReader(t *testing.T) {
	tb := newTable(0)
	tb.Put(key("a"), link("a", "http://a/", 1), 0, now)
	if _, refresh, _ := look(tb, "a", now+300); refresh {
		t.Error("a fresh entry asks for a refresh")
	}
	asked := 0
	for range 10 {
		_, refresh, ok := look(tb, "a", now+301)
		if !ok {
			t.Fatal("an old entry is not served")
		}
		if refresh {
			asked++
		}
	}
	if asked != 1 {
		t.Errorf("%d readers were asked to refresh, want 1", asked)
	}
	tb.Unrefresh(key("a").Hash(), engine.DefaultDomain, []byte("a"))
	if _, refresh, _ := look(tb, "a", now+301); !refresh {
		t.Error("after Unrefresh nobody is asked")
	}
	tb.Restamp(key("a"), now+301)
	if _, refresh, _ := look(tb, "a", now+302); refresh {
		t.Error("a restamped entry asks for a refresh")
	}
	tb.Distrust(now + 302)
	if _, refresh, ok := look(tb, "a", now+302); !refresh || !ok {
		t.Error("a distrusted entry is not refreshed, or not served")
	}
}

func TestBytesStayBoundedAndReadEntriesStay(t *testing.T) {
	const bytesMax = 1 << 20
	tb := newTable(bytesMax)
	hot := []string{"hot1", "hot2", "hot3"}
	for _, code := range hot {
		tb.Put(key(code), link(code, "http://"+code+"/", 1), 0, now)
	}
	for i := range 100_000 {
		code := fmt.Sprintf("cold%d", i)
		tb.Put(key(code), link(code, "http://example.com/"+code, 1), 0, now)
		for _, code := range hot {
			if _, _, ok := look(tb, code, now); !ok {
				t.Fatalf("%q was evicted after %d others, though it is read all the time", code, i)
			}
		}
		if st := tb.Stats(); st.Bytes > bytesMax+int64(tb.chunkBytes) {
			t.Fatalf("the table has %d bytes, want at most %d and a chunk", st.Bytes, bytesMax)
		}
	}
	st := tb.Stats()
	if st.Evictions == 0 || st.Entries+st.Evictions != 100_000+int64(len(hot)) {
		t.Errorf("%d entries and %d evictions don't add up", st.Entries, st.Evictions)
	}
}

func TestEvictionEndsWhenEveryEntryIsHot(t *testing.T) {
	tb := newTable(BytesMin)
	for i := range 2000 {
		code := fmt.Sprintf("c%d", i)
		tb.Put(key(code), link(code, strings.Repeat("t", 1000), 1), 0, now)
		for j := range i + 1 {
			look(tb, fmt.Sprintf("c%d", j), now)
		}
		if _, _, ok := look(tb, code, now); !ok {
			t.Fatalf("%q is not there right after it was put", code)
		}
	}
}

// TestRandomOperationsAgreeWithAMap runs operations on a table that has room for all and on a map.
func TestRandomOperationsAgreeWithAMap(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		tb, model := newTable(0), map[string]*engine.Link{}
		for range 5000 {
			code := fmt.Sprintf("k%d", rnd.IntN(300))
			switch rnd.IntN(4) {
			case 0, 1:
				l := link(code, fmt.Sprintf("http://t%d/", rnd.IntN(1000)), uint64(rnd.IntN(50)))
				model[code] = l // whatever its version: the store says so
				tb.Put(key(code), l, 0, now)
			case 2:
				tb.Remove(key(code))
				delete(model, code)
			case 3:
				e, _, ok := look(tb, code, now)
				want := model[code]
				if ok != (want != nil) || (ok && (string(e.Target()) != want.Target || e.Version() != want.Version)) {
					t.Fatalf("seed %d: Lookup(%q) = %v, want %v", seed, code, ok, want)
				}
			}
		}
		if got := tb.Stats().Entries; got != int64(len(model)) {
			t.Fatalf("seed %d: %d entries, want %d", seed, got, len(model))
		}
	}
}

// TestReadersSeeWholeEntriesInOrder has readers check, while entries are replaced, evicted and the index grows, that what they
// find belongs to the code they asked for and that no version ever goes back.
func TestReadersSeeWholeEntriesInOrder(t *testing.T) {
	tb := newTable(BytesMin * 4)
	const codes = 400
	var stop atomic.Bool
	var found atomic.Int64
	var readers sync.WaitGroup
	for r := range 4 {
		readers.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(r), 2))
			var seen [codes]uint64
			for !stop.Load() {
				i := rnd.IntN(codes)
				e, _, ok := look(tb, fmt.Sprintf("k%d", i), now)
				if !ok {
					continue
				}
				found.Add(1)
				if want := fmt.Sprintf("http://k%d/%d", i, e.Version()); !strings.HasPrefix(string(e.Target()), want+"?") {
					t.Errorf("k%d at version %d leads to %.40q", i, e.Version(), e.Target())
					return
				}
				if e.Version() < seen[i] {
					t.Errorf("k%d went back from version %d to %d", i, seen[i], e.Version())
					return
				}
				seen[i] = e.Version()
			}
		})
	}
	rnd := rand.New(rand.NewPCG(9, 9))
	for version := uint64(1); version <= 60_000 || found.Load() < 1000; version++ {
		code := fmt.Sprintf("k%d", rnd.IntN(codes))
		tb.Put(key(code), link(code, fmt.Sprintf("http://%s/%d?%s", code, version, strings.Repeat("x", rnd.IntN(500))), version), 0, now)
	}
	stop.Store(true)
	readers.Wait()
}

func TestConfigValidateNamesTheBound(t *testing.T) {
	if err := (Config{BytesMax: 5}).Validate(); err == nil || !strings.Contains(err.Error(), "BytesMax is 5") {
		t.Errorf("Validate = %v, want it to name BytesMax", err)
	}
	if err := (Config{}).Validate(); err != nil {
		t.Errorf("Validate of the zero Config = %v", err)
	}
}
