package main

import (
	"errors"
	"testing"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/persistence/journal"
)

// TestAFullJournalByItsSetting holds that an instance is ready for as long as it serves hits: with --journal-full=drop also while
// the journal is full, with refuse not.
func TestAFullJournalByItsSetting(t *testing.T) {
	j, err := journal.Open(journal.Config{Dir: t.TempDir(), Lanes: 1, BytesMax: 2 * journal.SegmentBytesMin, SegmentBytes: journal.SegmentBytesMin})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	drop, refuse := journalHealth(j, false), journalHealth(j, true)
	if drop.Critical || !refuse.Critical {
		t.Errorf("critical: %v with drop, %v with refuse", drop.Critical, refuse.Critical)
	}
	if a, b := drop.Check(t.Context()).Status, refuse.Check(t.Context()).Status; a != engine.HealthPass || b != engine.HealthPass {
		t.Errorf("an empty journal is %s and %s", a, b)
	}
	for err == nil {
		err = j.Append(0, engine.Click{At: 1, Link: 1, Status: 302})
	}
	if !errors.Is(err, engine.ErrJournalFull) {
		t.Fatal(err)
	}
	if a, b := drop.Check(t.Context()), refuse.Check(t.Context()); a.Status != engine.HealthWarn || b.Status != engine.HealthFail || b.Reason == "" {
		t.Errorf("a full journal is %+v with drop and %+v with refuse", a, b)
	}
}
