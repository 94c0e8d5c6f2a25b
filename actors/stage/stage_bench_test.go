package stage

import (
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anthdm/hollywood/actor"

	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/engine/table"
)

type question struct {
	code   []byte
	answer []byte
	ready  chan struct{}
}

type answerer struct{ look func([]byte) []byte }

func (a answerer) Receive(q *question) {
	q.answer = a.look(q.code)
	q.ready <- struct{}{}
}

func (answerer) Failed(*question) {}

// BenchmarkWaysToAShard compares the three ways in which a visitor could be answered from a shard's state: reading what the actor
// has published, a message with a pooled reply, and the library's Request. docs/DECISIONS.md draws the conclusion.
func BenchmarkWaysToAShard(b *testing.B) {
	const code = "launch"
	key := engine.Key{Domain: engine.DefaultDomain, Code: code}
	tb := table.New(table.Config{})
	tb.Put(key, &engine.Link{ID: 1, Domain: engine.DefaultDomain, Code: code, Target: "https://example.com/", Active: true, RedirectStatus: 302, Version: 1}, 0, 0)
	look := func(c []byte) []byte {
		e, _, _ := tb.Lookup(engine.HashKey(engine.DefaultDomain, c), engine.DefaultDomain, c, 0)
		return e.Target()
	}
	s, err := New(Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := s.Stop(b.Context()); err != nil {
			b.Error(err)
		}
	}()
	asked := []byte(code)

	b.Run("published-read", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if look(asked) == nil {
					b.Error("not found")
				}
			}
		})
	})
	mailbox := Spawn(s, "answerer", 1<<16, answerer{look})
	b.Run("mailbox-pooled-reply", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			q := &question{code: asked, ready: make(chan struct{}, 1)}
			for pb.Next() {
				if !mailbox.TrySend(q) {
					b.Error("refused")
					return
				}
				<-q.ready
			}
		})
	})
	pid := s.sys.SpawnFunc(func(c *actor.Context) {
		if m, ok := c.Message().([]byte); ok {
			c.Respond(look(m))
		}
	}, "requested", options("requested")...)
	b.Run("engine-request", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(32)
		var failed atomic.Int64 // the library draws the names of its requests, and some are drawn twice
		defer func() { b.ReportMetric(float64(failed.Load())/float64(b.N), "failed/op") }()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := s.sys.Request(pid, asked, time.Second).Result(); err != nil {
					failed.Add(1)
				}
			}
		})
	})
	<-s.sys.Poison(pid).Done()
}
