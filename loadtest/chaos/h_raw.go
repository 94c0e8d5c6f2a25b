package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// rawRows are the rows of bytes that are hardly HTTP.
func rawRows() []row {
	return []row{{
		id: "H1", fault: "raw HTTP: CL+TE, doubled CL and TE, bare LF, obs-fold, HTTP/0.9, 2.0 and 9.9 request lines, missing and doubled Host, chunk extensions, absolute form, 64 KiB header",
		bar:   "no second response to one request; unknown versions and ambiguous framing refused; each accepted oddity listed with its reason",
		short: true, run: rawHTTP,
	}}
}

// rawCase is one line of the list that the edge's own test reads, too.
type rawCase struct {
	name, raw string
	want      []string // statuses
	odd       bool     // and accepted
}

var repeatedPart = regexp.MustCompile(`\{([^*{}]+)\*(\d+)\}`)

// rawCases reads edge/testdata/raw-http.txt. Each case ends with another, plain request, which only a connection that stays answers.
func (e *env) rawCases() ([]rawCase, error) {
	text, err := os.ReadFile(filepath.Join(e.root, "edge", "testdata", "raw-http.txt"))
	if err != nil {
		return nil, fmt.Errorf("read the list of requests: %w", err)
	}
	var cases []rawCase
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(strings.TrimSpace(line), " | ")
		if len(fields) < 4 {
			return nil, fmt.Errorf("read the list of requests: %q has %d fields", line, len(fields))
		}
		raw, err := strconv.Unquote(fields[3])
		if err != nil {
			return nil, fmt.Errorf("read the list of requests: %q: %w", line, err)
		}
		raw = repeatedPart.ReplaceAllStringFunc(raw, func(s string) string {
			m := repeatedPart.FindStringSubmatch(s)
			n, _ := strconv.Atoi(m[2]) // digits
			return strings.Repeat(m[1], n)
		})
		c := rawCase{name: fields[0], raw: raw + "GET /perm HTTP/1.1\r\nHost: a\r\n\r\n", want: strings.Fields(fields[1]), odd: len(fields) > 4}
		if fields[2] == "open" {
			c.want = append(c.want, "301")
		}
		cases = append(cases, c)
	}
	return cases, nil
}

func rawHTTP(ctx context.Context, e *env) (string, bool, error) {
	cases, err := e.rawCases()
	if err != nil {
		return "", false, err
	}
	i, err := e.startInstance(ctx)
	if err != nil {
		return "", false, err
	}
	for code, status := range map[string]int{"abc": 302, "perm": 301} {
		if _, err := i.api.Shorten(ctx, map[string]any{"code": code, "url": "https://example.com/", "redirect_status": status}); err != nil {
			return "", false, err
		}
	}
	odd, refused := 0, 0
	for _, c := range cases {
		got, err := sendRaw(i.addr, c.raw)
		if err != nil {
			return "", false, fmt.Errorf("%s: %w", c.name, err)
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			return "", false, fmt.Errorf("%s: answers are %v, want %v", c.name, got, c.want)
		}
		switch {
		case c.odd:
			odd++
		case c.want[len(c.want)-1] != "301":
			refused++
		}
	}
	return fmt.Sprintf("%d requests, %d refused, %d odd ones accepted (edge/testdata/raw-http.txt says why), no second answer to any", len(cases), refused, odd), true, i.stop()
}

// sendRaw sends bytes, ends its side of the connection, and returns the statuses of all answers.
func sendRaw(addr, raw string) ([]string, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second) //nolint:noctx // bounded
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return nil, fmt.Errorf("set deadline: %w", err)
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.WriteString(conn, raw) // a server that has refused may have hung up already
		if c, ok := conn.(*net.TCPConn); ok {
			_ = c.CloseWrite() // as above
		}
	}()
	got, err := readStatuses(bufio.NewReader(conn))
	<-sent
	return got, err
}

// readStatuses reads answers until the connection ends.
func readStatuses(r *bufio.Reader) (got []string, err error) {
	for {
		line, err := r.ReadString('\n')
		if errors.Is(err, io.EOF) && line == "" || errors.Is(err, syscall.ECONNRESET) {
			return got, nil
		}
		if err != nil {
			return got, fmt.Errorf("behind %v: %w", got, err)
		}
		if len(line) < 12 || !strings.HasPrefix(line, "HTTP/1.1 ") {
			return got, fmt.Errorf("behind %v: %q is no status line", got, line)
		}
		got = append(got, line[9:12])
		length := 0
		for line != "\r\n" {
			if line, err = r.ReadString('\n'); err != nil {
				return got, fmt.Errorf("in the header of %v: %w", got, err)
			}
			if value, ok := strings.CutPrefix(line, "Content-Length: "); ok {
				if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
					return got, fmt.Errorf("in the header of %v: %w", got, err)
				}
			}
		}
		if _, err := r.Discard(length); err != nil {
			return got, fmt.Errorf("in the body of %v: %w", got, err)
		}
	}
}
