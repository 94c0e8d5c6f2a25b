package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

func saltRules() []rule {
	salt := func(t *testing.T, s engine.Store, day time.Time) [16]byte {
		t.Helper()
		salt, err := s.VisitorSalt(t.Context(), day)
		must(t, err)
		if salt == [16]byte{} {
			t.Errorf("VisitorSalt(%v) is all zero", day)
		}
		return salt
	}
	day := func(n int) time.Time { return epoch.AddDate(0, 0, n) }
	return []rule{
		{"a UTC day has one salt, whatever the hour and zone", func(t *testing.T, s engine.Store) {
			first := salt(t, s, epoch)
			for _, at := range []time.Time{epoch.Add(24*time.Hour - 1), epoch.Add(time.Hour).In(time.FixedZone("", -7200))} {
				if got := salt(t, s, at); got != first {
					t.Errorf("VisitorSalt(%v) = %x, want %x", at, got, first)
				}
			}
			if salt(t, s, day(1)) == first {
				t.Error("two days have the same salt")
			}
		}},
		{"parallel first calls agree", func(t *testing.T, s engine.Store) {
			const n = 8
			got, errs := make([][16]byte, n), make([]error, n)
			parallel(n, func(i int) { got[i], errs[i] = s.VisitorSalt(t.Context(), epoch) })
			must(t, errors.Join(errs...))
			for _, g := range got {
				if g != got[0] {
					t.Errorf("parallel calls got %x and %x", g, got[0])
				}
			}
		}},
		{"salts of more than two days before are gone for good", func(t *testing.T, s engine.Store) {
			zero, one := salt(t, s, day(0)), salt(t, s, day(1))
			three := salt(t, s, day(3))
			if salt(t, s, day(1)) != one {
				t.Error("the salt of two days before is gone")
			}
			if salt(t, s, day(0)) == zero {
				t.Error("the salt of three days before is still there")
			}
			remade := salt(t, s, day(0))
			if salt(t, s, day(3)) != three || salt(t, s, day(0)) == remade {
				t.Error("a day whose salt is there keeps older salts")
			}
		}},
	}
}
