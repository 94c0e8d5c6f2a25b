package sqlite

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

// oddClicks have every field's smallest and largest value, and texts that repeat, are cut or are no text at all.
func oddClicks(n int) []engine.Click {
	random := rand.New(rand.NewPCG(3, 4))
	texts := [][]byte{
		nil, []byte("Mozilla/5.0 (X11; Linux x86_64)"), []byte("日本語"), []byte("a\x00b"), []byte("\xff\xfe"), []byte("\xffA"),
		bytes.Repeat([]byte("u"), engine.ReferrerMaxLen), []byte("0"),
	}
	clicks := make([]engine.Click, n)
	for i := range clicks {
		at := []int64{0, math.MaxInt64, math.MinInt64, 1_790_000_000_000_000 + int64(i)}[random.IntN(4)]
		clicks[i] = engine.Click{
			At: at, Link: 7, Visitor: random.Uint64(), Address: engine.TruncatedAddr{4, byte(i), 255}, Status: []uint16{0, 301, math.MaxUint16}[random.IntN(3)],
			Flags: engine.ClickFlags(random.IntN(256)), UserAgent: texts[random.IntN(len(texts))], Referrer: texts[random.IntN(len(texts))], Language: texts[random.IntN(len(texts))],
		}
	}
	return clicks
}

// encoded is the bytes of one run of clicks of one link.
func encoded(t testing.TB, clicks []engine.Click) []byte {
	t.Helper()
	runs := runsOf(clicks, 0)
	if len(runs) != 1 {
		t.Fatalf("%d clicks became %d runs, want 1", len(clicks), len(runs))
	}
	var encoder runEncoder
	encoder.append(nil, oddClicks(5), []int32{4, 2}) // what another run leaves behind does no harm
	return encoder.append(nil, clicks, runs[0].order)
}

func TestRunReadsBackAsItWas(t *testing.T) {
	for _, n := range []int{1, 2, 300, runMax} {
		clicks := oddClicks(n)
		got, err := decodeRun(encoded(t, clicks), 7, n)
		if err != nil || len(got) != n {
			t.Fatalf("decodeRun of %d clicks = %d, %v", n, len(got), err)
		}
		for i := range clicks {
			want := clicks[i]
			for _, text := range []*[]byte{&want.UserAgent, &want.Referrer, &want.Language} {
				if *text != nil {
					*text = []byte(engine.StoredText(*text))
				}
			}
			if !reflect.DeepEqual(got[i], want) {
				t.Errorf("click %d of %d\n got %+v\nwant %+v", i, n, got[i], want)
			}
		}
	}
}

func TestRunNamesATextOnce(t *testing.T) {
	clicks := make([]engine.Click, 100)
	for i := range clicks {
		clicks[i] = engine.Click{At: 1_790_000_000_000_000, Link: 7, Status: 302, UserAgent: bytes.Repeat([]byte("u"), 100), Referrer: bytes.Repeat([]byte("u"), 100)}
	}
	if got := len(encoded(t, clicks)); got > 100*(8+7+8)+200 {
		t.Errorf("a run of 100 clicks with one user agent has %d bytes", got)
	}
}

func TestRunsOf(t *testing.T) {
	var clicks []engine.Click
	for i := range 2*runMax + 10 {
		clicks = append(clicks, engine.Click{Link: engine.LinkID(2 - i%2*i%3%2), At: int64(1000 - i)})
	}
	last := int64(41)
	seen := map[engine.LinkID][]int32{}
	for _, r := range runsOf(clicks, last) {
		if len(r.order) == 0 || len(r.order) > runMax || r.last != last+int64(len(r.order)) {
			t.Fatalf("a run of %d clicks ends with %d behind %d", len(r.order), r.last, last)
		}
		last = r.last
		least, most := int64(math.MaxInt64), int64(math.MinInt64)
		for _, i := range r.order {
			if clicks[i].Link != r.link {
				t.Errorf("a run of link %d has a click of link %d", r.link, clicks[i].Link)
			}
			least, most = min(least, clicks[i].At), max(most, clicks[i].At)
		}
		if r.firstAt != least || r.lastAt != most {
			t.Errorf("a run says it is from %d to %d, want %d to %d", r.firstAt, r.lastAt, least, most)
		}
		seen[r.link] = append(seen[r.link], r.order...)
	}
	total := 0
	for link, order := range seen {
		total += len(order)
		if !slices.IsSorted(order) {
			t.Errorf("the clicks of link %d changed places", link)
		}
	}
	if total != len(clicks) || len(seen) != 2 {
		t.Errorf("%d clicks of %d links are in runs, want %d of 2", total, len(seen), len(clicks))
	}
	if got := runsOf(nil, 1); len(got) != 0 {
		t.Errorf("runsOf(nil) = %v", got)
	}
}

