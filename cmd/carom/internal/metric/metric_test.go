package metric

import (
	"strings"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine/latency"
)

func TestSamples(t *testing.T) {
	var w Writer
	w.Begin(&Desc{Name: "carom_things_total", Kind: Counter, Help: "Things.", Labels: []string{"kind", "name"}})
	w.Count(1<<40, "a", `back\slash "quoted"`+"\n")
	w.Begin(&Desc{Name: "carom_up", Kind: Gauge, Help: "Whether."})
	w.Flag(true)
	w.Flag(false)
	w.Value(0.25)
	const want = `# HELP carom_things_total Things.
# TYPE carom_things_total counter
carom_things_total{kind="a",name="back\\slash \"quoted\"\n"} 1099511627776
# HELP carom_up Whether.
# TYPE carom_up gauge
carom_up 1
carom_up 0
carom_up 0.25
`
	if got := string(w.Bytes()); got != want {
		t.Errorf("wrote\n%s\nwant\n%s", got, want)
	}
}

func TestADistributionCountsUp(t *testing.T) {
	var h latency.Histogram
	for _, d := range []time.Duration{time.Microsecond, 40 * time.Millisecond, 50 * time.Millisecond, time.Minute} {
		h.Observe(d)
	}
	var w Writer
	w.Begin(&Desc{Name: "carom_wait_seconds", Kind: Histogram, Help: "Wait.", Labels: []string{"of"}})
	w.Distribution(h.Snapshot(), "x")
	got := string(w.Bytes())
	for _, want := range []string{
		`carom_wait_seconds_bucket{of="x",le="0.000001"} 1`, `carom_wait_seconds_bucket{of="x",le="0.025"} 1`, `carom_wait_seconds_bucket{of="x",le="0.05"} 3`,
		`carom_wait_seconds_bucket{of="x",le="10"} 3`, `carom_wait_seconds_bucket{of="x",le="+Inf"} 4`, `carom_wait_seconds_sum{of="x"} 60.090001`, `carom_wait_seconds_count{of="x"} 4`,
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("no line %s in\n%s", want, got)
		}
	}
}

func TestOthersTextGetsHelp(t *testing.T) {
	var w Writer
	w.Write([]byte("# HELP go_x\n# TYPE go_x gauge\ngo_x 1\n# HELP go_y It has one.\n"), func(name string) string { return "About " + name + "." })
	if got, want := string(w.Bytes()), "# HELP go_x About go_x.\n# TYPE go_x gauge\ngo_x 1\n# HELP go_y It has one.\n"; got != want {
		t.Errorf("wrote %q, want %q", got, want)
	}
}

func TestAMissingLabelIsABug(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a sample without its label was written")
		}
	}()
	var w Writer
	w.Begin(&Desc{Name: "x", Kind: Gauge, Help: "X.", Labels: []string{"a"}})
	w.Value(1)
}
