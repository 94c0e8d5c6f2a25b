//go:build failpoint

package stage

import (
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/anthdm/hollywood/actor"
)

// chosenPanics reads CAROM_FAILPOINT_PANIC=n once: of those who get to a place, the first one panics there, and then every n-th. Each kind
// of message has a place before it is handled and one behind; with "n,behind" it is the one behind at which the first message panics, and
// before it that one in the middle between two. Each place is logged when it is known, and each panic.
var chosenPanics = sync.OnceValue(func() *panics {
	text, order, ordered := strings.Cut(os.Getenv("CAROM_FAILPOINT_PANIC"), ",")
	if text == "" {
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || ordered && order != "behind" {
		panic(`CAROM_FAILPOINT_PANIC: "n" or "n,behind" is accepted`)
	}
	return &panics{every: n, behindFirst: ordered, passed: map[string]int{}}
})

type panics struct {
	every       int
	behindFirst bool

	mu     sync.Mutex
	passed map[string]int // guarded by mu: how often, by place
}

// eventEveryMin keeps the monitor's restarts, each of which makes three events, from making more than one other.
const eventEveryMin = 16

// declare logs places that were not known yet.
func (p *panics) declare(s *Stage, places ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, place := range places {
		if _, known := p.passed[place]; !known {
			p.passed[place] = 0
			s.log.Info("failpoint declared", "place", place)
		}
	}
}

// due reports whether whoever is at the place panics.
func (p *panics) due(place string, every int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, known := p.passed[place]
	if !known {
		panic("BUG: nobody has declared the failpoint " + place)
	}
	p.passed[place] = n + 1
	first := 0
	if strings.HasSuffix(place, "/behind") != p.behindFirst {
		first = every / 2
	}
	return n%every == first
}

func (p *panics) at(s *Stage, place string, every int) {
	if p.due(place, every) {
		s.log.Info("failpoint panics", "place", place)
		panic("failpoint " + place)
	}
}

// Failpoint panics here, if that was asked.
func (s *Stage) Failpoint(place string) {
	if p := chosenPanics(); p != nil {
		p.at(s, place, p.every)
	}
}

// DeclareFailpoints names places of Failpoint that are to be reached.
func (s *Stage) DeclareFailpoints(places ...string) {
	if p := chosenPanics(); p != nil {
		p.declare(s, places...)
	}
}

// kinded is a message of one of several kinds. One that is not is of the kind "message".
type kinded interface {
	// FailpointKind is this one's, and FailpointKinds are all.
	FailpointKind() string
	FailpointKinds() []string
}

func kindsOf[M any]() []string {
	var msg M
	if k, ok := any(msg).(kinded); ok {
		return k.FailpointKinds()
	}
	return []string{"message"}
}

// placeOf names a place in the handling of messages; all shards have it together.
func placeOf(actorName, kind, where string) string {
	name, _, _ := strings.Cut(actorName, "-")
	return name + "/" + kind + "/" + where
}

func declareMailbox[M any](s *Stage, name string, settles bool) {
	kinds := kindsOf[M]()
	if settles {
		kinds = append(kinds, "settle")
	}
	for _, kind := range kinds {
		s.DeclareFailpoints(placeOf(name, kind, "before"), placeOf(name, kind, "behind"))
	}
}

func settling(s *Stage, name, where string) { s.Failpoint(placeOf(name, "settle", where)) }

func before[M any](s *Stage, name string, msg M) { handling(s, name, msg, "before") }

func behind[M any](s *Stage, name string, msg M) { handling(s, name, msg, "behind") }

func handling[M any](s *Stage, name string, msg M, where string) {
	kind := "message"
	if k, ok := any(msg).(kinded); ok {
		kind = k.FailpointKind()
	}
	s.Failpoint(placeOf(name, kind, where))
}

// eventKinds are the events of the library that each process has: the first two when actors are spawned, the third when the monitor has
// panicked.
func eventKinds() []string { return []string{"initialized", "started", "restarted"} }

func declareEvents(s *Stage) {
	for _, kind := range eventKinds() {
		s.DeclareFailpoints(placeOf("monitor", kind, "before"), placeOf("monitor", kind, "behind"))
	}
}

// observing panics while the monitor takes an event, if that was asked.
func observing(s *Stage, event any, where string) {
	kind := ""
	switch event.(type) {
	case actor.ActorInitializedEvent:
		kind = "initialized"
	case actor.ActorStartedEvent:
		kind = "started"
	case actor.ActorRestartedEvent:
		kind = "restarted"
	}
	if p := chosenPanics(); p != nil && kind != "" {
		p.at(s, placeOf("monitor", kind, where), max(p.every, eventEveryMin))
	}
}
