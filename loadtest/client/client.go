// Package client is one HTTP/1.1 connection that sends each request exactly once: net/http repeats a request by itself when a
// kept-alive connection breaks, and then nobody can say how often a server got it. It is also cheap, so that a load generator
// on the same machine leaves the processors to what is measured.
package client

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// Response is what an answer said. Location is valid until the next Read.
type Response struct {
	Status   int
	Location []byte
	Close    bool // the server closes the connection behind this answer
}

// Conn is a connection. Not safe for concurrent use. After an error it is good for nothing but Close.
type Conn struct {
	conn    net.Conn
	r       *bufio.Reader
	line    []byte // the Location of the answer that was read last
	timeout time.Duration
}

// Dial connects to addr. timeout bounds the connecting and each answer.
func Dial(addr string, timeout time.Duration) (*Conn, error) {
	conn, err := net.DialTimeout("tcp", addr, timeout) //nolint:noctx // bounded by timeout
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return &Conn{conn: conn, r: bufio.NewReaderSize(conn, 16<<10), timeout: timeout}, nil
}

// Do sends one request and reads its answer.
func (c *Conn) Do(request []byte) (Response, error) {
	if err := c.Write(request); err != nil {
		return Response{}, err
	}
	return c.Read()
}

// Write sends bytes: one request, or several of them at once.
func (c *Conn) Write(requests []byte) error {
	if err := c.conn.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return fmt.Errorf("set deadline: %w", err)
	}
	if _, err := c.conn.Write(requests); err != nil {
		return fmt.Errorf("send request: %w", err)
	}
	return nil
}

// Read reads the next answer and skips its body. The request must not have been a HEAD with a length in its answer.
func (c *Conn) Read() (Response, error) {
	var r Response
	line, err := c.readLine()
	if err != nil {
		return r, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) {
		return r, fmt.Errorf("read answer: %.40q is no status line", line)
	}
	if r.Status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return r, fmt.Errorf("read answer: %w", err)
	}
	length := 0
	for {
		line, err := c.readLine()
		if err != nil {
			return r, err
		}
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Location")):
			c.line = append(c.line[:0], value...)
			r.Location = c.line
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return r, fmt.Errorf("read length: %w", err)
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			return r, fmt.Errorf("read answer: transfer encoding %q is not spoken here", value)
		case bytes.EqualFold(name, []byte("Connection")):
			r.Close = bytes.EqualFold(value, []byte("close"))
		}
	}
	if _, err := io.CopyN(io.Discard, c.r, int64(length)); err != nil {
		return r, fmt.Errorf("read body: %w", err)
	}
	return r, nil
}

func (c *Conn) readLine() ([]byte, error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// Close ends the connection.
func (c *Conn) Close() error { return c.conn.Close() }
