package journal

import (
	"strings"
	"testing"
	"time"
)

func TestConfigValidate(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  Config
		want string // in the error; "" for none
	}{
		{"defaults", Config{Dir: "d"}, ""},
		{"small bound takes small segments", Config{Dir: "d", BytesMax: 1 << 20}, ""},
		{"no directory", Config{}, "Dir"},
		{"lanes not a power of two", Config{Dir: "d", Lanes: 3}, "Lanes is 3"},
		{"negative lanes", Config{Dir: "d", Lanes: -4}, "Lanes is -4"},
		{"too many lanes", Config{Dir: "d", Lanes: 2 * LanesMax}, "Lanes is 8192"},
		{"odd segment", Config{Dir: "d", SegmentBytes: 5000}, "SegmentBytes is 5000"},
		{"segment too large", Config{Dir: "d", SegmentBytes: 2 << 30, BytesMax: 1 << 50}, "SegmentBytes is"},
		{"bound too small", Config{Dir: "d", BytesMax: 100_000}, "BytesMax is 100000"},
		{"negative bound", Config{Dir: "d", BytesMax: -1}, "BytesMax is -1"},
		{"segments do not fit", Config{Dir: "d", SegmentBytes: SegmentBytesMax}, "BytesMax is"},
		{"sync too often", Config{Dir: "d", Sync: 5}, "Sync is 5ns"},
		{"unknown sync", Config{Dir: "d", Sync: -3}, "Sync is"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.cfg.Validate()
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Validate = %v, want %q in it", err, tt.want)
			}
			if tt.want == "" {
				return
			}
			if _, err := Open(tt.cfg); err == nil {
				t.Error("Open succeeded")
			}
		})
	}
	if got := (Config{BytesMax: 1 << 20}).withDefaults().SegmentBytes; got != 16<<10 {
		t.Errorf("SegmentBytes for a bound of 1 MiB = %d, want 16 KiB", got)
	}
	if got := (Config{}).withDefaults().SegmentBytes; got != SegmentBytesDefault {
		t.Errorf("SegmentBytes = %d, want %d", got, SegmentBytesDefault)
	}
}

func TestParseSync(t *testing.T) {
	for in, want := range map[string]Sync{"always": SyncAlways, "off": SyncOff, "1s": SyncDefault, "250ms": Sync(250 * time.Millisecond)} {
		got, err := ParseSync(in)
		if err != nil || got != want || got.String() != in {
			t.Errorf("ParseSync(%q) = %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "0", "0s", "never", "-1s", "-1ns", "-2ns", "1us", "2h", "1"} {
		if got, err := ParseSync(in); err == nil {
			t.Errorf("ParseSync(%q) = %v, want an error", in, got)
		}
	}
}
