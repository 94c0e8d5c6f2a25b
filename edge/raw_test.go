package edge

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// rawCase is a line of testdata/raw-http.txt.
type rawCase struct {
	name, statuses string
	open           bool
	raw            string
	reason         string
}

func readRawCases(t testing.TB) (cases []rawCase) {
	t.Helper()
	text, err := os.ReadFile("testdata/raw-http.txt")
	if err != nil {
		t.Fatal(err)
	}
	repeated := regexp.MustCompile(`\{([^*{}]+)\*(\d+)\}`)
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(strings.TrimSpace(line), " | ")
		if len(fields) < 4 {
			t.Fatalf("line %q has %d fields", line, len(fields))
		}
		c := rawCase{name: fields[0], statuses: fields[1], open: fields[2] == "open", reason: strings.Join(fields[4:], "")}
		if c.raw, err = strconv.Unquote(fields[3]); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		c.raw = repeated.ReplaceAllStringFunc(c.raw, func(s string) string {
			m := repeated.FindStringSubmatch(s)
			n, _ := strconv.Atoi(m[2]) // digits
			return strings.Repeat(m[1], n)
		})
		cases = append(cases, c)
	}
	return cases
}

// No bytes at all get a second answer to one request, a version that is unknown is not spoken, and what could be read in two ways
// is refused and ends the connection.
func TestRawHTTP(t *testing.T) {
	f := newFixture(t, nil)
	addr, _ := f.serve(t)
	cases := readRawCases(t)
	accepted := 0
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			conn := dial(t, addr)
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				// A server that has refused may have hung up already.
				_, _ = io.WriteString(conn, c.raw+"GET /perm HTTP/1.1\r\nHost: a\r\n\r\n")
				_ = conn.(*net.TCPConn).CloseWrite()
			}()
			want := strings.Fields(c.statuses)
			if c.open {
				want = append(want, "301")
			}
			got, err := statuses(conn)
			<-sent
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("answers are %v, want %v", got, want)
			}
		})
		if c.reason != "" {
			accepted++
		}
	}
	t.Logf("%d cases, %d of them odd and accepted", len(cases), accepted)
}

// statuses reads answers until the connection ends.
func statuses(conn net.Conn) (got []string, err error) {
	if err := conn.SetDeadline(time.Now().Add(15 * time.Second)); err != nil {
		return nil, err
	}
	r := bufio.NewReader(conn)
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
					return got, err
				}
			}
		}
		if _, err := r.Discard(length); err != nil {
			return got, fmt.Errorf("in the body of %v: %w", got, err)
		}
	}
}
