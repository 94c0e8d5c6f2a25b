package sqlite_test

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/sqlite"
)

func TestOldClicksAreForgotten(t *testing.T) {
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "carom.db"), ClickRetention: 48 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l, _, err := s.CreateLink(t.Context(), engine.Link{Domain: 1, Code: "a", Target: "https://example.com/", RedirectStatus: 302}, engine.Author{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	position := engine.Position(0)
	store := func(clicks ...engine.Click) {
		t.Helper()
		b := &engine.ClickBatch{Node: "n", Moves: []engine.LaneMove{{From: position, To: position + 1}}, Clicks: clicks}
		if err := s.WriteClicks(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		position++
	}
	aged := func(link engine.LinkID, age time.Duration) engine.Click {
		return engine.Click{Link: link, At: now.Add(-age).UnixMicro(), Status: 302}
	}
	// 1,200 runs of other links, so that it takes several steps; one click of 49 hours in a run with one of 47; a young one in between.
	const others = 1200
	var many []engine.Click
	for i := range others {
		many = append(many, aged(engine.LinkID(1000+i), 72*time.Hour))
	}
	store(many...)
	store(aged(l.ID, 49*time.Hour), aged(l.ID, 47*time.Hour))
	store(aged(l.ID, 49*time.Hour), aged(l.ID, 50*time.Hour))
	store(aged(l.ID, time.Hour))
	stats := func() engine.Stats {
		t.Helper()
		got, err := s.Stats(t.Context(), engine.StatsQuery{Link: l.ID, Referrers: 10})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	ids := func() (ids []engine.ClickID) {
		t.Helper()
		clicks, err := s.Clicks(t.Context(), engine.ClickQuery{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range clicks {
			ids = append(ids, c.ID)
		}
		return ids
	}
	before := stats()
	for _, step := range []struct {
		later time.Duration
		want  []engine.ClickID
	}{
		{0, []engine.ClickID{others + 1, others + 2, others + 5}},
		{2 * time.Hour, []engine.ClickID{others + 5}},
		{48 * time.Hour, nil},
		{50 * time.Hour, nil},
	} {
		if err := s.ForgetClicks(t.Context(), now.Add(step.later)); err != nil {
			t.Fatal(err)
		}
		if got := ids(); !reflect.DeepEqual(got, step.want) {
			t.Errorf("after %v there are the clicks %v, want %v", step.later, got, step.want)
		}
	}
	if after := stats(); !reflect.DeepEqual(after, before) || after.Clicks != 5 {
		t.Errorf("figures are\n%+v\nwere\n%+v", after, before)
	}
	store(aged(l.ID, 0))
	if got := ids(); !reflect.DeepEqual(got, []engine.ClickID{others + 6}) {
		t.Errorf("the next click is %v, want %d", got, others+6)
	}
}

// TestClicksOfAWrongClockStopNoRetention has more runs of years ahead in front than one step looks at, and a young one behind what is old.
func TestClicksOfAWrongClockStopNoRetention(t *testing.T) {
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "carom.db"), ClickRetention: 48 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	const wrong, old = 1200, 700
	var clicks []engine.Click
	for i := range wrong + old + 1 { // a run each
		at := now.AddDate(3, 0, 0)
		switch {
		case i >= wrong+old:
			at = now
		case i >= wrong:
			at = now.AddDate(0, 0, -3)
		}
		clicks = append(clicks, engine.Click{Link: engine.LinkID(i + 1), At: at.UnixMicro(), Status: 302})
	}
	if err := s.WriteClicks(t.Context(), &engine.ClickBatch{Node: "n", Moves: []engine.LaneMove{{To: 1}}, Clicks: clicks}); err != nil {
		t.Fatal(err)
	}
	if err := s.ForgetClicks(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	left, err := s.Clicks(t.Context(), engine.ClickQuery{Limit: 2 * wrong})
	if err != nil {
		t.Fatal(err)
	}
	for len(left) < wrong+1 && err == nil {
		var more []engine.StoredClick
		if more, err = s.Clicks(t.Context(), engine.ClickQuery{After: left[len(left)-1].ID, Limit: 2 * wrong}); len(more) == 0 {
			break
		}
		left = append(left, more...)
	}
	if len(left) != wrong+1 || left[len(left)-1].Link != wrong+old+1 {
		t.Errorf("%d clicks are left, want the %d of the future and the young one", len(left), wrong)
	}
}

func TestClicksStayWithoutARetention(t *testing.T) {
	s := open(t)
	b := &engine.ClickBatch{Node: "n", Moves: []engine.LaneMove{{To: 1}}, Clicks: []engine.Click{{Link: 1, Status: 302}}}
	if err := s.WriteClicks(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := s.ForgetClicks(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if clicks, err := s.Clicks(t.Context(), engine.ClickQuery{}); err != nil || len(clicks) != 1 {
		t.Errorf("%d clicks, %v, want the one", len(clicks), err)
	}
	if _, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "a.db"), ClickRetention: time.Hour}); err == nil || !strings.Contains(err.Error(), "24h") {
		t.Errorf("Open with a retention of an hour = %v, want it to name the least", err)
	}
}
