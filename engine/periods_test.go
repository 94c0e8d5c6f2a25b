package engine_test

import (
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

// TestPeriods wants the periods of a query to be its range, each hour of it once, and coarse where they can be.
func TestPeriods(t *testing.T) {
	day := func(month time.Month, day, hour int) time.Time {
		return time.Date(2026, month, day, hour, 0, 0, 0, time.UTC)
	}
	period := func(from, to time.Time) engine.Period { return engine.Period{From: from.Unix(), To: to.Unix()} }
	for name, c := range map[string]struct {
		from, to, until time.Time
		days, months    engine.Period
	}{
		"nothing is sealed":        {day(1, 5, 3), day(4, 2, 7), time.Unix(0, 0), engine.Period{}, engine.Period{}},
		"all is sealed":            {day(1, 5, 3), day(4, 2, 7), day(6, 1, 0), period(day(1, 6, 0), day(4, 2, 0)), period(day(2, 1, 0), day(4, 1, 0))},
		"sealed in the middle":     {day(1, 5, 3), day(4, 2, 7), day(3, 9, 0), period(day(1, 6, 0), day(3, 9, 0)), period(day(2, 1, 0), day(3, 1, 0))},
		"sealed before the range":  {day(1, 5, 3), day(4, 2, 7), day(1, 5, 0), engine.Period{}, engine.Period{}},
		"whole months":             {day(2, 1, 0), day(4, 1, 0), day(4, 1, 0), period(day(2, 1, 0), day(4, 1, 0)), period(day(2, 1, 0), day(4, 1, 0))},
		"a month less an hour":     {day(2, 1, 1), day(3, 1, 0), day(4, 1, 0), period(day(2, 2, 0), day(3, 1, 0)), engine.Period{}},
		"within a day":             {day(2, 1, 1), day(2, 1, 23), day(4, 1, 0), engine.Period{}, engine.Period{}},
		"two days, neither whole":  {day(2, 1, 1), day(2, 2, 23), day(4, 1, 0), engine.Period{}, engine.Period{}},
		"the last hour of a month": {day(1, 31, 23), day(3, 1, 1), day(4, 1, 0), period(day(2, 1, 0), day(3, 1, 0)), period(day(2, 1, 0), day(3, 1, 0))},
	} {
		t.Run(name, func(t *testing.T) {
			q := engine.StatsQuery{From: c.from, To: c.to}
			got := q.Periods(c.until.Unix())
			if got.All != period(c.from, c.to) || got.Days != c.days || got.Months != c.months {
				t.Errorf("Periods = %+v, want days %v and months %v", got, c.days, c.months)
			}
			for at := c.from.Unix(); at < c.to.Unix(); at += 3600 {
				hours, days := count(at, got.Days, got.Hours[0], got.Hours[1]), count(at, got.Months, got.Rest[0], got.Rest[1])
				if want := count(at, got.Days); hours != 1 || days != want {
					t.Fatalf("%s is in %d of the hours and days, and in %d of the days and months; want 1 and %d", time.Unix(at, 0).UTC(), hours, days, want)
				}
			}
		})
	}
	open := (&engine.StatsQuery{}).Periods(day(4, 2, 0).Unix())
	if open.All.From != 0 || !open.All.Has(time.Date(9999, 12, 31, 23, 0, 0, 0, time.UTC).Unix()) || open.Months.To != day(4, 1, 0).Unix() {
		t.Errorf("Periods without a range = %+v, want all that a store can have", open)
	}
}

// count is how many of the periods a time is in.
func count(at int64, periods ...engine.Period) (n int) {
	for _, p := range periods {
		if p.Has(at) {
			n++
		}
	}
	return n
}

func TestSealStepsAreMonths(t *testing.T) {
	at := func(month time.Month, day int) int64 { return time.Date(2026, month, day, 0, 0, 0, 0, time.UTC).Unix() }
	for _, c := range []struct{ first, until, want int64 }{
		{at(1, 1), at(6, 1), at(2, 1)}, {at(1, 31) + 7200, at(6, 1), at(2, 1)}, {at(1, 5), at(1, 9), at(1, 9)}, {at(12, 31), at(12, 31) + 90*86400, at(13, 1)},
	} {
		if got := engine.SealStep(c.first, c.until); got != c.want {
			t.Errorf("SealStep(%d, %d) = %d, want %d", c.first, c.until, got, c.want)
		}
	}
	now := time.Date(2026, 3, 1, 0, 59, 59, 0, time.UTC)
	if got := engine.SealUntil(now).Unix(); got != at(2, 28) {
		t.Errorf("SealUntil an hour less a second into a day = %d, want the day before: its clicks may still come", got)
	}
	if got := engine.SealUntil(now.Add(time.Second)).Unix(); got != at(3, 1) {
		t.Errorf("SealUntil an hour into a day = %d, want that day", got)
	}
}

func TestASealedDayThatIsDamagedIsAnError(t *testing.T) {
	days := engine.SealHours([]engine.HourFigures{{Hour: 86400, Clicks: 300, Visits: 1}, {Hour: 86400 + 23*3600, Clicks: 2}})
	if len(days) != 1 || days[0].Day != 86400 || days[0].Clicks != 302 || days[0].Visits != 1 {
		t.Fatalf("SealHours = %+v, want one day with 302 clicks", days)
	}
	days[0].Hours = days[0].Hours[:len(days[0].Hours)-1]
	var sum engine.StatsSum
	if err := sum.AddDay(days[0]); err == nil {
		t.Error("AddDay of 23 hours = nil, want an error")
	}
}
