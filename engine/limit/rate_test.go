package limit_test

import (
	"strings"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine/limit"
)

func TestParseRate(t *testing.T) {
	for in, want := range map[string]limit.Rate{
		"200/m":        {Requests: 200, Period: time.Minute},
		"30/s":         {Requests: 30, Period: time.Second},
		"1/h":          {Requests: 1, Period: time.Hour},
		"1000000000/h": {Requests: 1e9, Period: time.Hour},
		"0":            {},
		"0/m":          {},
	} {
		got, err := limit.ParseRate(in)
		if err != nil || got != want {
			t.Errorf("ParseRate(%q) = %v, %v, want %v", in, got, err, want)
		}
		if back, err := limit.ParseRate(got.String()); back != got || err != nil {
			t.Errorf("ParseRate(%q) of what String wrote = %v, %v, want %v", got.String(), back, err, got)
		}
	}
	for _, in := range []string{"", "200", "/m", "200/", "200/d", "200/M", "-1/m", "1.5/s", "200 / m", "1000000001/h", "99999999999999999999/s", "a/m", "200/m/m"} {
		if got, err := limit.ParseRate(in); err == nil || got != (limit.Rate{}) || !strings.Contains(err.Error(), "200/m") {
			t.Errorf("ParseRate(%q) = %v, %v, want a refusal that says what is accepted", in, got, err)
		}
	}
}

func TestRateString(t *testing.T) {
	for want, r := range map[string]limit.Rate{
		"0":         {},
		"7/s":       {Requests: 7, Period: time.Second},
		"5/10s":     {Requests: 5, Period: 10 * time.Second},
		"1/24h0m0s": {Requests: 1, Period: 24 * time.Hour},
	} {
		if got := r.String(); got != want {
			t.Errorf("%#v = %q, want %q", r, got, want)
		}
	}
}
