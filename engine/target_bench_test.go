package engine_test

import (
	neturl "net/url"
	"testing"
)

// BenchmarkCanonical is the cost of a target at creation, beside net/url, which reads URLs unlike browsers do.
func BenchmarkCanonical(b *testing.B) {
	const raw = "https://www.example.com/a/path/of/some/length?utm_source=carom&utm_medium=link#part"
	b.Run("whatwg", func(b *testing.B) {
		p := policy()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := p.Canonical(raw); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("twin=net-url", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			u, err := neturl.Parse(raw)
			if err != nil || u.String() == "" {
				b.Fatal(err)
			}
		}
	})
}
