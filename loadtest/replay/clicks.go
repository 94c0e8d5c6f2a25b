package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/carom-dev/carom/loadtest/client"
)

// click is a line of the file.
type click struct {
	Heartbeat json.RawMessage `json:"_heartbeat_"`
	Code      string          `json:"h"`
	Target    string          `json:"u"`
	UserAgent string          `json:"a"`
	Language  string          `json:"al"`
	Referrer  string          `json:"r"`
}

// readClicks reads the file's clicks in their order.
func readClicks(in io.Reader) ([]click, error) {
	var clicks []click
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		if len(lines.Bytes()) == 0 {
			continue
		}
		var c click
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return nil, fmt.Errorf("read line %d: %w", n, err)
		}
		if c.Heartbeat != nil {
			continue
		}
		if c.Code == "" || strings.ContainsAny(c.Code, "/ \r\n") {
			return nil, fmt.Errorf("read line %d: %q is no code", n, c.Code)
		}
		clicks = append(clicks, c)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read clicks: %w", err)
	}
	return clicks, nil
}

// request writes the click's request. mark is appended to the User-Agent when it is not empty.
func (c *click) request(host, mark string) ([]byte, error) {
	var headers []client.Header
	agent := c.UserAgent
	if mark != "" {
		agent = strings.TrimSpace(agent + " click/" + mark)
	}
	for _, h := range []client.Header{{Name: "User-Agent", Value: agent}, {Name: "Accept-Language", Value: c.Language}, {Name: "Referer", Value: c.Referrer}} {
		if h.Value != "" && (h.Name != "Referer" || h.Value != "direct") {
			headers = append(headers, h)
		}
	}
	return client.Get(host, "/"+c.Code, headers)
}

// readAnswered reads which clicks are answered already, and the number of the next attempt. No file means none.
func readAnswered(name string) (answered map[int]bool, attempt int, err error) {
	answered, attempt = map[int]bool{}, 1
	if name == "" {
		return answered, attempt, nil
	}
	file, err := os.Open(name)
	if os.IsNotExist(err) {
		return answered, attempt, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("open answered clicks: %w", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), "\t")
		if len(fields) != 3 {
			return nil, 0, fmt.Errorf("read answered clicks: %q is not a number, a code and an attempt", lines.Text())
		}
		n, err := strconv.Atoi(fields[0])
		if err != nil {
			return nil, 0, fmt.Errorf("read answered clicks: %w", err)
		}
		before, err := strconv.Atoi(fields[2])
		if err != nil {
			return nil, 0, fmt.Errorf("read answered clicks: %w", err)
		}
		answered[n] = true
		attempt = max(attempt, before+1)
	}
	if err := lines.Err(); err != nil {
		return nil, 0, fmt.Errorf("read answered clicks: %w", err)
	}
	return answered, attempt, nil
}
