package engine_test

import (
	"strings"
	"testing"

	"github.com/carom-dev/carom/engine"
)

func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{
		"https://example.com/a?b=c#d", "HTTP://bücher.example:80/ä/../%7e", `http:\\a\b`, "http://0x7f.1/", "http://[::ffff:1.2.3.4]:80", "http://user:pw@x/",
		"javascript:alert(1)", "data:,x", "http://x/?'\"<>`{}|^", "http://xn--a/", "http://\u00ad/", "http:/a", "https:////a//", "http://a/%", "http://a\u3002b/",
	} {
		f.Add(seed)
	}
	for _, p := range []engine.TargetPolicy{policy(), {AllowPrivate: true}} {
		if _, err := p.Canonical("https://example.com/"); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, raw string) {
		for _, p := range []engine.TargetPolicy{policy(), {AllowPrivate: true}} {
			href, err := p.Canonical(raw)
			if err != nil {
				if href != "" || engine.ErrorCodeOf(err) != engine.CodeInvalid {
					t.Fatalf("Canonical(%q) = %q, %v, want nothing and %s", raw, href, err, engine.CodeInvalid)
				}
				continue
			}
			if !strings.HasPrefix(href, "http://") && !strings.HasPrefix(href, "https://") {
				t.Fatalf("Canonical(%q) = %q, want http or https", raw, href)
			}
			if i := strings.IndexFunc(href, func(r rune) bool { return r <= ' ' || r >= 0x7f }); i >= 0 || len(href) > engine.TargetMaxLen {
				t.Fatalf("Canonical(%q) = %q, which can't be sent in a header", raw, href)
			}
			if again, err := p.Canonical(href); again != href || err != nil {
				t.Fatalf("Canonical(%q) = %q, whose canonical form is %q, %v", raw, href, again, err)
			}
		}
	})
}
