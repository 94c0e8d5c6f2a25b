package client_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/carom-dev/carom/loadtest/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve answers the first connection with answers, each after a request of the given length was read, and then closes.
func serve(t *testing.T, request []byte, answers ...string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		got := make([]byte, len(request))
		for _, answer := range answers {
			if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, request) {
				t.Errorf("server got %q, %v, want %q", got, err, request)
			}
			if _, err := io.WriteString(conn, answer); err != nil {
				t.Error(err)
			}
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return ln.Addr().String()
}

func TestAnswersOnOneConnection(t *testing.T) {
	request, err := client.Get("sho.rt", "/abc", client.Browser())
	if err != nil {
		t.Fatal(err)
	}
	addr := serve(t, request,
		"HTTP/1.1 302 Found\r\nlocation: https://example.com/\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
	c, err := client.Dial(addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, want := range []struct {
		status   int
		location string
		closed   bool
	}{{302, "https://example.com/", false}, {404, "", false}, {503, "", true}} {
		got, err := c.Do(request)
		if err != nil || got.Status != want.status || string(got.Location) != want.location || got.Close != want.closed {
			t.Fatalf("Do = %d, %q, close %v, %v, want %+v", got.Status, got.Location, got.Close, err, want)
		}
	}
	if _, err := c.Do(request); err == nil {
		t.Error("Do on a closed connection succeeded; a request must not be repeated on another one")
	}
}

func TestBrokenAnswers(t *testing.T) {
	request, err := client.Get("sho.rt", "/abc", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string]string{
		"nothing":              "",
		"no status line":       "hello world, this is no HTTP\r\n\r\n",
		"no number":            "HTTP/1.1 abc\r\n\r\n",
		"cut in the headers":   "HTTP/1.1 302 Found\r\nLocation: ht",
		"cut in the body":      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe",
		"a length of no sense": "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
		"chunks":               "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c, err := client.Dial(serve(t, request, answer), 5*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if r, err := c.Do(request); err == nil {
				t.Errorf("Do = %+v, want an error", r)
			}
		})
	}
}

func TestGetRefusesALineEndInAHeader(t *testing.T) {
	if got, err := client.Get("h", "/", []client.Header{{Name: "Referer", Value: "x\r\nX: y"}}); err == nil {
		t.Errorf("Get = %q, want an error", got)
	}
	got, err := client.Get("h", "/a", []client.Header{{Name: "Referer", Value: "x"}})
	if want := "GET /a HTTP/1.1\r\nHost: h\r\nReferer: x\r\n\r\n"; string(got) != want || err != nil {
		t.Errorf("Get = %q, %v, want %q", got, err, want)
	}
	if !strings.Contains(string(mustGet(t)), "User-Agent: Mozilla/") {
		t.Error("a browser sends no User-Agent")
	}
}

func mustGet(t *testing.T) []byte {
	t.Helper()
	b, err := client.Get("h", "/", client.Browser())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDialSaysWhatItTried(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if _, err := client.Dial(ln.Addr().String(), time.Second); err == nil || !strings.HasPrefix(err.Error(), "connect: ") {
		t.Errorf("Dial to nobody: %v, want an error of connecting", err)
	}
}
