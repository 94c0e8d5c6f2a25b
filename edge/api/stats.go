package api

import (
	"fmt"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/carom-dev/carom/engine"
)

const (
	referrersDefault = 20
	referrersMax     = 10000
	// seriesMax is how many points an answer has at most: a year by the hour, and more days than there were.
	seriesMax = 10000
)

// statsJSON is a link's figures as the API gives them.
type statsJSON struct {
	Clicks    int64          `json:"clicks"`
	Visits    int64          `json:"visits"`
	Interval  string         `json:"interval"` // of the series
	Series    []pointJSON    `json:"series"`
	Referrers []referrerJSON `json:"referrers"`
}

type pointJSON struct {
	Start  time.Time `json:"start"`
	Clicks int64     `json:"clicks"`
}

type referrerJSON struct {
	Host   string `json:"host"` // "": without a referrer
	Clicks int64  `json:"clicks"`
}

func (a *API) linkStats(r *request) error {
	id, err := r.pathID("link")
	if err != nil {
		return err
	}
	q := r.query("from", "to", "interval", "referrers")
	interval := q.oneOf("interval", "hour", "day")
	sq := engine.StatsQuery{
		Link: engine.LinkID(id), From: q.time("from"), To: q.time("to"), Daily: interval == "day",
		Referrers: q.number("referrers", referrersDefault, 0, referrersMax),
	}
	q.whole("from", sq.From)
	q.whole("to", sq.To)
	q.span(sq.From, sq.To)
	if err := q.err(); err != nil {
		return err
	}
	// The store wants both ends or none.
	switch {
	case !sq.From.IsZero() && sq.To.IsZero():
		sq.To = r.now.UTC().Truncate(time.Hour).Add(time.Hour)
		if !sq.To.After(sq.From) {
			sq.To = sq.From.Add(time.Hour)
		}
	case sq.From.IsZero() && !sq.To.IsZero():
		sq.From = time.Unix(0, 0).UTC()
	}
	ctx, cancel := r.store()
	defer cancel()
	st, err := a.cfg.Clicks.Stats(ctx, sq)
	if err != nil {
		return away(err)
	}
	if len(st.Series) > seriesMax && interval == "hour" && q.text("interval") == "" {
		interval, st.Series = "day", engine.ByDay(st.Series)
	}
	if n := len(st.Series); n > seriesMax {
		q.fail("interval", fmt.Sprintf("makes a series of %d points; at most %d are given: ask for days, or for a shorter time", n, seriesMax))
		return q.err()
	}
	out := statsJSON{
		Clicks: st.Clicks, Visits: st.Visits, Interval: interval,
		Series: make([]pointJSON, len(st.Series)), Referrers: make([]referrerJSON, len(st.Referrers)),
	}
	for i, p := range st.Series {
		out.Series[i] = pointJSON{Start: p.Start.UTC(), Clicks: p.Clicks}
	}
	for i, v := range st.Referrers {
		out.Referrers[i] = referrerJSON{Host: v.Value, Clicks: v.Clicks}
	}
	return r.answer(fasthttp.StatusOK, out)
}

// whole refuses a time between two hours: figures are kept by the hour.
func (q *query) whole(name string, t time.Time) {
	if !t.Equal(t.Truncate(time.Hour)) {
		q.fail(name, "is not a whole hour (UTC); figures are kept by the hour")
	}
}
