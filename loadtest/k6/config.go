package main

import (
	"fmt"
	"slices"
	"strings"
)

// config says what is measured. The flags document the fields.
type config struct {
	Carom, K6, Deploy, Clicks, Topologies, Scenarios, Note, Out string
	Links, Seconds, Rate                                        int
	Minute                                                      bool
}

func (c *config) validate() error {
	for _, s := range []struct {
		name  string
		value int
		least int
	}{{"-links", c.Links, 1000}, {"-seconds", c.Seconds, 1}, {"-rate", c.Rate, 1}} {
		if s.value < s.least {
			return fmt.Errorf("%s: %d is less than %d", s.name, s.value, s.least)
		}
	}
	for _, name := range strings.Split(c.Topologies, ",") {
		if !slices.Contains([]string{topologySingle, topologyCluster}, name) {
			return fmt.Errorf("-topology: %q is unknown; %s and %s are accepted", name, topologySingle, topologyCluster)
		}
	}
	for _, name := range strings.Split(c.Scenarios, ",") {
		if _, ok := findLoad(name); !ok {
			return fmt.Errorf("-scenario: %q is unknown", name)
		}
	}
	return nil
}

// load is one of the script's scenarios, in words, with its bar.
type load struct {
	name, words string
	p99         int // milliseconds that 99 of 100 redirects stay within, measured by a k6 on the same two cores; 0: no bar
}

// loads are the scenarios of script.js. Their order is the order of a run: the soak comes last, as it is the longest.
func loads() []load {
	return []load{
		{"stages", "50, 200, then 500 visitors, each with a pause of 250 ms on average behind each request", 100},
		{"stress", "500 visitors without any pause: as much as this machine gives, so that latency is waiting for its own load", 0},
		{"spike", "from nothing to 500 visitors in 5 s", 250},
		{"arrival", "visitors come at a fixed rate, whether those before them have been answered or not", 100},
		{"soak", "200 visitors with pauses, for ten times as long", 100},
	}
}

func findLoad(name string) (load, bool) {
	for _, l := range loads() {
		if l.name == name {
			return l, true
		}
	}
	return load{}, false
}

// bar is the load's bar for the p99 of redirects, in milliseconds; the one-minute form has none, as it must pass on any machine.
func (c *config) bar(l load) int {
	if c.Minute {
		return 0
	}
	return l.p99
}

// barDrain is how many seconds behind the last answer all clicks have to be stored; 0: no bar.
func (c *config) barDrain() float64 {
	if c.Minute {
		return 0
	}
	return 5
}

// environ are more settings of the instances. A link that is not in memory is waited for as long as it takes in the one-minute form: on
// a machine that is too slow by far, Carom's 503 would be right, and say nothing of Carom.
func (c *config) environ() []string {
	if c.Minute {
		return []string{"CAROM_LOOKUP_TIMEOUT=8s"}
	}
	return nil
}

// command is the line that runs this again.
func (c *config) command() string {
	if c.Minute {
		return "make loadtest-minute"
	}
	return fmt.Sprintf("make loadtest LOADTEST='-topology %s -scenario %s -links %d -seconds %d -rate %d'", c.Topologies, c.Scenarios, c.Links, c.Seconds, c.Rate)
}

// notes are the conditions that a reader of the figures has to know.
func (c *config) notes() []string {
	notes := []string{
		fmt.Sprintf("Of 100 requests 90 are redirects, 5 ask for unknown codes, 3 read the API and 2 write to it; each write is followed by a visit to what was written, which counts among the 90. "+
			"Redirects go to %d imported links by Zipf's law with exponent 1, with the user agents, languages and referrers of real clicks. Every answer's status and Location are checked.", c.Links),
		"k6 and everything it loads share this machine's processors, so latency contains k6's own waiting. Only the stress has no pauses between a visitor's requests.",
		"Limits by client are off, as all load comes from one address. nginx gives each request to one instance and does not repeat it on another.",
		"k6 lets every request that was begun come to its answer, so each answered redirect is counted, and must be a stored click: no more, no less, in each of the groups of links by rank 1, 2-3, 4-7 and so on.",
	}
	if c.Note != "" {
		notes = append(notes, c.Note)
	}
	return notes
}
