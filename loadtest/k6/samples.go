package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"time"
)

// second is what k6 saw in one second.
type second struct {
	requests  int
	redirects []float64 // milliseconds each took
	faults    int       // answers that were wrong, and requests without one
	vus       float64   // NaN: k6 did not say in this second
	dropped   float64   // iterations that the arrival load could not begin
}

// samples is what k6 wrote to its CSV output, by Unix second.
type samples struct {
	seconds     map[int64]*second
	first, last time.Time // the first and the last answer
}

// readSamples reads k6's CSV with K6_CSV_TIME_FORMAT=unix_milli to its end. It reads what it needs and skips the rest by its
// beginning: k6 writes some eleven lines a request.
func readSamples(in io.Reader) (*samples, error) {
	s := &samples{seconds: map[int64]*second{}}
	lines := bufio.NewReaderSize(in, 1<<20)
	header, err := lines.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("read samples: %w", err)
	}
	columns := bytes.Split(bytes.TrimSpace([]byte(header)), []byte(","))
	name := slices.IndexFunc(columns, func(c []byte) bool { return string(c) == "name" })
	if len(columns) < 3 || string(columns[1]) != "timestamp" || string(columns[2]) != "metric_value" || name < 0 {
		return nil, fmt.Errorf("read samples: the header %q is not understood", header)
	}
	for {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read samples: %w", err)
		}
		if err := s.add(line, name); err != nil {
			return nil, err
		}
	}
}

func (s *samples) add(line []byte, name int) error {
	metric, rest, _ := bytes.Cut(line, []byte(","))
	switch string(metric) {
	case "http_req_duration", "checks", "vus", "dropped_iterations":
	default:
		return nil
	}
	stamp, rest, _ := bytes.Cut(rest, []byte(","))
	text, rest, _ := bytes.Cut(rest, []byte(","))
	ms, err := strconv.ParseInt(string(stamp), 10, 64)
	if err != nil {
		return fmt.Errorf("read samples: %w", err)
	}
	value, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return fmt.Errorf("read samples: %w", err)
	}
	at := s.seconds[ms/1000]
	if at == nil {
		at = &second{vus: math.NaN()}
		s.seconds[ms/1000] = at
	}
	switch string(metric) {
	case "http_req_duration":
		for i := 3; i < name; i++ {
			_, rest, _ = bytes.Cut(rest, []byte(","))
		}
		at.requests++
		if bytes.HasPrefix(rest, []byte("redirect,")) {
			at.redirects = append(at.redirects, value)
		}
		when := time.UnixMilli(ms)
		if s.first.IsZero() || when.Before(s.first) {
			s.first = when
		}
		if when.After(s.last) {
			s.last = when
		}
	case "checks":
		at.faults += 1 - int(value)
	case "vus":
		at.vus = value
	case "dropped_iterations":
		at.dropped += value
	}
	return nil
}
