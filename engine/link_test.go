package engine_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

var linkTime = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func goodLink() engine.Link {
	return engine.Link{Domain: engine.DefaultDomain, Code: "abc", Target: "https://example.com/", Active: true, RedirectStatus: 302}
}

func TestLinkCheck(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*engine.Link)
		want   []string // the refused fields
	}{
		{"a plain link", func(*engine.Link) {}, nil},
		{"everything set", func(l *engine.Link) {
			l.Title, l.RedirectStatus, l.MaxVisits = strings.Repeat("t", 512), 308, engine.MaxVisitsMax
			l.ValidSince, l.ValidUntil = linkTime, linkTime.Add(time.Microsecond)
		}, nil},
		{"a title beyond ASCII", func(l *engine.Link) { l.Title = "Grüße 🎱" }, nil},
		{"no code", func(l *engine.Link) { l.Code = "" }, []string{"code"}},
		{"a long title", func(l *engine.Link) { l.Title = strings.Repeat("t", 513) }, []string{"title"}},
		{"a title with a line end", func(l *engine.Link) { l.Title = "a\nb" }, []string{"title"}},
		{"a title that is not UTF-8", func(l *engine.Link) { l.Title = "a\xff" }, []string{"title"}},
		{"no status", func(l *engine.Link) { l.RedirectStatus = 0 }, []string{"redirect_status"}},
		{"a status that is no redirect of ours", func(l *engine.Link) { l.RedirectStatus = 303 }, []string{"redirect_status"}},
		{"no time between since and until", func(l *engine.Link) { l.ValidSince, l.ValidUntil = linkTime, linkTime }, []string{"valid_until"}},
		{"a year before 1970", func(l *engine.Link) { l.ValidSince = time.Unix(-1, 0).UTC() }, []string{"valid_since"}},
		{"a year of five digits", func(l *engine.Link) { l.ValidUntil = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, []string{"valid_until"}},
		{"negative visits", func(l *engine.Link) { l.MaxVisits = -1 }, []string{"max_visits"}},
		{"too many visits", func(l *engine.Link) { l.MaxVisits = engine.MaxVisitsMax + 1 }, []string{"max_visits"}},
		{
			"everything wrong at once", func(l *engine.Link) {
				*l = engine.Link{Code: "a/b", Title: "\x00", MaxVisits: -1, ValidSince: linkTime.Add(1), ValidUntil: linkTime}
			},
			[]string{"code", "title", "redirect_status", "valid_until", "max_visits"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := goodLink()
			tt.change(&l)
			var fields []string
			if e, ok := errors.AsType[*engine.Error](l.Check()); ok {
				for _, f := range e.Fields {
					fields = append(fields, f.Field)
				}
				if e.Code != engine.CodeInvalid {
					t.Errorf("code %s, want %s", e.Code, engine.CodeInvalid)
				}
			}
			if !slices.Equal(fields, tt.want) {
				t.Errorf("refused fields %v, want %v", fields, tt.want)
			}
		})
	}
}

func TestLinkNormalize(t *testing.T) {
	l := engine.Link{ValidSince: time.Date(2026, 5, 1, 14, 0, 0, 1_999, time.FixedZone("east", 7200))}
	l.Normalize()
	if want := linkTime.Add(time.Microsecond); l.ValidSince != want {
		t.Errorf("valid_since %v, want %v", l.ValidSince, want)
	}
	if !l.ValidUntil.IsZero() || !l.CreatedAt.IsZero() {
		t.Error("an unset time was set")
	}
}

func TestLinkSameSeesEachFieldThatACallerCanSet(t *testing.T) {
	changes := map[string]func(*engine.Link){
		"code":            func(l *engine.Link) { l.Code = "x" },
		"target":          func(l *engine.Link) { l.Target = "https://example.org/" },
		"title":           func(l *engine.Link) { l.Title = "x" },
		"active":          func(l *engine.Link) { l.Active = false },
		"redirect_status": func(l *engine.Link) { l.RedirectStatus = 301 },
		"valid_since":     func(l *engine.Link) { l.ValidSince = linkTime },
		"valid_until":     func(l *engine.Link) { l.ValidUntil = linkTime },
		"max_visits":      func(l *engine.Link) { l.MaxVisits = 1 },
		"forward_query":   func(l *engine.Link) { l.ForwardQuery = true },
	}
	for field, change := range changes {
		a, b := goodLink(), goodLink()
		change(&b)
		if a.Same(&b) {
			t.Errorf("a change of %s is not seen", field)
		}
	}
	a, b := goodLink(), goodLink()
	a.ValidSince, b.ValidSince = linkTime, linkTime.In(time.FixedZone("east", 7200))
	b.ID, b.Clicks, b.Version, b.CreatedAt, b.UpdatedAt = 7, 8, 9, linkTime, linkTime
	if !a.Same(&b) {
		t.Error("identity, counts or a time's zone make a difference")
	}
}

func TestLinkKeyAndState(t *testing.T) {
	l := goodLink()
	if got, want := l.Key(), (engine.Key{Domain: engine.DefaultDomain, Code: "abc"}); got != want {
		t.Errorf("Key() = %v, want %v", got, want)
	}
	for _, tt := range []struct {
		name, want string
		link       func() engine.Link
	}{
		{
			"unset conditions are null",
			`{"code":"abc","url":"https://example.com/","active":true,"redirect_status":302,"valid_since":null,"valid_until":null,"max_visits":null,"forward_query":false,"version":0}`,
			goodLink,
		},
		{
			"all conditions",
			`{"code":"abc","url":"https://example.com/","title":"t","active":true,"redirect_status":302,"valid_since":"2026-05-01T12:00:00Z","valid_until":"2026-05-01T13:00:00Z","max_visits":5,"forward_query":true,"version":3}`,
			func() engine.Link {
				l := goodLink()
				l.Title, l.ValidSince, l.ValidUntil, l.MaxVisits, l.ForwardQuery, l.Version = "t", linkTime, linkTime.Add(time.Hour), 5, true, 3
				return l
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := tt.link()
			got, err := json.Marshal(l.State())
			if err != nil || string(got) != tt.want {
				t.Errorf("State() = %s, %v, want %s", got, err, tt.want)
			}
		})
	}
}
