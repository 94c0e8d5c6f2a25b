package engine_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

func TestPositionsOrderRecords(t *testing.T) {
	const lastSlot = 1<<24 - 1
	ordered := []engine.Position{
		0, engine.MakePosition(0, 1), engine.MakePosition(0, lastSlot), engine.MakePosition(1, 0), engine.MakePosition(1, 7),
		engine.MakePosition(2, 0), engine.MakePosition(1<<40-1, lastSlot),
	}
	for i := 1; i < len(ordered); i++ {
		if ordered[i-1] >= ordered[i] {
			t.Errorf("position %d is not before position %d", ordered[i-1], ordered[i])
		}
	}
	for _, tt := range []struct {
		segment uint64
		slot    uint32
	}{{0, 0}, {1, lastSlot}, {1<<40 - 1, 0}, {42, 17}} {
		p := engine.MakePosition(tt.segment, tt.slot)
		if p.Segment() != tt.segment || p.Slot() != tt.slot {
			t.Errorf("MakePosition(%d, %d) gives back %d, %d", tt.segment, tt.slot, p.Segment(), p.Slot())
		}
	}
}

func TestTruncatedAddress(t *testing.T) {
	for _, tt := range []struct{ name, addr, want string }{
		{"IPv4 keeps 24 bits", "203.0.113.77", "203.0.113.0"},
		{"IPv6 keeps 48 bits", "2001:db8:1:2:3:4:5:6", "2001:db8:1::"},
		{"IPv4-mapped counts as IPv4", "::ffff:203.0.113.77", "203.0.113.0"},
		{"a zone is dropped", "fe80::1%eth0", "fe80::"},
		{"unspecified IPv4 is known", "0.0.0.9", "0.0.0.0"},
		{"loopback IPv6 is known", "::1", "::"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := engine.TruncateAddr(netip.MustParseAddr(tt.addr))
			if got.String() != tt.want {
				t.Errorf("TruncateAddr(%s) = %s, want %s", tt.addr, got, tt.want)
			}
			if back := engine.ParseTruncatedAddr(got.String()); back != got {
				t.Errorf("ParseTruncatedAddr(%q) = %v, want %v", got, back, got)
			}
		})
	}
	if got := engine.TruncateAddr(netip.Addr{}); got.String() != "" || got != (engine.TruncatedAddr{}) {
		t.Errorf("of no address: %q, want it not known", got)
	}
	for _, s := range []string{"", "x", "203.0.113", "203.0.113.0/24"} {
		if got := engine.ParseTruncatedAddr(s); got != (engine.TruncatedAddr{}) {
			t.Errorf("ParseTruncatedAddr(%q) = %v, want it not known", s, got)
		}
	}
}

func TestClickTimeIsUTC(t *testing.T) {
	at := time.Date(2026, 3, 1, 23, 59, 59, 999_999_000, time.FixedZone("east", 3600))
	c := engine.Click{At: at.UnixMicro()}
	if got := c.Time(); !got.Equal(at) || got.Location() != time.UTC {
		t.Errorf("Time() = %v, want %v in UTC", got, at)
	}
}

func TestStoredText(t *testing.T) {
	for in, want := range map[string]string{
		"":               "",
		"plain ü":        "plain ü",
		"a\xff\xfeb":     "a\uFFFDb",
		"a\x00b":         "a\uFFFDb",
		"cut \xe2\x82":   "cut \uFFFD",
		"keep\ttab \x01": "keep\ttab \x01",
	} {
		if got := engine.StoredText([]byte(in)); got != want {
			t.Errorf("StoredText(%q) = %q, want %q", in, got, want)
		}
		if engine.IsStoredText([]byte(in)) != (in == want) || !engine.IsStoredText([]byte(want)) {
			t.Errorf("IsStoredText(%q) = %v and of %q %v", in, engine.IsStoredText([]byte(in)), want, engine.IsStoredText([]byte(want)))
		}
	}
}
