package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
)

// click is a line of the file of real clicks.
type click struct {
	Heartbeat json.RawMessage `json:"_heartbeat_"`
	Code      string          `json:"h"`
	Target    string          `json:"u"`
	Agent     string          `json:"a"`
	Language  string          `json:"al"`
	Referrer  string          `json:"r"`
}

// readClicks reads the file without its heartbeats.
func readClicks(name string) ([]click, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open clicks: %w", err)
	}
	defer f.Close()
	var clicks []click
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c click
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return nil, fmt.Errorf("read clicks: %w", err)
		}
		if c.Heartbeat == nil {
			clicks = append(clicks, c)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read clicks: %w", err)
	}
	if len(clicks) == 0 {
		return nil, errors.New("read clicks: there are none")
	}
	return clicks, nil
}

// byVisits sorts the codes, the most visited first; equal ones stay in their order.
func byVisits(codes []string, visits map[string]int) []string {
	slices.SortStableFunc(codes, func(a, b string) int { return cmp.Compare(visits[b], visits[a]) })
	return codes
}
