package engine_test

import (
	"math/rand/v2"
	"testing"

	"github.com/carom-dev/carom/engine"
)

// BenchmarkNewCode draws from crypto/rand; the twin draws the same number of characters from a generator that can be guessed.
func BenchmarkNewCode(b *testing.B) {
	b.Run("crypto", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := engine.NewCode(nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("twin=math-rand", func(b *testing.B) {
		const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		b.ReportAllocs()
		var sink string
		for b.Loop() {
			var code [7]byte
			for i := range code {
				code[i] = alphabet[rand.IntN(len(alphabet))]
			}
			sink = string(code[:])
		}
		_ = sink
	})
}

func BenchmarkValidCode(b *testing.B) {
	code := []byte("aZ09_-x")
	b.ReportAllocs()
	for b.Loop() {
		if !engine.ValidCode(code) {
			b.Fatal("not valid")
		}
	}
}
