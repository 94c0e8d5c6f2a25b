package actors

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/dchest/siphash"

	"github.com/carom-dev/carom/engine"
)

type saltlessStore struct{ *fakeStore }

func (saltlessStore) VisitorSalt(context.Context, time.Time) ([16]byte, error) {
	return [16]byte{}, errors.New("away")
}

func TestVisitorIsKnownWithinADayAndNotBeyond(t *testing.T) {
	day := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	now := day
	cfg := Config{Clicks: newFakeStore(), Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler)}
	v, other := newVisitors(&cfg), newVisitors(&cfg)
	v.renew(t.Context())
	other.renew(t.Context())
	addr := engine.TruncateAddr(netip.MustParseAddr("203.0.113.7"))
	id := func(v *visitors, at time.Time, ua string) uint64 { return v.Visitor(at.UnixMicro(), addr, []byte(ua)) }
	first := id(v, day, "Firefox")
	if id(v, day.Add(11*time.Hour), "Firefox") != first || id(other, day, "Firefox") != first {
		t.Error("a visitor is not known within the day, or not on another instance")
	}
	if id(v, day, "Chrome") == first || v.Visitor(day.UnixMicro(), engine.TruncatedAddr{}, []byte("Firefox")) == first {
		t.Error("different visitors have one id")
	}
	midnight := id(v, day.Add(13*time.Hour), "Firefox")
	if midnight == first {
		t.Error("a visitor is known on the next day")
	}
	now = day.Add(24 * time.Hour)
	v.renew(t.Context())
	if id(v, day.Add(13*time.Hour), "Firefox") != midnight {
		t.Error("the salt of a day changed when the day came")
	}
}

// However long the user agent, the id is the hash of address and user agent, which other instances make too.
func TestVisitorOfAnyLength(t *testing.T) {
	cfg := Config{Clicks: newFakeStore(), Now: time.Now, Logger: slog.New(slog.DiscardHandler)}
	v := newVisitors(&cfg)
	s := v.days.Load().today
	addr := engine.TruncateAddr(netip.MustParseAddr("203.0.113.7"))
	for _, n := range []int{0, 1, 8, usualUserAgent - 1, usualUserAgent, usualUserAgent + 1, engine.UserAgentMaxLen} {
		ua := bytes.Repeat([]byte("Firefox "), n/8+1)[:n]
		want := siphash.Hash(s.k0, s.k1, append(addr[:], ua...))
		if got := v.Visitor(s.day*microsPerDay, addr, ua); got != want {
			t.Errorf("id with a user agent of %d bytes is %x, want %x", n, got, want)
		}
	}
}

func TestVisitorsWithoutTheStoreHaveASaltOfTheirOwn(t *testing.T) {
	cfg := Config{Clicks: saltlessStore{newFakeStore()}, Now: time.Now, Logger: slog.New(slog.DiscardHandler)}
	v := newVisitors(&cfg)
	before := v.Visitor(time.Now().UnixMicro(), engine.TruncatedAddr{}, []byte("x"))
	v.renew(t.Context())
	if after := v.Visitor(time.Now().UnixMicro(), engine.TruncatedAddr{}, []byte("x")); after != before {
		t.Error("the salt changed although the store gave none")
	}
}
