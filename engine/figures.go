package engine

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
	"time"
)

// HourFigures are a link's clicks and visits in one hour.
type HourFigures struct {
	Hour           int64 // Unix seconds of its start
	Clicks, Visits int64
}

// DayFigures are a link's clicks and visits in one UTC day.
type DayFigures struct {
	Day            int64 // Unix seconds of its start
	Clicks, Visits int64
	Hours          []byte // the clicks of each of its hours, 24 unsigned varints
}

// SealHours adds hours up to days. Both are in the order of their times.
func SealHours(hours []HourFigures) []DayFigures {
	var days []DayFigures
	for len(hours) > 0 {
		day := DayFigures{Day: hours[0].Hour / secondsADay * secondsADay}
		var clicks [24]int64
		n := 0
		for ; n < len(hours) && hours[n].Hour < day.Day+secondsADay; n++ {
			clicks[(hours[n].Hour-day.Day)/secondsAnHour] += hours[n].Clicks
			day.Clicks += hours[n].Clicks
			day.Visits += hours[n].Visits
		}
		for _, c := range clicks {
			day.Hours = binary.AppendUvarint(day.Hours, uint64(c))
		}
		days = append(days, day)
		hours = hours[n:]
	}
	return days
}

// errHours says that a day's hours are not what SealHours writes.
var errHours = errors.New("the hours of a sealed day can't be read")

// StatsSum puts totals and a series together from hours and days, in whatever order they come. The zero value is empty. Not safe for
// concurrent use.
type StatsSum struct {
	Daily bool // a series of days, not of hours

	stats Stats
	parts []HourFigures // of which points are made
}

// AddHour takes one hour's clicks and visits.
func (s *StatsSum) AddHour(h HourFigures) {
	s.stats.Clicks += h.Clicks
	s.stats.Visits += h.Visits
	if s.Daily {
		h.Hour = h.Hour / secondsADay * secondsADay
	}
	s.parts = append(s.parts, h)
}

// AddDay takes one day. d.Hours is not kept.
func (s *StatsSum) AddDay(d DayFigures) error {
	s.stats.Clicks += d.Clicks
	s.stats.Visits += d.Visits
	if s.Daily {
		s.parts = append(s.parts, HourFigures{Hour: d.Day, Clicks: d.Clicks})
		return nil
	}
	for hour := range int64(24) {
		clicks, n := binary.Uvarint(d.Hours)
		if n <= 0 {
			return errHours
		}
		d.Hours = d.Hours[n:]
		if clicks > 0 {
			s.parts = append(s.parts, HourFigures{Hour: d.Day + hour*secondsAnHour, Clicks: int64(clicks)})
		}
	}
	return nil
}

// Stats are the figures of all that was added, without referrers.
func (s *StatsSum) Stats() Stats {
	slices.SortFunc(s.parts, func(a, b HourFigures) int { return cmp.Compare(a.Hour, b.Hour) })
	stats, last := s.stats, int64(-1)
	if len(s.parts) > 0 {
		stats.Series = make([]StatsPoint, 0, len(s.parts))
	}
	for _, p := range s.parts {
		if p.Hour != last {
			stats.Series = append(stats.Series, StatsPoint{Start: time.Unix(p.Hour, 0).UTC()})
			last = p.Hour
		}
		stats.Series[len(stats.Series)-1].Clicks += p.Clicks
	}
	return stats
}

// ByDay adds a series of hours up to UTC days.
func ByDay(series []StatsPoint) []StatsPoint {
	var days []StatsPoint
	for _, p := range series {
		day := p.Start.UTC().Truncate(24 * time.Hour)
		if n := len(days); n == 0 || !days[n-1].Start.Equal(day) {
			days = append(days, StatsPoint{Start: day})
		}
		days[len(days)-1].Clicks += p.Clicks
	}
	return days
}
