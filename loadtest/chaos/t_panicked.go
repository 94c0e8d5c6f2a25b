package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// panicked is what instances said of the places at which they can panic. Safe for concurrent use.
type panicked struct {
	mu      sync.Mutex
	at      map[string]int // how often they did, by place
	strange string         // a panic that nobody asked for
}

// heed reads a line of a log. place is where there was a panic now; asked says that the line is about one that was asked for.
func (p *panicked) heed(line []byte) (place string, asked bool) {
	var entry struct{ Msg, Place, Panic string }
	if json.Unmarshal(line, &entry) != nil { // the actor library's
		return "", bytes.Contains(line, []byte(`reason="failpoint `))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case entry.Msg == "failpoint declared":
		p.at[entry.Place] += 0
		return "", true
	case entry.Msg == "failpoint panics":
		p.at[entry.Place]++
		return entry.Place, true
	case strings.Contains(entry.Panic, "failpoint "):
		return "", true
	case entry.Panic != "":
		p.strange = string(line)
	}
	return "", false
}

// told is at how many places there were panics, how many, and the places without.
func (p *panicked) told() (places, times int, without []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for place, n := range p.at {
		if times += n; n == 0 {
			without = append(without, place)
		}
	}
	slices.Sort(without)
	return len(p.at) - len(without), times, without
}

// lack reports whether there was no panic yet at one of the places.
func (p *panicked) lack(places []string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(places, func(place string) bool { return p.at[place] == 0 })
}

// judge tells of panics that are the engine's own.
func (p *panicked) judge() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.strange != "" {
		return fmt.Errorf("a panic that nobody asked for: %s", p.strange)
	}
	return nil
}
