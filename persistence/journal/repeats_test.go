package journal

import (
	"bytes"
	"testing"

	"github.com/carom-dev/carom/engine"
)

// browserClick needs three slots with its strings, and one without.
func browserClick(n int) engine.Click {
	c := smallClick(n)
	c.UserAgent = []byte("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36")
	c.Language = []byte("en-GB,en;q=0.8")
	return c
}

// kindsOf tells the kinds of a lane's records in its current segment.
func kindsOf(t *testing.T, j *Journal) (out []kind) {
	t.Helper()
	s := j.lanes[0].current.Load()
	for slot := uint64(firstSlot); slot < s.tail.Load(); {
		r, _, ok := s.record(slot)
		if !ok {
			t.Fatalf("slot %d has no record", slot)
		}
		out = append(out, r.kind)
		slot += slotsOf(r.bytes)
	}
	return out
}

func wantKinds(t *testing.T, j *Journal, want ...kind) {
	t.Helper()
	got := kindsOf(t, j)
	if len(got) != len(want) {
		t.Fatalf("kinds are %v, want %v", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("kinds are %v, want %v", got, want)
		}
	}
}

func TestStringsAreRecordedOnceASegment(t *testing.T) {
	for name, d := range disks {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t.TempDir())
			cfg.disk = d
			j := open(t, cfg)
			appendClicks(t, j, 0, 0, 4, browserClick)
			wantKinds(t, j, kindWhole, kindRefers, kindRefers, kindRefers)
			if got, want := j.lanes[0].current.Load().tail.Load(), uint64(firstSlot+3+3); got != want {
				t.Errorf("four clicks reach to slot %d, want %d", got, want)
			}
			for _, other := range []func(*engine.Click){
				func(c *engine.Click) { c.UserAgent = append([]byte("X"), c.UserAgent[1:]...) },
				func(c *engine.Click) { c.Language = []byte("en-GB,en;q=0.9") },
				func(c *engine.Click) { c.Language = nil },
			} {
				c := browserClick(4)
				other(&c)
				if err := j.Append(0, c); err != nil {
					t.Fatal(err)
				}
			}
			appendClicks(t, j, 0, 7, 8, smallClick) // one slot, so there is nothing to win
			appendClicks(t, j, 0, 8, 9, smallClick)
			wantKinds(t, j, kindWhole, kindRefers, kindRefers, kindRefers, kindWhole, kindWhole, kindWhole, kindWhole, kindWhole)

			appendClicks(t, j, 0, 9, 400, browserClick) // into other segments
			s := j.lanes[0].current.Load()
			if r, _, ok := s.record(firstSlot); !ok || r.kind != kindWhole {
				t.Errorf("first record of a segment is %+v, %v; want a whole one", r, ok)
			}
			got, _ := readAll(t, j, 0)
			wantClicks(t, got[:4], 0, 4, browserClick)
			wantClicks(t, got[9:], 9, 400, browserClick)
			closeJournal(t, j)
			j = open(t, cfg)
			again, _ := readAll(t, j, 0)
			for i, c := range again {
				if err := sameClick(c, got[i]); err != nil {
					t.Fatalf("click %d after a restart: %v", i, err)
				}
			}
			if len(again) != len(got) || j.Stats().LostUserAgents != 0 {
				t.Errorf("%d clicks after a restart, want %d; Stats = %+v", len(again), len(got), j.Stats())
			}
		})
	}
}

// A referent may lie far in front of what a reader has in memory, and in front of where it begins.
func TestReferentFarAway(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.SegmentBytes, cfg.BytesMax = 2<<20, 8<<20
	j := open(t, cfg)
	const n = 3 * windowBytes / slotSize
	appendClicks(t, j, 0, 0, n, browserClick)
	seq := j.lanes[0].current.Load().seq
	closeJournal(t, j)
	j = open(t, cfg)
	if err := j.Seek(0, engine.MakePosition(seq, firstSlot+3+100-1)); err != nil {
		t.Fatal(err)
	}
	got, _ := readAll(t, j, 0)
	wantClicks(t, got, 100, n, browserClick)
	if s := j.Stats(); s.LostUserAgents != 0 {
		t.Errorf("LostUserAgents = %d, want none", s.LostUserAgents)
	}
}

// Two user agents with one hash: the second appender is told that the first one's record has its strings.
func TestWrongHintCostsAVoidAndNothingElse(t *testing.T) {
	for name, d := range disks {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t.TempDir())
			cfg.disk = d
			j := open(t, cfg)
			other := func(n int) engine.Click {
				c := browserClick(n)
				c.UserAgent[0] ^= 1
				c.Referrer = []byte("https://example.com/which/makes/the/void/longer/than/one/slot")
				return c
			}
			appendClicks(t, j, 0, 0, 1, browserClick)
			s := j.lanes[0].current.Load()
			s.repeats.put(repeatKey(j.seed, new(other(1))), firstSlot)
			appendClicks(t, j, 0, 1, 2, other)
			appendClicks(t, j, 0, 2, 3, other) // the hint is right now
			wantKinds(t, j, kindWhole, kindVoid, kindWhole, kindRefers)
			if s := j.Stats(); s.Appended != 3 {
				t.Errorf("Appended = %d, want 3", s.Appended)
			}
			for range 2 {
				got, _ := readAll(t, j, 0)
				wantClicks(t, got, 0, 3, func(n int) engine.Click {
					if n == 0 {
						return browserClick(n)
					}
					return other(n)
				})
				if s := j.Stats(); s.Holes+s.DamagedRecords+s.LostUserAgents != 0 {
					t.Errorf("damage in Stats = %+v", s)
				}
				closeJournal(t, j)
				j = open(t, cfg)
			}
		})
	}
}

