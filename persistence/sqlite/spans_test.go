package sqlite

import (
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

// TestSpansLeadToADay stores a week, with a late click in the middle, and looks where a day is read.
func TestSpansLeadToADay(t *testing.T) {
	s := openInside(t)
	if _, _, err := s.CreateLink(t.Context(), engine.Link{Domain: 1, Code: "a", Target: "https://example.com/", RedirectStatus: 302}, engine.Author{}, nil); err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	day := func(n int) time.Time { return start.AddDate(0, 0, n) }
	position := engine.Position(0)
	store := func(clicks []engine.Click) {
		t.Helper()
		b := &engine.ClickBatch{Node: "n", Moves: []engine.LaneMove{{From: position, To: position + 1}}, Clicks: clicks}
		if err := s.WriteClicks(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		position++
	}
	const days, a = 7, spanRuns // runs a day
	for n := range days {
		for _, from := range []int{0, a / 2} { // in two batches
			var clicks []engine.Click
			for i := range a / 2 {
				clicks = append(clicks, engine.Click{Link: engine.LinkID(from + i + 1), At: day(n).Add(time.Hour).UnixMicro(), Status: 302})
			}
			if n == 4 && from == 0 {
				clicks[0].At = day(1).UnixMicro() // late
			}
			store(clicks)
		}
	}
	check := func(q engine.ClickQuery, clicks int, want ...idRange) {
		t.Helper()
		if got, err := ranges(t.Context(), s.reader, &q); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v to %v is looked for in %v, %v, want %v", q.From, q.To, got, err, want)
		}
		q.Limit = 2 * days * a
		n := 0
		for {
			page, err := s.Clicks(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if n += len(page); len(page) == 0 {
				break
			}
			q.After = page[len(page)-1].ID
		}
		if n != clicks {
			t.Errorf("%v to %v has %d clicks, want %d", q.From, q.To, n, clicks)
		}
	}
	all := func() {
		t.Helper()
		check(engine.ClickQuery{}, days*a, idRange{0, math.MaxInt64})
		check(engine.ClickQuery{From: day(2), To: day(4)}, 2*a, idRange{2 * a, 5 * a}) // the late one makes a span longer
		check(engine.ClickQuery{From: day(1), To: day(2)}, a+1, idRange{a, 2 * a}, idRange{4 * a, 5 * a})
		check(engine.ClickQuery{From: day(6)}, a, idRange{6 * a, 7 * a})
		check(engine.ClickQuery{From: day(2), To: day(4), Link: 1}, 2, idRange{2 * a, 5 * a})
		check(engine.ClickQuery{From: day(2), After: 3*a + 5, To: day(4)}, a-5, idRange{3*a + 5, 5 * a})
		check(engine.ClickQuery{From: day(8)}, 0)
	}
	all()
	// The same after the migration of a file that has none.
	tx, err := s.writer.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(t.Context(), "DROP TABLE click_spans"); err != nil {
		t.Fatal(err)
	}
	if err := spansOfRuns(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	all()
	// Days that are forgotten have no spans.
	s.retention = 48 * time.Hour
	if err := s.ForgetClicks(t.Context(), day(5)); err != nil {
		t.Fatal(err)
	}
	check(engine.ClickQuery{From: day(1), To: day(4)}, a+1, idRange{3 * a, 5 * a}) // what is late goes with what is around it
	check(engine.ClickQuery{To: day(3)}, 1, idRange{4 * a, 5 * a})
	var spans int
	if err := s.reader.QueryRowContext(t.Context(), "SELECT count(*) FROM click_spans").Scan(&spans); err != nil || spans != 4 {
		t.Errorf("%d spans are left, %v, want 4", spans, err)
	}
}
