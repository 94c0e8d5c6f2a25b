package bulk_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/carom-dev/carom/cmd/carom/internal/bulk"
	"github.com/carom-dev/carom/engine"
)

func sampleLinks() []engine.Link {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	return []engine.Link{
		{Domain: 1, Code: "plain", Target: "https://a.example/", Active: true, RedirectStatus: 302, CreatedAt: at, UpdatedAt: at, Clicks: 3},
		{
			Domain: 1, Code: "full", Target: "https://b.example/?q=1,2&r=%22", Title: `quoted "x", Ü`, RedirectStatus: 308,
			ValidSince: at, ValidUntil: at.Add(time.Hour), MaxVisits: 12, ForwardQuery: true, CreatedAt: at, UpdatedAt: at,
		},
	}
}

func TestLinksRoundTrip(t *testing.T) {
	for _, format := range []bulk.Format{bulk.CSV, bulk.NDJSON} {
		var file strings.Builder
		w := bulk.NewLinkWriter(&file, format)
		for _, l := range sampleLinks() {
			if err := w.Write(&l); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		r, err := bulk.NewLinkReader(strings.NewReader(file.String()), format, &engine.TargetPolicy{})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range sampleLinks() {
			got, err := r.Next()
			if err != nil || len(got.Problems) > 0 || !got.Link.Same(&want) {
				t.Errorf("%s: read %+v, %v; want %+v", format, got, err, want)
			}
		}
		if _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: Next() = %v, want the end", format, err)
		}
	}
}

func TestWriteClicks(t *testing.T) {
	c := engine.StoredClick{ID: 9, Code: "a", Click: engine.Click{
		At: 1_700_000_000_000_001, Link: 4, Visitor: 0xabc, Address: engine.ParseTruncatedAddr("203.0.113.0"), Status: 302,
		Flags: engine.ClickHead | engine.ClickPrefetch, UserAgent: []byte("ua, \"x\""), Referrer: []byte("https://r.example/"), Language: []byte("de"),
	}}
	for format, want := range map[bulk.Format]string{
		bulk.CSV: "id,link_id,code,at,status,method,prefetch,referrer,user_agent,language,ip,visitor\n" +
			`9,4,a,2023-11-14T22:13:20.000001Z,302,HEAD,true,https://r.example/,"ua, ""x""",de,203.0.113.0,0000000000000abc` + "\n",
		bulk.NDJSON: `{"id":9,"link_id":4,"code":"a","at":"2023-11-14T22:13:20.000001Z","status":302,"method":"HEAD","prefetch":true,"referrer":"https://r.example/","user_agent":"ua, \"x\"","language":"de","ip":"203.0.113.0","visitor":"0000000000000abc"}` + "\n",
	} {
		var file strings.Builder
		w := bulk.NewClickWriter(&file, format)
		if err := w.Write(new(bulk.ClickOf(&c))); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil || file.String() != want {
			t.Errorf("%s: wrote %q, %v; want %q", format, file.String(), err, want)
		}
	}
}

func TestAnEmptyExportHasItsHeader(t *testing.T) {
	var file strings.Builder
	if err := bulk.NewLinkWriter(&file, bulk.CSV).Flush(); err != nil || !strings.HasPrefix(file.String(), "code,url,") {
		t.Errorf("wrote %q, %v; want the header", file.String(), err)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestWriteErrorsComeOut(t *testing.T) {
	for _, format := range []bulk.Format{bulk.CSV, bulk.NDJSON} {
		w := bulk.NewLinkWriter(fullDisk{}, format)
		err := w.Write(&sampleLinks()[0])
		if err = errors.Join(err, w.Flush()); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("%s: error = %v, want %v", format, err, io.ErrShortWrite)
		}
	}
	r := bulk.NewReport(fullDisk{}, func(string) {})
	r.Add(bulk.Problem{Line: 1})
	if err := r.Close(); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("Close() = %v, want %v", err, io.ErrShortWrite)
	}
}

// BenchmarkRead is what a link costs before it goes to a store; the target's canonical form is most of it.
func BenchmarkRead(b *testing.B) {
	for format, line := range map[bulk.Format]string{
		bulk.CSV:    "c0000001,https://example.com/some/path?q=1,A title\n",
		bulk.NDJSON: `{"code":"c0000001","url":"https://example.com/some/path?q=1","title":"A title"}` + "\n",
	} {
		b.Run(string(format), func(b *testing.B) {
			b.ReportAllocs()
			header := map[bulk.Format]string{bulk.CSV: "code,url,title\n"}[format]
			r, err := bulk.NewLinkReader(io.MultiReader(strings.NewReader(header), &endless{line: line}), format, &engine.TargetPolicy{})
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if rec, err := r.Next(); err != nil || len(rec.Problems) > 0 {
					b.Fatalf("Next() = %+v, %v", rec, err)
				}
			}
		})
	}
}

// endless repeats a line.
type endless struct {
	line string
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.line[e.at:])
	e.at = (e.at + n) % len(e.line)
	return n, nil
}