// A hint is not believed when the memory it leads to has been damaged.
func TestHintToDamagedMemory(t *testing.T) {
	for name, damage := range map[string]func(b []byte){
		"no commit word":     func(b []byte) { clear(b[:8]) },
		"another kind":       func(b []byte) { b[offKind] = byte(kindRefers) },
		"endless referrer":   func(b []byte) { b[offReferrer], b[offReferrer+1] = 0xff, 0xff },
		"a letter":           func(b []byte) { b[recordHead+3] ^= 1 },
		"a longer language":  func(b []byte) { b[offLanguage]++ },
		"a longer UserAgent": func(b []byte) { b[offUserAgent]++ },
	} {
		t.Run(name, func(t *testing.T) {
			j := open(t, testConfig(t.TempDir()))
			appendClicks(t, j, 0, 0, 1, browserClick)
			s := j.lanes[0].current.Load()
			b := s.mem[headerBytes:]
			before := bytes.Clone(b[:2*slotSize])
			damage(b)
			slot, want := s.tail.Load(), []kind{kindVoid, kindWhole}
			appendClicks(t, j, 0, 1, 2, browserClick)
			for _, k := range want {
				r, _, ok := s.record(slot)
				if !ok || r.kind != k {
					t.Fatalf("record at slot %d is %+v, %v, want kind %v", slot, r, ok, k)
				}
				slot += slotsOf(r.bytes)
			}
			copy(b, before) // Close waits for it
		})
	}
}

func TestDamagedReferentCostsNoOtherClick(t *testing.T) {
	for name, damage := range map[string]func(b []byte, seed uint32){
		"bit in a string": func(b []byte, _ uint32) { b[recordHead] ^= 1 },
		"bit in the link": func(b []byte, _ uint32) { b[offLink] ^= 1 },
		"zeros":           func(b []byte, _ uint32) { clear(b[offTime : 3*slotSize]) },
		"another record in its place": func(b []byte, seed uint32) {
			c := browserClick(0)
			c.UserAgent[0] ^= 1
			storeWord(b, 0, putWhole(b, &c, seed, firstSlot))
		},
	} {
		for _, when := range []string{"live", "recovered"} {
			t.Run(name+", "+when, func(t *testing.T) {
				cfg := testConfig(t.TempDir())
				j := open(t, cfg)
				appendClicks(t, j, 0, 0, 10, browserClick)
				s := j.lanes[0].current.Load()
				if when == "live" {
					damage(s.mem[headerBytes:], s.seed)
				} else {
					closeJournal(t, j)
					change(t, segmentFiles(t, cfg.Dir)[0], func(b []byte) []byte { damage(b[headerBytes:], s.seed); return b })
					j = open(t, cfg)
				}
				got, _ := readAll(t, j, 0)
				if len(got) == 10 {
					got = got[1:] // the other record
				}
				wantClicks(t, got, 1, 10, func(n int) engine.Click { return withoutUserAgent(browserClick(n)) })
				if s := j.Stats(); s.LostUserAgents != 9 {
					t.Errorf("LostUserAgents = %d, want 9", s.LostUserAgents)
				}
				if h := j.Health(t.Context()); h.Status != engine.HealthWarn {
					t.Errorf("Health = %+v, want a warning", h)
				}
			})
		}
	}
}

// A click that is carried behind a checkpoint takes its strings with it.
func TestCarriedClicksKeepTheirStrings(t *testing.T) {
	j := open(t, testConfig(t.TempDir()))
	appendClicks(t, j, 0, 0, 300, mixedClick)
	if err := j.Seek(0, j.lanes[0].behind()+engine.MakePosition(1000, 0)); err != nil {
		t.Fatal(err)
	}
	got, _ := readAll(t, j, 0)
	wantClicks(t, got, 0, 300, mixedClick)
}

// With SyncAlways a click is safe only when what it refers to is.
func TestSyncCoversTheReferent(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.Sync = SyncAlways
	j := open(t, cfg)
	appendClicks(t, j, 0, 0, 3, browserClick)
	wantKinds(t, j, kindWhole, kindRefers, kindRefers)
	s := j.lanes[0].current.Load()
	if got, want := s.synced.Load(), s.tail.Load(); got != want {
		t.Errorf("synced to slot %d, want %d", got, want)
	}
}
