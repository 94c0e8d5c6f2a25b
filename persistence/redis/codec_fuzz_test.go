package redis

import "testing"

func FuzzDecode(f *testing.F) {
	for _, m := range full("node a", "node b") {
		payload, err := encode(&m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(payload))
	}
	f.Add("")
	f.Fuzz(func(t *testing.T, payload string) {
		m, err := decode(payload)
		if err != nil {
			return
		}
		again, err := encode(&m)
		if err != nil || string(again) != payload {
			t.Errorf("encode(decode(%q)) = %q, %v; want the same bytes", payload, again, err)
		}
	})
}
