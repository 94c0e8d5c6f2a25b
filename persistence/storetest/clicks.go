package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

// click is a visit some seconds after epoch.
func click(id engine.LinkID, seconds int) engine.Click {
	return engine.Click{
		At: epoch.Add(time.Duration(seconds) * time.Second).UnixMicro(), Link: id, Visitor: 1<<63 + uint64(seconds), Status: 302,
		Address: engine.TruncateAddr(netip.MustParseAddr("203.0.113.77")), UserAgent: []byte("Mozilla/5.0 (X11; Linux x86_64)"),
		Referrer: []byte("https://News.example/item?id=1"), Language: []byte("de-CH"),
	}
}

// batch moves one lane and brings clicks.
func batch(node engine.NodeID, lane int, from, to engine.Position, clicks ...engine.Click) *engine.ClickBatch {
	return &engine.ClickBatch{Node: node, Moves: []engine.LaneMove{{Lane: lane, From: from, To: to}}, Clicks: clicks}
}

// writeClicks stores clicks under a node of their own, so that a test need not keep positions.
func writeClicks(t *testing.T, s engine.Store, node engine.NodeID, clicks ...engine.Click) {
	t.Helper()
	positions, err := s.Checkpoints(t.Context(), node)
	must(t, err)
	must(t, s.WriteClicks(t.Context(), batch(node, 0, positions[0], positions[0]+1, clicks...)))
}

func readClicks(t *testing.T, s engine.Store, q engine.ClickQuery) []engine.StoredClick {
	t.Helper()
	if q.Limit == 0 {
		q.Limit = 10_000
	}
	clicks, err := s.Clicks(t.Context(), q)
	must(t, err)
	return clicks
}

