package setting_test

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/carom-dev/carom/cmd/carom/internal/setting"
)

func TestValues(t *testing.T) {
	for _, test := range []struct {
		value      encoding.TextUnmarshaler
		text, want string // want is the value printed; "" means refused
	}{
		{new(setting.Size), "0", "0"},
		{new(setting.Size), "1000", "1000"},
		{new(setting.Size), "65536", "64KiB"},
		{new(setting.Size), "64MiB", "64MiB"},
		{new(setting.Size), "1 gib", "1GiB"},
		{new(setting.Size), "3TiB", "3TiB"},
		{new(setting.Size), "12B", "12"},
		{new(setting.Size), "64MB", ""},
		{new(setting.Size), "MiB", ""},
		{new(setting.Size), "-1", ""},
		{new(setting.Size), "1.5GiB", ""},
		{new(setting.Size), "9223372036854775807", "9223372036854775807"},
		{new(setting.Size), "9223372036854775807KiB", ""},
		{new(setting.Size), "", ""},

		{new(setting.Duration), "300s", "5m"},
		{new(setting.Duration), "90m", "1h30m"},
		{new(setting.Duration), "1h", "1h"},
		{new(setting.Duration), "0", "0s"},
		{new(setting.Duration), "250ms", "250ms"},
		{new(setting.Duration), "10m10s", "10m10s"},
		{new(setting.Duration), "-1s", ""},
		{new(setting.Duration), "5", ""},
		{new(setting.Duration), "soon", ""},

		{new(setting.Rate), "200/m", "200/m"},
		{new(setting.Rate), "0", "0"},
		{new(setting.Rate), "200", ""},
		{new(setting.Rate), "200/d", ""},

		{new(setting.Prefixes), "10.0.0.0/8", "10.0.0.0/8"},
		{new(setting.Prefixes), "10.1.2.3/8, 2001:db8::1", "10.0.0.0/8,2001:db8::1/128"},
		{new(setting.Prefixes), "127.0.0.1", "127.0.0.1/32"},
		{new(setting.Prefixes), "10.0.0.0/33", ""},
		{new(setting.Prefixes), "fe80::1%eth0", ""},
		{new(setting.Prefixes), "localhost", ""},

		{new(setting.Address), ":8080", ":8080"},
		{new(setting.Address), "[::1]:0", "[::1]:0"},
		{new(setting.Address), "off", "off"},
		{new(setting.Address), "8080", ""},
		{new(setting.Address), ":http", ""},
		{new(setting.Address), ":65536", ""},
		{new(setting.Address), "http://a:80", ""},
	} {
		err := test.value.UnmarshalText([]byte(test.text))
		if test.want == "" {
			if err == nil || !strings.Contains(err.Error(), "give ") {
				t.Errorf("%T of %q = %v, %v, want an error that says what to give", test.value, test.text, test.value, err)
			}
			continue
		}
		got := fmt.Sprint(reflect.ValueOf(test.value).Elem().Interface())
		if err != nil || got != test.want {
			t.Errorf("%T of %q = %s, %v, want %s", test.value, test.text, got, err, test.want)
		}
	}
}

func TestValuesRoundTrip(t *testing.T) {
	for _, n := range []setting.Size{0, 1, 1023, 1 << 10, 3 << 20, 1<<40 + 1} {
		var back setting.Size
		if err := back.UnmarshalText([]byte(n.String())); err != nil || back != n {
			t.Errorf("Size %d as %q reads back as %d, %v", n, n, back, err)
		}
	}
	for _, d := range []time.Duration{0, time.Nanosecond, time.Second, time.Minute, time.Hour, 90 * time.Minute, 24*time.Hour + time.Second} {
		var back setting.Duration
		if err := back.UnmarshalText([]byte(setting.Duration(d).String())); err != nil || time.Duration(back) != d {
			t.Errorf("Duration %v as %q reads back as %v, %v", d, setting.Duration(d), back, err)
		}
	}
}

func TestSecretIsMasked(t *testing.T) {
	for _, test := range []struct{ secret, want string }{
		{"", ""},
		{"hunter2", "****"},
		{"postgres://carom:hunter2@db:5432/carom", "postgres://carom:****@db:5432/carom"},
		{"postgres://carom@db/carom?password=hunter2", "postgres://carom@db/carom?****"},
		{"host=db password=hunter2", "****"},
		{"redis://:hunter2@cache:6379/0", "redis://:****@cache:6379/0"},
		{"redis://cache:6379/0", "redis://cache:6379/0"},
	} {
		if got := setting.Secret(test.secret).String(); got != test.want {
			t.Errorf("Secret(%q) = %q, want %q", test.secret, got, test.want)
		}
	}
}

func TestChecksKeepsTheFirst(t *testing.T) {
	var c setting.Checks
	c.That(true, "a", 1, "x")
	if err := c.Err(); err != nil {
		t.Fatalf("Err() = %v, want nil", err)
	}
	c.That(false, "cache-bytes", setting.Size(12), "1MiB or more")
	c.That(false, "b", 2, "y")
	if got, want := c.Err().Error(), `--cache-bytes: "12" is not accepted; give 1MiB or more`; got != want {
		t.Errorf("Err() = %q, want %q", got, want)
	}
}
