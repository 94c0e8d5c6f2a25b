package engine

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
)

// HourRollup has the clicks of one link in one hour.
type HourRollup struct {
	Link   LinkID
	Hour   int64 // Unix seconds of its start
	Clicks int64
	Visits int64 // clicks without HEAD and prefetch
}

// Dimension is what a rollup counts by.
type Dimension string

// DimensionReferrer counts by the referrer's host; "" is a click without referrer.
const DimensionReferrer Dimension = "referrer"

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

// Aggregate counts clicks into rollups by the hour, and within each by referrers, both sorted by key. The order is the same in every instance,
// so that two that upsert the same rows can't deadlock. Clicks are sorted by numbers and counted in one pass: half the cost of a map by the
// rollups' keys.
func Aggregate(clicks []Click) (hours []HourRollup, referrers []Rollup) {
	hosts, ranks := rankReferrers(clicks)
	sorted := make([]countedClick, len(clicks))
	for i := range clicks {
		c := &clicks[i]
		sorted[i] = countedClick{link: c.Link, hour: c.At / 1e6 / 3600 * 3600, rank: ranks[i], visit: c.Flags&(ClickHead|ClickPrefetch) == 0}
	}
	slices.SortFunc(sorted, func(a, b countedClick) int {
		return cmp.Or(cmp.Compare(a.link, b.link), cmp.Compare(a.hour, b.hour), cmp.Compare(a.rank, b.rank))
	})
	for i := range sorted {
		c := &sorted[i]
		sameHour := i > 0 && sorted[i-1].link == c.link && sorted[i-1].hour == c.hour
		if !sameHour {
			hours = append(hours, HourRollup{Link: c.link, Hour: c.hour})
		}
		if !sameHour || sorted[i-1].rank != c.rank {
			referrers = append(referrers, Rollup{Link: c.link, Hour: c.hour, Dimension: DimensionReferrer, Value: hosts[c.rank]})
		}
		h := &hours[len(hours)-1]
		h.Clicks++
		if c.visit {
			h.Visits++
		}
		referrers[len(referrers)-1].Clicks++
	}
	return hours, referrers
}

// countedClick is what rollups need of a click.
type countedClick struct {
	link  LinkID
	hour  int64
	rank  int32 // of its referrer's host
	visit bool
}

// rankReferrers returns the hosts of all referrers, sorted, and for each click the place of its own among them.
func rankReferrers(clicks []Click) (hosts []string, ranks []int32) {
	known, ids := map[string]int32{}, map[string]int32{} // by referrer, by host
	ranks = make([]int32, len(clicks))
	for i := range clicks {
		id, ok := known[string(clicks[i].Referrer)]
		if !ok {
			host := ReferrerHost(clicks[i].Referrer)
			if id, ok = ids[host]; !ok {
				id = int32(len(hosts))
				ids[host] = id
				hosts = append(hosts, host)
			}
			known[string(clicks[i].Referrer)] = id
		}
		ranks[i] = id
	}
	byID := slices.Clone(hosts)
	slices.Sort(hosts)
	rankOf := make([]int32, len(hosts))
	for id, host := range byID {
		rank, _ := slices.BinarySearch(hosts, host)
		rankOf[id] = int32(rank)
	}
	for i, id := range ranks {
		ranks[i] = rankOf[id]
	}
	return hosts, ranks
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
