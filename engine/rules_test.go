package engine_test

import (
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

func TestConditions(t *testing.T) {
	const since, until = 1_000, 2_000
	for _, tt := range []struct {
		name string
		c    engine.Conditions
		now  int64
		want engine.Outcome
	}{
		{"no condition", engine.Conditions{}, 0, engine.OutcomeRedirect},
		{"a microsecond too early", engine.Conditions{Since: since}, since - 1, engine.OutcomeNotFound},
		{"from its first microsecond", engine.Conditions{Since: since}, since, engine.OutcomeRedirect},
		{"to its last microsecond", engine.Conditions{Until: until}, until - 1, engine.OutcomeRedirect},
		{"expired at the end", engine.Conditions{Until: until}, until, engine.OutcomeExpired},
		{"between", engine.Conditions{Since: since, Until: until}, 1_500, engine.OutcomeRedirect},
		{"inactive comes before expired", engine.Conditions{Inactive: true, Until: until}, until, engine.OutcomeInactive},
		{"inactive comes before not yet valid", engine.Conditions{Inactive: true, Since: since}, 0, engine.OutcomeInactive},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.c.Outcome(tt.now); got != tt.want {
				t.Errorf("%+v at %d = %v, want %v", tt.c, tt.now, got, tt.want)
			}
		})
	}
}

func TestConditionsOfALink(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 0, 0, 1_000, time.UTC)
	if got, want := engine.ConditionsOf(&engine.Link{Active: true}), (engine.Conditions{}); got != want {
		t.Errorf("of an unconditional link: %+v, want %+v", got, want)
	}
	got := engine.ConditionsOf(&engine.Link{ValidSince: at, ValidUntil: at.Add(time.Second)})
	want := engine.Conditions{Inactive: true, Since: at.UnixMicro(), Until: at.UnixMicro() + 1e6}
	if got != want {
		t.Errorf("of a bounded link: %+v, want %+v", got, want)
	}
}

func TestOutcomeNamesAreDistinct(t *testing.T) {
	names := map[string]bool{}
	for _, o := range engine.Outcomes() {
		if names[o.String()] || o.String() == "unknown" {
			t.Errorf("outcome %d has the name %q, which is not its own", o, o)
		}
		names[o.String()] = true
	}
	if len(names) != int(engine.OutcomeShed)+1 {
		t.Errorf("%d outcomes listed, want %d", len(names), engine.OutcomeShed+1)
	}
	if got := engine.Outcome(200).String(); got != "unknown" {
		t.Errorf("Outcome(200) = %q, want unknown", got)
	}
}