// TestDamagedRun cuts, lengthens and changes a run: it is refused, or read as something else, and nothing panics.
func TestDamagedRun(t *testing.T) {
	const n = 20
	whole := encoded(t, oddClicks(n))
	for cut := range whole {
		if _, err := decodeRun(whole[:cut], 7, n); err == nil {
			t.Errorf("decodeRun of the first %d bytes of %d = nil", cut, len(whole))
		}
	}
	for name, c := range map[string]struct {
		data []byte
		n    int
	}{
		"a byte too many":    {slices.Concat([]byte{runFormatUnsummed}, whole[1:]), n}, // its checksum
		"a click too many":   {whole, n + 1},
		"a click too few":    {whole, n - 1},
		"no click":           {whole, 0},
		"more than bytes":    {whole, 1 << 40},
		"another format":     {append([]byte{runFormat + 1}, whole[1:]...), n},
		"a text of its own":  {slices.Concat([]byte{runFormatUnsummed, 0}, make([]byte, 15), []byte{1, 1, 3, 0, 0}), 1},
		"a status too large": {slices.Concat([]byte{runFormatUnsummed, 0}, make([]byte, 15), []byte{0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0}), 1},
		"an endless number":  {slices.Concat([]byte{runFormatUnsummed}, bytes.Repeat([]byte{0xff}, 40)), 1},
	} {
		if _, err := decodeRun(c.data, 7, c.n); err == nil {
			t.Errorf("decodeRun with %s = nil", name)
		}
	}
	for i := range whole {
		for bit := range 8 {
			changed := slices.Clone(whole)
			changed[i] ^= 1 << bit
			if _, err := decodeRun(changed, 7, n); err == nil {
				t.Errorf("decodeRun with bit %d of byte %d changed = nil", bit, i)
			}
			changed[0] = runFormatUnsummed // what has no sum is read as something else, or not at all
			_, _ = decodeRun(changed[:len(changed)-sumBytes], 7, n)
		}
	}
	if got, err := decodeRun(slices.Concat([]byte{runFormatUnsummed}, whole[1:len(whole)-sumBytes]), 7, n); err != nil || len(got) != n {
		t.Errorf("decodeRun of a run without a sum = %d clicks, %v", len(got), err)
	}
}