func clickRules() []rule {
	return []rule{
		{"a click reads back as it was recorded, with its link's code", func(t *testing.T, s engine.Store) {
			l := create(t, s, link("clicked"))
			full := click(l.ID, 0)
			full.UserAgent = bytes.Repeat([]byte("u"), engine.UserAgentMaxLen)
			full.Referrer = bytes.Repeat([]byte("r"), engine.ReferrerMaxLen)
			full.Language = bytes.Repeat([]byte("l"), engine.LanguageMaxLen)
			full.Visitor, full.Flags, full.Status = math.MaxUint64, engine.ClickHead|engine.ClickPrefetch, 308
			six := click(l.ID, 1)
			six.Address = engine.TruncateAddr(netip.MustParseAddr("2001:db8:ffff:1::1"))
			bare := engine.Click{Link: l.ID, Status: 301}
			all := []engine.Click{full, six, bare}
			writeClicks(t, s, nodeA, all...)
			got := readClicks(t, s, engine.ClickQuery{})
			if len(got) != len(all) {
				t.Fatalf("Clicks returned %d, want %d", len(got), len(all))
			}
			for i, c := range got {
				if c.ID <= 0 || i > 0 && c.ID <= got[i-1].ID || c.Code != l.Code {
					t.Errorf("click %d has id %d, code %q, want increasing ids and %q", i, c.ID, c.Code, l.Code)
				}
				wantClick(t, c.Click, all[i])
			}
		}},
		{"text is kept as given, but for invalid UTF-8 and NUL, which become U+FFFD", func(t *testing.T, s engine.Store) {
			l := create(t, s, link("text"))
			texts := []string{
				"plain", "日本語 🎱", "tab\tCR\rLF\nDEL\x7f", `quote ' " \ % _ \x41 \N`, "a\x00b\x00\x00", "\xff\xfeA\xc3", "cut in a rune \xe6\x97", "\ufffd", "\x00", "\u0085\u2028",
			}
			var all []engine.Click
			for i, text := range texts {
				c := click(l.ID, i)
				c.UserAgent, c.Referrer, c.Language = []byte(text), []byte("https://x"+text), []byte(text)
				all = append(all, c)
			}
			writeClicks(t, s, nodeA, all...)
			for i, c := range readClicks(t, s, engine.ClickQuery{Link: l.ID}) {
				want := all[i]
				for _, b := range []*[]byte{&want.UserAgent, &want.Referrer, &want.Language} {
					*b = []byte(engine.StoredText(*b))
				}
				wantClick(t, c.Click, want)
			}
			stats, err := s.Stats(t.Context(), engine.StatsQuery{Link: l.ID, Referrers: 100})
			must(t, err)
			if stats.Clicks != int64(len(texts)) || len(stats.Referrers) == 0 {
				t.Errorf("Stats = %+v, want %d clicks with referrers", stats, len(texts))
			}
		}},
		{"a click of a link that does not exist is stored, without a code", func(t *testing.T, s engine.Store) {
			l := create(t, s, link("real"))
			budgeted := click(4711, 1)
			budgeted.Flags = engine.ClickBudgeted
			writeClicks(t, s, nodeA, click(l.ID, 0), budgeted, click(l.ID, 2))
			got := readClicks(t, s, engine.ClickQuery{})
			if len(got) != 3 {
				t.Fatalf("Clicks = %+v, want 3", got)
			}
			for _, c := range got {
				if c.Link == l.ID && c.Code != l.Code || c.Link != l.ID && (c.Link != 4711 || c.Code != "") {
					t.Errorf("Clicks returned one of link %d with code %q, want link 4711 without a code", c.Link, c.Code)
				}
			}
		}},
		{"content that no journal writes is refused as a RejectedError, and all of its batch stays out", func(t *testing.T, s engine.Store) {
			l := create(t, s, link("ok"))
			for name, spoil := range map[string]func(*engine.Click){
				"link 0":                func(c *engine.Click) { c.Link = 0 },
				"a negative link":       func(c *engine.Click) { c.Link = -1 },
				"a time before 1970":    func(c *engine.Click) { c.At = -1 },
				"a time after 9999":     func(c *engine.Click) { c.At = 253402300800000000 },
				"the last moment there": func(c *engine.Click) { c.At = math.MaxInt64 },
			} {
				bad := click(l.ID, 0)
				spoil(&bad)
				err := s.WriteClicks(t.Context(), batch(nodeA, 0, 0, 3, click(l.ID, 0), bad, click(l.ID, 1)))
				if _, ok := errors.AsType[*engine.RejectedError](err); !ok {
					t.Errorf("WriteClicks with %s = %v, want a RejectedError", name, err)
				}
			}
			if got := readClicks(t, s, engine.ClickQuery{}); len(got) != 0 {
				t.Errorf("Clicks = %+v after refused batches, want none", got)
			}
			wantCheckpoints(t, s, nodeA, nil)
		}},
		{"pages are complete and in order, of one link and of all", func(t *testing.T, s engine.Store) {
			a, b := create(t, s, link("a")), create(t, s, link("b"))
			for i := range 40 {
				id := a.ID
				if i%3 == 0 {
					id = b.ID
				}
				writeClicks(t, s, nodeA, click(id, 100-i), click(id, 100-i))
			}
			var mixed []engine.Click
			for i := range 1500 {
				mixed = append(mixed, click([]engine.LinkID{a.ID, b.ID, b.ID}[i%3], i))
			}
			writeClicks(t, s, nodeA, mixed...)
			for _, id := range []engine.LinkID{0, a.ID, b.ID} {
				want := readClicks(t, s, engine.ClickQuery{Link: id})
				var got []engine.StoredClick
				q := engine.ClickQuery{Link: id, Limit: 7}
				for page := readClicks(t, s, q); len(page) > 0; page = readClicks(t, s, q) {
					if len(page) > q.Limit {
						t.Fatalf("Clicks with limit %d returned %d", q.Limit, len(page))
					}
					got = append(got, page...)
					q.After = got[len(got)-1].ID
				}
				ids := func(c engine.StoredClick) engine.ClickID { return c.ID }
				if len(want) == 0 || !slices.Equal(mapped(got, ids), mapped(want, ids)) || !slices.IsSorted(mapped(got, ids)) {
					t.Errorf("pages of link %d = %v, want %v", id, mapped(got, ids), mapped(want, ids))
				}
				for _, c := range got {
					if id != 0 && c.Link != id {
						t.Errorf("Clicks of link %d returned one of link %d", id, c.Link)
					}
				}
			}
		}},
		{"a range of time includes its start and not its end", func(t *testing.T, s engine.Store) {
			l := create(t, s, link("timed"))
			writeClicks(t, s, nodeA, click(l.ID, 3), click(l.ID, 1), click(l.ID, 2), click(l.ID, 4))
			got := readClicks(t, s, engine.ClickQuery{Link: l.ID, From: epoch.Add(2 * time.Second), To: epoch.Add(4 * time.Second)})
			at := mapped(got, func(c engine.StoredClick) int64 { return (c.At - epoch.UnixMicro()) / 1e6 })
			if want := []int64{3, 2}; !slices.Equal(at, want) {
				t.Errorf("Clicks from 2 to 4 = %v, want %v", at, want)
			}
			if got := readClicks(t, s, engine.ClickQuery{From: epoch.Add(3 * time.Second)}); len(got) != 2 {
				t.Errorf("Clicks from 3 = %d, want 2", len(got))
			}
			if got := readClicks(t, s, engine.ClickQuery{To: epoch.Add(2 * time.Second)}); len(got) != 1 {
				t.Errorf("Clicks to 2 = %d, want 1", len(got))
			}
			m := create(t, s, link("at-once"))
			var many []engine.Click
			for i := range 700 {
				many = append(many, click(m.ID, 100+i*9%700)) // in no order of time
			}
			writeClicks(t, s, nodeA, many...)
			got = readClicks(t, s, engine.ClickQuery{From: epoch.Add(300 * time.Second), To: epoch.Add(350 * time.Second)})
			if len(got) != 50 {
				t.Errorf("Clicks from 300 to 350 = %d, want 50", len(got))
			}
			rest := readClicks(t, s, engine.ClickQuery{Link: m.ID, After: got[9].ID, From: epoch.Add(300 * time.Second), To: epoch.Add(350 * time.Second), Limit: 7})
			if ids := func(c engine.StoredClick) engine.ClickID { return c.ID }; !slices.Equal(mapped(rest, ids), mapped(got[10:17], ids)) {
				t.Errorf("7 clicks behind the tenth = %v, want %v", mapped(rest, ids), mapped(got[10:17], ids))
			}
		}},
		{"the clicks of no link are not found", func(t *testing.T, s engine.Store) {
			writeClicks(t, s, nodeA, click(4711, 0))
			_, err := s.Clicks(t.Context(), engine.ClickQuery{Link: 4711, Limit: 1})
			wantCode(t, "Clicks", err, engine.CodeNotFound)
			l := create(t, s, link("quiet"))
			if got := readClicks(t, s, engine.ClickQuery{Link: l.ID}); len(got) != 0 {
				t.Errorf("Clicks of a link without any = %v", got)
			}
		}},
		{"a large batch is stored whole", func(t *testing.T, s engine.Store) {
			const n = 5003
			links := make([]engine.Link, 700)
			for i := range links {
				links[i] = link(fmt.Sprint("l", i))
			}
			results := importLinks(t, s, links, engine.ConflictError, engine.ImportCreated)
			clicks := make([]engine.Click, n)
			for i := range clicks {
				clicks[i] = click(results[i%len(results)].ID, i)
				clicks[i].Referrer = []byte(strings.Repeat("x", i%50) + ".example")
			}
			must(t, s.WriteClicks(t.Context(), batch(nodeA, 0, 0, n, clicks...)))
			if got := readClicks(t, s, engine.ClickQuery{}); len(got) != n {
				t.Errorf("Clicks = %d, want %d", len(got), n)
			}
			got, err := s.Link(t.Context(), results[0].ID)
			must(t, err)
			if want := int64((n + len(links) - 1) / len(links)); got.Clicks != want {
				t.Errorf("Link: clicks = %d, want %d", got.Clicks, want)
			}
		}},
	}
}

func mapped[T, U any](all []T, fn func(T) U) []U {
	out := make([]U, len(all))
	for i := range all {
		out[i] = fn(all[i])
	}
	return out
}

// wantClick takes no bytes and nil for the same.
func wantClick(t *testing.T, got, want engine.Click) {
	t.Helper()
	same := got.At == want.At && got.Link == want.Link && got.Visitor == want.Visitor && got.Address == want.Address && got.Status == want.Status &&
		got.Flags == want.Flags && bytes.Equal(got.UserAgent, want.UserAgent) && bytes.Equal(got.Referrer, want.Referrer) && bytes.Equal(got.Language, want.Language)
	if !same {
		t.Errorf("click\n got %+v\nwant %+v", got, want)
	}
}
