package storetest

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

// benchLinks is how many links the benchmarks read and click.
const benchLinks = 10_000

// Bench measures what the redirect path and the writer ask of a store. open returns an empty one; it is filled before the
// clock starts. "rows/s" counts clicks or links.
func Bench(b *testing.B, open func(b *testing.B) engine.Store) {
	for _, n := range []int{1000, 5000} {
		b.Run(fmt.Sprintf("WriteClicks/%d", n), func(b *testing.B) { benchWriteClicks(b, open(b), n) })
	}
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprintf("LoadLinks/%d", n), func(b *testing.B) { benchLoadLinks(b, open(b), n) })
	}
	for _, n := range []int{1000, 5000} {
		b.Run(fmt.Sprintf("ImportLinks/%d", n), func(b *testing.B) { benchImportLinks(b, open(b), n, false) })
		b.Run(fmt.Sprintf("ImportLinksAgain/%d", n), func(b *testing.B) { benchImportLinks(b, open(b), n, true) })
	}
	b.Run("CreateLink", func(b *testing.B) {
		s := open(b)
		i := 0
		for b.Loop() {
			_, _, err := s.CreateLink(b.Context(), link(fmt.Sprint("c", i)), author(0), nil)
			must(b, err)
			i++
		}
	})
}

// fillLinks stores links with random codes, as generated ones are, and returns them with their ids.
func fillLinks(b *testing.B, s engine.Store, n int) []engine.Link {
	b.Helper()
	links := randomLinks(n)
	results, err := s.ImportLinks(b.Context(), links, engine.ConflictError, author(0))
	must(b, err)
	for i := range links {
		links[i].ID = results[i].ID
	}
	return links
}

func randomLinks(n int) []engine.Link {
	links := make([]engine.Link, n)
	for i := range links {
		code, err := engine.NewCode(nil)
		if err != nil {
			panic("BUG: no randomness: " + err.Error())
		}
		links[i] = link(code)
		links[i].Target = "https://www.example.com/articles/2026/03/" + code + "?utm_source=newsletter&utm_medium=email"
	}
	return links
}

func benchWriteClicks(b *testing.B, s engine.Store, n int) {
	links := fillLinks(b, s, benchLinks)
	// Zipf over links, a few referrers and user agents, one hour a batch: what a busy redirector sees.
	random := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(random, 1.1, 10, benchLinks-1)
	clicks := make([]engine.Click, n)
	batches, from := 0, engine.Position(0)
	var spent time.Duration // without the making of clicks
	for b.Loop() {
		for i := range clicks {
			c := click(links[zipf.Uint64()].ID, batches*60+i%60)
			c.Visitor = random.Uint64()
			c.UserAgent = fmt.Appendf(nil, "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36", 100+i%30)
			c.Referrer = fmt.Appendf(nil, "https://site%d.example/page", random.IntN(20))
			clicks[i] = c
		}
		to := from + engine.Position(n)
		start := time.Now()
		must(b, s.WriteClicks(b.Context(), batch(nodeA, 0, from, to, clicks...)))
		spent += time.Since(start)
		from = to
		batches++
	}
	b.ReportMetric(float64(n*batches)/spent.Seconds(), "rows/s")
}

func benchLoadLinks(b *testing.B, s engine.Store, n int) {
	links := fillLinks(b, s, benchLinks)
	keys := make([]engine.Key, n)
	i := 0
	for b.Loop() {
		for k := range keys {
			keys[k] = links[i*7919%len(links)].Key()
			i++
		}
		got, err := s.LoadLinks(b.Context(), keys)
		must(b, err)
		if len(got) != n {
			b.Fatalf("LoadLinks returned %d links, want %d", len(got), n)
		}
	}
	rate(b, n)
}

// benchImportLinks imports new links each time, or the same ones again.
func benchImportLinks(b *testing.B, s engine.Store, n int, again bool) {
	links := fillLinks(b, s, n)
	var spent time.Duration
	batches := 0
	for b.Loop() {
		if !again {
			links = randomLinks(n) // not counted in links/s
		}
		start := time.Now()
		_, err := s.ImportLinks(b.Context(), links, engine.ConflictSkip, author(0))
		must(b, err)
		spent += time.Since(start)
		batches++
	}
	b.ReportMetric(float64(n*batches)/spent.Seconds(), "rows/s")
}

func rate(b *testing.B, n int) {
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
