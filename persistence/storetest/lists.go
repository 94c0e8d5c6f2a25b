package storetest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

func listRules() []rule {
	rules := []rule{
		{"filters by code, activity and domain", func(t *testing.T, s engine.Store) {
			create(t, s, link("on"))
			off := link("off")
			off.Active = false
			create(t, s, off)
			wantCodes(t, s, engine.LinkQuery{}, "off", "on")
			wantCodes(t, s, engine.LinkQuery{Code: "on"}, "on")
			wantCodes(t, s, engine.LinkQuery{Code: "ON"})
			wantCodes(t, s, engine.LinkQuery{Active: new(true)}, "on")
			wantCodes(t, s, engine.LinkQuery{Active: new(false)}, "off")
			wantCodes(t, s, engine.LinkQuery{Active: new(false), Code: "on"})
			page, err := s.ListLinks(t.Context(), engine.LinkQuery{Domain: 4711, Limit: 10})
			must(t, err)
			if len(page.Links) != 0 || page.More {
				t.Errorf("ListLinks of another domain = %+v, want none", page)
			}
		}},
		{"searches a part of target or title, without case, and takes no character as a wildcard", func(t *testing.T, s engine.Store) {
			for code, l := range map[string][2]string{
				"a": {"https://example.com/100%25_sure", "Plain title"},
				"b": {"https://Other.example/", `Back\slash and 50%`},
				"c": {"https://example.net/x", "GRÖSSE Straße ПРИВЕТ"},
				"d": {"https://example.net/under_score", ""},
			} {
				in := link(code)
				in.Target, in.Title = l[0], l[1]
				create(t, s, in)
			}
			for search, want := range map[string][]string{
				"": {"d", "c", "b", "a"}, "EXAMPLE.com": {"a"}, "PLAIN T": {"a"}, "example.net": {"d", "c"}, "größe": nil, "gröSSE": {"c"}, "GRÖSSE": {"c"},
				"привет": {"c"}, "ПРИвет": {"c"}, "straße": {"c"}, "%": {"b", "a"}, "_": {"d", "a"}, `\`: {"b"}, "100%25_s": {"a"}, "1_0": nil, "nothing": nil, "'": nil,
			} {
				slices.Sort(want)
				wantCodes(t, s, engine.LinkQuery{Search: search, Sort: engine.SortCode}, want...)
			}
		}},
		{"an edited title is found by its new words only", func(t *testing.T, s engine.Store) {
			l := link("a")
			l.Title = "ÄPFEL"
			l = create(t, s, l)
			update(t, s, l.ID, func(l *engine.Link) { l.Title = "BIRNEN Ü" })
			wantCodes(t, s, engine.LinkQuery{Search: "äpfel"})
			wantCodes(t, s, engine.LinkQuery{Search: "birnen ü"}, "a")
		}},
		{"counts all matches only when asked", func(t *testing.T, s engine.Store) {
			for i := range 5 {
				l := link(fmt.Sprint("c", i))
				l.Active = i%2 == 0
				create(t, s, l)
			}
			q := engine.LinkQuery{Domain: engine.DefaultDomain, Limit: 2, Active: new(true), Sort: engine.SortCode, Total: true}
			page, err := s.ListLinks(t.Context(), q)
			must(t, err)
			if page.Total != 3 || len(page.Links) != 2 || !page.More {
				t.Errorf("ListLinks: total %d, %d links, more %v, want 3, 2, true", page.Total, len(page.Links), page.More)
			}
			q.After = cursorOf(q.Sort, page.Links[1])
			if page, err = s.ListLinks(t.Context(), q); err != nil || page.Total != 3 || len(page.Links) != 1 || page.More {
				t.Errorf("ListLinks of the second page = %+v, %v, want total 3, 1 link, no more", page, err)
			}
			q.Total = false
			if page, err = s.ListLinks(t.Context(), q); err != nil || page.Total != 0 {
				t.Errorf("ListLinks without Total: total %d, %v, want 0", page.Total, err)
			}
		}},
		{"an unknown order, a cursor of another one, or a search longer than any target is refused", func(t *testing.T, s engine.Store) {
			for _, q := range []engine.LinkQuery{
				{Sort: "title"},
				{Sort: engine.SortCode, After: &engine.LinkCursor{Sort: engine.SortNewest, Time: epoch, ID: 1}},
				{Sort: engine.SortNewest, After: &engine.LinkCursor{Sort: engine.SortOldest, Time: epoch, ID: 1}},
				{After: &engine.LinkCursor{Sort: "title"}},
				{Search: strings.Repeat("%", engine.TargetMaxLen+1)},
			} {
				q.Domain, q.Limit = engine.DefaultDomain, 10
				_, err := s.ListLinks(t.Context(), q)
				wantCode(t, fmt.Sprintf("ListLinks(%.100s)", fmt.Sprintf("%+v", q)), err, engine.CodeInvalid)
			}
			wantCodes(t, s, engine.LinkQuery{Search: strings.Repeat("%", engine.TargetMaxLen)})
		}},
		{"lists the number of clicks", func(t *testing.T, s engine.Store) {
			l := create(t, s, link("clicked"))
			must(t, s.WriteClicks(t.Context(), batch(nodeA, 0, 0, 2, click(l.ID, 0), click(l.ID, 1))))
			page, err := s.ListLinks(t.Context(), engine.LinkQuery{Domain: engine.DefaultDomain, Limit: 1})
			must(t, err)
			if len(page.Links) != 1 || page.Links[0].Clicks != 2 {
				t.Errorf("ListLinks = %+v, want one link with 2 clicks", page.Links)
			}
		}},
	}
	for _, sort := range []engine.LinkSort{"", engine.SortNewest, engine.SortOldest, engine.SortCode, engine.SortUpdated} {
		name := fmt.Sprintf("pages by %q are complete and without repeats, also over equal times", sort)
		rules = append(rules, rule{name, func(t *testing.T, s engine.Store) { provePages(t, s, sort) }})
	}
	return rules
}

// provePages makes links with few distinct times, and reads them in pages of every size.
func provePages(t *testing.T, s engine.Store, sort engine.LinkSort) {
	var all []engine.Link
	for i, code := range []string{"b", "B", "a", "_", "-", "9", "Z", "z", "aa", "Aa", "ab"} {
		l, _, err := s.CreateLink(t.Context(), link(code), author(time.Duration(i/4)*time.Second), nil)
		must(t, err)
		if i%3 == 0 {
			l = update(t, s, l.ID, func(l *engine.Link) { l.Title = "updated" })
		}
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b engine.Link) int {
		switch sort {
		case engine.SortOldest:
			return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
		case engine.SortCode:
			return strings.Compare(a.Code, b.Code) // by byte
		case engine.SortUpdated:
			return -cmp.Or(a.UpdatedAt.Compare(b.UpdatedAt), cmp.Compare(a.ID, b.ID))
		}
		return -cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	for limit := 1; limit <= len(all)+1; limit++ {
		q := engine.LinkQuery{Domain: engine.DefaultDomain, Sort: sort, Limit: limit}
		var got []engine.Link
		for more := true; more; {
			page, err := s.ListLinks(t.Context(), q)
			must(t, err)
			if len(page.Links) == 0 || len(page.Links) > limit {
				t.Fatalf("ListLinks with limit %d returned %d links", limit, len(page.Links))
			}
			got, more = append(got, page.Links...), page.More
			q.After = cursorOf(sort, got[len(got)-1])
		}
		if want := codesOf(all); !slices.Equal(codesOf(got), want) {
			t.Errorf("pages of %d by %q = %q, want %q", limit, sort, codesOf(got), want)
		}
	}
}

func cursorOf(sort engine.LinkSort, l engine.Link) *engine.LinkCursor {
	c := &engine.LinkCursor{Sort: sort, ID: l.ID}
	switch sort {
	case engine.SortCode:
		c.Code = l.Code
	case engine.SortUpdated:
		c.Time = l.UpdatedAt
	default:
		c.Time = l.CreatedAt
	}
	return c
}

func codesOf(links []engine.Link) []string {
	codes := make([]string, len(links))
	for i := range links {
		codes[i] = links[i].Code
	}
	return codes
}

func wantCodes(t *testing.T, s engine.Store, q engine.LinkQuery, want ...string) {
	t.Helper()
	q.Domain, q.Limit = engine.DefaultDomain, 100
	page, err := s.ListLinks(t.Context(), q)
	must(t, err)
	if got := codesOf(page.Links); !slices.Equal(got, want) {
		t.Errorf("ListLinks(code %q, search %q, sort %q) = %q, want %q", q.Code, q.Search, q.Sort, got, want)
	}
}
