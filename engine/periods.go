package engine

import "time"

const (
	secondsAnHour = 3600
	secondsADay   = 24 * secondsAnHour
	// timeMax is the end of the year 9999, the last time a store takes.
	timeMax = 253_402_300_800
	// sealAfter is how long after its end a day is sealed. Clicks are stored within seconds; those that come later cost a proof.
	sealAfter = time.Hour
)

// SealClicks is how many clicks outside a link's sealed days make sealing worth it: as many rows by the hour and by the referrer, at most,
// are read with them.
const SealClicks = 500

// SealUntil is the end of the days that can be sealed at a time.
func SealUntil(now time.Time) time.Time { return now.UTC().Add(-sealAfter).Truncate(24 * time.Hour) }

// Period is a stretch of time in Unix seconds; To is exclusive. The zero value is empty.
type Period struct{ From, To int64 }

// Has reports whether a time is within.
func (s Period) Has(t int64) bool { return s.From <= t && t < s.To }

// around is what of s lies before and after inner. All of it lies before an inner one that is empty.
func (s Period) around(inner Period) [2]Period {
	if inner == (Period{}) {
		return [2]Period{s}
	}
	return [2]Period{{s.From, inner.From}, {inner.To, s.To}}
}

// StatsPeriods says from which rows figures are read, so that they are few: sealed months, sealed days around them, hours around those.
type StatsPeriods struct {
	All    Period
	Days   Period    // whole days that are sealed
	Hours  [2]Period // of All, around Days
	Months Period    // whole months of Days
	Rest   [2]Period // of Days, around Months
}

// Periods divides the query's range, of a link whose days before until (Unix seconds of a day's start, 0: none) are sealed.
func (q *StatsQuery) Periods(until int64) StatsPeriods {
	s := StatsPeriods{All: Period{To: timeMax}}
	if !q.From.IsZero() {
		s.All.From = max(0, q.From.Unix())
	}
	if !q.To.IsZero() {
		s.All.To = min(q.To.Unix(), timeMax)
	}
	s.Days = whole(s.All.From+secondsADay-1, min(s.All.To, until), func(t int64) int64 { return t / secondsADay * secondsADay })
	s.Months = whole(monthAfter(s.Days.From-1), s.Days.To, MonthOf)
	s.Hours, s.Rest = s.All.around(s.Days), s.Days.around(s.Months)
	return s
}

// whole is the period between two ends that floor rounds down, empty when there is nothing between them.
func whole(from, to int64, floor func(int64) int64) Period {
	if s := (Period{floor(from), floor(to)}); s.From < s.To {
		return s
	}
	return Period{}
}

// MonthOf is the start of the UTC month of a time, both in Unix seconds.
func MonthOf(t int64) int64 {
	year, month, _ := time.Unix(t, 0).UTC().Date()
	return time.Date(year, month, 1, 0, 0, 0, 0, time.UTC).Unix()
}

// monthAfter is the start of the month after that of a time.
func monthAfter(t int64) int64 {
	year, month, _ := time.Unix(t, 0).UTC().Date()
	return time.Date(year, month+1, 1, 0, 0, 0, 0, time.UTC).Unix()
}

// SealStep is the end of what is sealed at once of days that begin with first and end before until: a month, so that no step takes long
// however much there is to seal.
func SealStep(first, until int64) int64 { return min(until, monthAfter(first)) }