// TestDamagedRunIsNamed: a reader is told which run it can't read, and gets what is around it.
func TestDamagedRunIsNamed(t *testing.T) {
	s := openInside(t)
	for i := range 3 {
		clicks := []engine.Click{{Link: engine.LinkID(i + 1), Status: 302}, {Link: engine.LinkID(i + 1), Status: 302}}
		if err := s.WriteClicks(t.Context(), &engine.ClickBatch{Node: "n", Moves: []engine.LaneMove{{From: engine.Position(i), To: engine.Position(i + 1)}}, Clicks: clicks}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.writer.ExecContext(t.Context(), "UPDATE click_runs SET data = x'0100' WHERE last_id = 4"); err != nil {
		t.Fatal(err)
	}
	_, err := s.Clicks(t.Context(), engine.ClickQuery{Limit: 10})
	if e, ok := errors.AsType[*engine.Error](err); !ok || e.Code != engine.CodeInternal || !strings.Contains(e.Message, "the run of clicks that ends with 4 is damaged") {
		t.Errorf("Clicks = %v, want the damaged run's name", err)
	}
	for _, q := range []engine.ClickQuery{{Limit: 2}, {After: 4, Limit: 10}} {
		if got, err := s.Clicks(t.Context(), q); err != nil || len(got) != 2 {
			t.Errorf("Clicks(%+v) = %v, %v, want 2", q, got, err)
		}
	}
}

func FuzzDecodeRun(f *testing.F) {
	f.Add(encoded(f, oddClicks(1)), 1)
	f.Add(encoded(f, oddClicks(9)), 9)
	nine := encoded(f, oddClicks(9))
	nine[0] = runFormatUnsummed
	f.Add(nine[:len(nine)-sumBytes], 9)
	f.Fuzz(func(t *testing.T, data []byte, n int) {
		clicks, err := decodeRun(data, 7, n)
		if err != nil {
			return
		}
		if len(clicks) != n {
			t.Fatalf("decodeRun = %d clicks, want %d", len(clicks), n)
		}
		if n > runMax {
			return
		}
		again, err := decodeRun(encoded(t, clicks), 7, n)
		if err != nil {
			t.Fatalf("what was read can't be read again: %v", err)
		}
		for i := range clicks { // texts are cleaned once, and then stay
			if again[i].At != clicks[i].At || again[i].Visitor != clicks[i].Visitor || string(again[i].UserAgent) != engine.StoredText(clicks[i].UserAgent) {
				t.Fatalf("click %d\n got %+v\nwant %+v", i, again[i], clicks[i])
			}
		}
	})
}

// TestClicksBecomeRuns opens a store of the version that had a row for each click.
func TestClicksBecomeRuns(t *testing.T) {
	const n = 25_000
	s := openMigrated(t, 2,
		insertOldLink,
		// Ten of link 2, then one of link 1; one in a hundred was deleted by hand.
		fmt.Sprintf(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
			INSERT INTO clicks (id, link_id, at, visitor, address, status, flags, user_agent, referrer, language)
			SELECT i, CASE i %% 11 WHEN 0 THEN 1 ELSE 2 END, 1000 + i, -i, (4 << 48) + i, 302, i %% 3, 'agent ' || (i %% 5), CASE i %% 2 WHEN 0 THEN 'https://a.example/' END, NULL FROM n WHERE i %% 100 <> 7`, n),
		"DELETE FROM clicks WHERE id > 24990",
	)
	if err := s.WriteClicks(t.Context(), &engine.ClickBatch{Node: "n", Moves: []engine.LaneMove{{To: 1}}, Clicks: []engine.Click{{Link: 2, Status: 302}}}); err != nil {
		t.Fatal(err)
	}
	var got []engine.StoredClick
	for q := (engine.ClickQuery{Limit: 999}); ; q.After = got[len(got)-1].ID {
		page, err := s.Clicks(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, page...); len(page) == 0 {
			break
		}
	}
	next := 0
	for i := int64(1); i <= 24_990; i++ {
		if i%100 == 7 {
			continue
		}
		want := engine.StoredClick{ID: engine.ClickID(i), Code: "old", Click: engine.Click{
			At: 1000 + i, Link: 2, Visitor: uint64(-i), Address: engine.TruncatedAddr{4, 0, 0, 0, 0, byte(i >> 8), byte(i)}, Status: 302, Flags: engine.ClickFlags(i % 3),
			UserAgent: fmt.Appendf(nil, "agent %d", i%5),
		}}
		if i%11 == 0 {
			want.Link, want.Code = 1, ""
		}
		if i%2 == 0 {
			want.Referrer = []byte("https://a.example/")
		}
		if next >= len(got) || !reflect.DeepEqual(got[next], want) {
			t.Fatalf("click %d of %d\n got %+v\nwant %+v", next, len(got), got[min(next, len(got)-1)], want)
		}
		next++
	}
	if len(got) != next+1 || got[next].ID != n+1 {
		t.Errorf("%d clicks, the last with id %d, want %d and a new one with %d", len(got), got[len(got)-1].ID, next+1, n+1)
	}
	var runs int
	if err := s.reader.QueryRowContext(t.Context(), "SELECT count(*) FROM click_runs").Scan(&runs); err != nil || runs > n/4 {
		t.Errorf("%d rows, %v, want runs", runs, err)
	}
}

// TestClicksBecomeRunsBehindAnEarlyBuild opens a file where only the table of runs had been made.
func TestClicksBecomeRunsBehindAnEarlyBuild(t *testing.T) {
	s := openMigrated(t, 2, insertOldLink, "INSERT INTO clicks (id, link_id, at, visitor, address, status, flags) VALUES (1, 2, 1000, 0, 0, 302, 0)",
		makeRuns, "CREATE INDEX click_runs_link ON click_runs (link_id)", "INSERT INTO schema_versions (version_id, is_applied) VALUES (3, 1)")
	if got, err := s.Clicks(t.Context(), engine.ClickQuery{Link: 2, Limit: 10}); err != nil || len(got) != 1 || got[0].At != 1000 {
		t.Errorf("Clicks = %+v, %v, want the one there was", got, err)
	}
}

// TestHoursAreTakenOver reads the figures of a file whose hours are rows of click_rollups.
func TestHoursAreTakenOver(t *testing.T) {
	s := openMigrated(t, 4,
		insertOldLink,
		`INSERT INTO click_rollups (link_id, hour, dimension, value, clicks) VALUES
			(2, 3600, 'clicks', '', 7), (2, 3600, 'visits', '', 6), (2, 3600, 'referrer', '', 4), (2, 3600, 'referrer', 'a.example', 3),
			(2, 7200, 'clicks', '', 2), (2, 7200, 'referrer', 'a.example', 2)`,
		"INSERT INTO link_totals (link_id, clicks, visits) VALUES (2, 9, 6)",
	)
	got, err := s.Stats(t.Context(), engine.StatsQuery{Link: 2, Referrers: 10})
	want := engine.Stats{
		Clicks: 9, Visits: 6,
		Series:    []engine.StatsPoint{{Start: time.Unix(3600, 0).UTC(), Clicks: 7}, {Start: time.Unix(7200, 0).UTC(), Clicks: 2}},
		Referrers: []engine.StatsValue{{Value: "a.example", Clicks: 5}, {Value: "", Clicks: 4}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Stats = %+v, %v\nwant %+v", got, err, want)
	}
}

// TestFailedMigrationLeavesTheVersionBefore: a click that can't be taken over stops it, and the program from before can go on with the file.
func TestFailedMigrationLeavesTheVersionBefore(t *testing.T) {
	path := migrated(t, 2, insertOldLink, "INSERT INTO clicks (id, link_id, at, visitor, address, status, flags) VALUES (1, 2, 1000, 0, 0, 302, 0)",
		"CREATE TABLE click_runs (occupied TEXT)")
	if s, err := Open(t.Context(), Config{Path: path}); err == nil {
		t.Fatal(s.Close(), "Open of a file that can't be migrated = nil")
	}
	db := Store{path: path}
	if err := db.openPools(1); err != nil {
		t.Fatal(err)
	}
	defer db.reader.Close()
	defer db.points.Close()
	defer db.writer.Close()
	provider, err := migrations(db.writer)
	if err != nil {
		t.Fatal(err)
	}
	if version, err := provider.GetDBVersion(t.Context()); err != nil || version != 2 {
		t.Errorf("version = %d, %v, want 2 as before", version, err)
	}
	var clicks int
	if err := db.reader.QueryRowContext(t.Context(), "SELECT count(*) FROM clicks").Scan(&clicks); err != nil || clicks != 1 {
		t.Errorf("%d clicks, %v, want what was there", clicks, err)
	}
}

const insertOldLink = `INSERT INTO links (id, domain_id, code, target, title, active, redirect_status, forward_query, version, created_at, updated_at)
	VALUES (2, 1, 'old', 'https://example.com/', '', 1, 302, 0, 1, 0, 0)`

// migrated makes a file with the schema of a version and runs statements on it.
func migrated(t *testing.T, version int64, statements ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "carom.db")
	before := Store{path: path}
	if err := before.openPools(1); err != nil {
		t.Fatal(err)
	}
	provider, err := migrations(before.writer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
	for _, text := range statements {
		if _, err := before.writer.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	for _, db := range []interface{ Close() error }{before.reader, before.points, before.writer} {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// openMigrated makes a file with the schema of a version, runs statements on it, and opens it.
func openMigrated(t *testing.T, version int64, statements ...string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{Path: migrated(t, version, statements...)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
