package engine_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/carom-dev/carom/engine"
)

func TestReferrerHost(t *testing.T) {
	for _, tt := range []struct{ name, referrer, want string }{
		{"none", "", ""},
		{"only spaces", "  ", ""},
		{"host", "http://www.example.com", "www.example.com"},
		{"path", "https://t.co/03elZC4Q", "t.co"},
		{"upper case", "HTTPS://WWW.AwareMap.COM/", "www.awaremap.com"},
		{"port", "http://example.com:8080/x", "example.com"},
		{"user name", "http://user:pw@example.com/", "example.com"},
		{"at sign in the path", "http://example.com/@name", "example.com"},
		{"query without a path", "http://example.com?q=1", "example.com"},
		{"fragment without a path", "http://example.com#x", "example.com"},
		{"IPv6", "http://[2001:DB8::1]/", "[2001:db8::1]"},
		{"IPv6 with port", "http://[2001:db8::1]:8080/", "[2001:db8::1]"},
		{"an app", "android-app://com.google.android.gm/", "com.google.android.gm"},
		{"no scheme", "direct", "direct"},
		{"no scheme, with a path", "Example.com/a", "example.com"},
		{"another address in the query", "http://example.com/?u=http://evil.example/", "example.com"},
		{"another address in the query, without a scheme of its own", "example.com/?u=http://evil.example/", "example.com"},
		{"no host", "http:///x", ""},
		{"surrounded by spaces", " http://example.com/ ", "example.com"},
		{"invalid UTF-8", "http://ex\xffample.com/", "ex\uFFFDample.com"},
		{"NUL", "http://ex\x00ample.com/", "ex\uFFFDample.com"},
		{"longer than a name can be", "http://" + strings.Repeat("a", 1000) + "/", strings.Repeat("a", 260)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := engine.ReferrerHost([]byte(tt.referrer)); got != tt.want {
				t.Errorf("ReferrerHost(%q) = %q, want %q", tt.referrer, got, tt.want)
			}
		})
	}
}

func TestAggregate(t *testing.T) {
	const hour = 1_331_920_800
	at := func(seconds int64) int64 { return (hour + seconds) * 1e6 }
	clicks := []engine.Click{
		{Link: 2, At: at(3600), Referrer: []byte("http://b.example/")},
		{Link: 2, At: at(0)},
		{Link: 1, At: at(3599), Referrer: []byte("http://B.example:80/other"), Flags: engine.ClickHead},
		{Link: 2, At: at(7199), Referrer: []byte("https://b.example/x"), Flags: engine.ClickPrefetch},
		{Link: 2, At: at(3601), Referrer: []byte("http://a.example/")},
	}
	wantHours := []engine.HourRollup{
		{Link: 1, Hour: hour, Clicks: 1},
		{Link: 2, Hour: hour, Clicks: 1, Visits: 1},
		{Link: 2, Hour: hour + 3600, Clicks: 3, Visits: 2},
	}
	wantReferrers := []engine.Rollup{
		{Link: 1, Hour: hour, Dimension: engine.DimensionReferrer, Value: "b.example", Clicks: 1},
		{Link: 2, Hour: hour, Dimension: engine.DimensionReferrer, Clicks: 1},
		{Link: 2, Hour: hour + 3600, Dimension: engine.DimensionReferrer, Value: "a.example", Clicks: 1},
		{Link: 2, Hour: hour + 3600, Dimension: engine.DimensionReferrer, Value: "b.example", Clicks: 2},
	}
	if hours, referrers := engine.Aggregate(clicks); !slices.Equal(hours, wantHours) || !slices.Equal(referrers, wantReferrers) {
		t.Errorf("Aggregate:\n%v\n%v\nwant\n%v\n%v", hours, referrers, wantHours, wantReferrers)
	}
	if hours, referrers := engine.Aggregate(nil); len(hours)+len(referrers) != 0 {
		t.Errorf("Aggregate(nil) = %v, %v, want nothing", hours, referrers)
	}
}

func TestAggregateSumsWhatItWasGiven(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	referrers := []string{"", "http://a.example/", "http://b.example/x", "direct"}
	clicks := make([]engine.Click, 10_000)
	visits := int64(0)
	for i := range clicks {
		clicks[i] = engine.Click{
			Link: engine.LinkID(1 + r.IntN(50)), At: r.Int64N(7*24*3600) * 1e6, Referrer: []byte(referrers[r.IntN(len(referrers))]),
			Flags: engine.ClickFlags(r.IntN(8)),
		}
		if clicks[i].Flags&(engine.ClickHead|engine.ClickPrefetch) == 0 {
			visits++
		}
	}
	hours, counted := engine.Aggregate(clicks)
	var sums [3]int64
	for i, h := range hours {
		sums[0], sums[1] = sums[0]+h.Clicks, sums[1]+h.Visits
		if h.Hour%3600 != 0 {
			t.Fatalf("%+v does not start on an hour", h)
		}
		if i > 0 && !before(engine.Rollup{Link: hours[i-1].Link, Hour: hours[i-1].Hour}, engine.Rollup{Link: h.Link, Hour: h.Hour}) {
			t.Fatalf("%+v comes before %+v", hours[i-1], h)
		}
	}
	for i, r := range counted {
		sums[2] += r.Clicks
		if i > 0 && !before(counted[i-1], r) {
			t.Fatalf("%+v comes before %+v", counted[i-1], r)
		}
	}
	if n := int64(len(clicks)); sums != [3]int64{n, visits, n} {
		t.Errorf("sums %v, want %d clicks, %d visits, and as many clicks by referrer", sums, n, visits)
	}
	slices.Reverse(clicks)
	if again, same := engine.Aggregate(clicks); !slices.Equal(again, hours) || !slices.Equal(same, counted) {
		t.Error("the rollups depend on the order of the clicks")
	}
}

// before says that a's key is less than b's, spelled without the function under test.
func before(a, b engine.Rollup) bool {
	if a.Link != b.Link {
		return a.Link < b.Link
	}
	if a.Hour != b.Hour {
		return a.Hour < b.Hour
	}
	return a.Value < b.Value
}

func TestUsedVisits(t *testing.T) {
	clicks := []engine.Click{
		{Link: 9, Flags: engine.ClickBudgeted},
		{Link: 3},
		{Link: 5, Flags: engine.ClickBudgeted},
		{Link: 9, Flags: engine.ClickBudgeted},
		{Link: 5, Flags: engine.ClickHead},
	}
	want := []engine.VisitUse{{Link: 5, Visits: 1}, {Link: 9, Visits: 2}}
	if got := engine.UsedVisits(clicks); !slices.Equal(got, want) {
		t.Errorf("UsedVisits = %v, want %v", got, want)
	}
}
