package engine_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/carom-dev/carom/engine"
)

func FuzzReferrerHost(f *testing.F) {
	for _, seed := range []string{"", "direct", "http://A.example:80/x?y#z", "http://u:p@[::1]:1/", "android-app://a/b", "x/?u=http://y/", "http://\xff\x00/", "://", "@", "\u0130"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, referrer []byte) {
		given := bytes.Clone(referrer)
		host := engine.ReferrerHost(referrer)
		if !bytes.Equal(given, referrer) {
			t.Fatalf("ReferrerHost wrote to its argument: %q became %q", given, referrer)
		}
		if !utf8.ValidString(host) || strings.ContainsAny(host, "/?#@\x00") {
			t.Fatalf("ReferrerHost(%q) = %q, which is no host", referrer, host)
		}
		// A replaced byte grows to the three of U+FFFD, and a letter may grow when its case changes.
		if len(host) > 3*260 {
			t.Fatalf("ReferrerHost(%.40q...) has %d bytes", referrer, len(host))
		}
		if host != "" && !strings.ContainsRune(host, ':') && host == strings.TrimSpace(host) {
			if again := engine.ReferrerHost([]byte("https://" + host + "/")); len(host) < 260 && again != host {
				t.Fatalf("ReferrerHost(%q) = %q, which as a host comes to %q", referrer, host, again)
			}
		}
	})
}
