package engine

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
)

// Dimension is what a rollup counts by.
type Dimension string

// The dimensions of rollups. DimensionClicks and DimensionVisits have the empty value.
const (
	DimensionClicks   Dimension = "clicks"   // every click
	DimensionVisits   Dimension = "visits"   // without HEAD and prefetch
	DimensionReferrer Dimension = "referrer" // by the referrer's host; "" is a click without referrer
)

// Rollup is a number of clicks of one link in one hour, by one value of one dimension.
type Rollup struct {
	Link      LinkID
	Hour      int64 // Unix seconds of its start
	Dimension Dimension
	Value     string
	Clicks    int64
}

// referrerHostMaxLen is DNS's bound on a name (RFC 1035), with room for a port.
const referrerHostMaxLen = 260

// Aggregate counts clicks into rollups, sorted by key. The order is the same in every instance, so that two that upsert the
// same rows can't deadlock.
func Aggregate(clicks []Click) []Rollup {
	type key struct {
		link      LinkID
		hour      int64
		dimension Dimension
		value     string
	}
	counts := make(map[key]int64, len(clicks)/4+3)
	for i := range clicks {
		c := &clicks[i]
		hour := c.At / 1e6 / 3600 * 3600
		counts[key{c.Link, hour, DimensionClicks, ""}]++
		if c.Flags&(ClickHead|ClickPrefetch) == 0 {
			counts[key{c.Link, hour, DimensionVisits, ""}]++
		}
		counts[key{c.Link, hour, DimensionReferrer, ReferrerHost(c.Referrer)}]++
	}
	rollups := make([]Rollup, 0, len(counts))
	for k, n := range counts {
		rollups = append(rollups, Rollup{Link: k.link, Hour: k.hour, Dimension: k.dimension, Value: k.value, Clicks: n})
	}
	slices.SortFunc(rollups, func(a, b Rollup) int {
		return cmp.Or(cmp.Compare(a.Link, b.Link), cmp.Compare(a.Hour, b.Hour), cmp.Compare(a.Dimension, b.Dimension), cmp.Compare(a.Value, b.Value))
	})
	return rollups
}

// ReferrerHost takes the host out of a Referer header's value, in lower case and without port: "" when there is none,
// the value itself when it has no scheme ("android-app" style values keep their authority).
func ReferrerHost(referrer []byte) string {
	rest := bytes.TrimSpace(referrer)
	// A "://" behind the authority belongs to a path or query that has another address in it.
	if before, after, ok := bytes.Cut(rest, []byte("://")); ok && !bytes.ContainsAny(before, "/?#") {
		rest = after
	}
	if i := bytes.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	if i := bytes.LastIndexByte(rest, '@'); i >= 0 {
		rest = rest[i+1:]
	}
	if i := bytes.LastIndexByte(rest, ':'); i >= 0 && !bytes.HasSuffix(rest, []byte("]")) {
		rest = rest[:i]
	}
	rest = rest[:min(len(rest), referrerHostMaxLen)]
	return strings.ToLower(StoredText(rest))
}

// VisitUse is a number of visits that clicks took from a link's budget.
type VisitUse struct {
	Link   LinkID
	Visits int64
}

// UsedVisits counts the clicks that took a visit from a budget; sorted by link, as upserts need it.
func UsedVisits(clicks []Click) []VisitUse {
	counts := map[LinkID]int64{}
	for i := range clicks {
		if clicks[i].Flags&ClickBudgeted != 0 {
			counts[clicks[i].Link]++
		}
	}
	used := make([]VisitUse, 0, len(counts))
	for link, n := range counts {
		used = append(used, VisitUse{Link: link, Visits: n})
	}
	slices.SortFunc(used, func(a, b VisitUse) int { return cmp.Compare(a.Link, b.Link) })
	return used
}
