// Package client speaks to the management API of a running Carom, as far as the commands need it.
package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

const (
	// answerMax bounds an answer that is read as a whole: a page of 1000 links of 8 KiB is the largest.
	answerMax = 64 << 20
	// tries bounds how often a request is sent again that the server asks to repeat.
	tries = 10
	// waitMax bounds a single wait: a server that asks for more is not going to answer.
	waitMax = 5 * time.Minute
	// headerTimeout bounds the wait for an answer's first byte.
	headerTimeout = time.Minute
)

// Client asks one server. Safe for concurrent use.
type Client struct {
	base *url.URL
	key  string
	http *http.Client
	// wait pauses until the server may be asked again; tests replace it.
	wait func(ctx context.Context, d time.Duration) error
}

// New makes a client for the server at base, such as http://127.0.0.1:8080. key may be empty where none is needed.
func New(base, key string) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("server %q is not accepted; give its URL, such as http://127.0.0.1:8080", base)
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: headerTimeout}
	return &Client{base: u, key: key, wait: wait, http: &http.Client{
		Transport: transport,
		// A redirect would be a link's, or lead the key to another host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Close gives the idle connections up.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Problem is an answer that says what is wrong (RFC 9457).
type Problem struct {
	Status int     `json:"status"`
	Code   string  `json:"code"`
	Title  string  `json:"title"`
	Detail string  `json:"detail"`
	Errors []Field `json:"errors"`
}

// Field says what is wrong with one field.
type Field struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

func (p *Problem) Error() string {
	msg := fmt.Sprintf("the server answered %d", p.Status)
	switch {
	case p.Detail != "":
		msg += ": " + p.Detail
	case p.Title != "":
		msg += ": " + p.Title
	}
	for _, f := range p.Errors {
		msg += "; " + f.Field + " " + f.Detail
	}
	return msg
}

// request is what to ask.
type request struct {
	method, path string
	query        url.Values
	accept       string // "" for JSON
	contentType  string
	body         []byte
}

// do sends a request and returns its answer of 2xx, whose body is the caller's to close. It waits and asks again when the
// server says so (429, or 503 with Retry-After).
func (c *Client) do(ctx context.Context, r request) (*http.Response, error) {
	for try := 1; ; try++ {
		res, err := c.send(ctx, r)
		if err != nil {
			return nil, fmt.Errorf("ask %s: %w", c.base, err)
		}
		if res.StatusCode/100 == 2 {
			return res, nil
		}
		problem := readProblem(res)
		delay, asked := retryAfter(res)
		if !asked || try == tries {
			return nil, fmt.Errorf("%s %s: %w", r.method, r.path, problem)
		}
		if err := c.wait(ctx, delay); err != nil {
			return nil, fmt.Errorf("wait until %s may be asked again: %w", c.base, errors.Join(err, problem))
		}
	}
}

func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	u := c.base.JoinPath(r.path)
	u.RawQuery = r.query.Encode()
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	req.Header.Set("User-Agent", "carom")
	req.Header.Set("Accept", "application/json")
	if r.accept != "" {
		req.Header.Set("Accept", r.accept)
	}
	return c.http.Do(req)
}

// ask sends a request and reads its JSON answer into answer.
func (c *Client) ask(ctx context.Context, r request, answer any) error {
	res, err := c.do(ctx, r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if err := json.UnmarshalRead(io.LimitReader(res.Body, answerMax), answer); err != nil {
		return fmt.Errorf("%s %s: read the answer: %w", r.method, r.path, err)
	}
	return nil
}

// readProblem reads and closes the body of an answer that is not 2xx.
func readProblem(res *http.Response) *Problem {
	defer res.Body.Close()
	p := &Problem{}
	text, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil || !strings.Contains(res.Header.Get("Content-Type"), "json") || json.Unmarshal(text, p) != nil {
		*p = Problem{Title: http.StatusText(res.StatusCode)}
		if res.StatusCode/100 == 3 {
			p.Detail = "it redirects to " + res.Header.Get("Location") + "; give that as --server"
		}
	}
	p.Status = res.StatusCode
	return p
}

// retryAfter is how long the server wants to be left alone, and whether it wants to be asked again at all.
func retryAfter(res *http.Response) (time.Duration, bool) {
	if res.StatusCode != http.StatusTooManyRequests && res.StatusCode != http.StatusServiceUnavailable {
		return 0, false
	}
	seconds, err := strconv.ParseUint(res.Header.Get("Retry-After"), 10, 31)
	delay := time.Duration(seconds) * time.Second
	return delay, err == nil && delay <= waitMax
}

// wait pauses for d, at least a moment, so that "0" is no busy loop.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(max(d, 50*time.Millisecond))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// Ready asks whether the server is ready. It asks once.
func (c *Client) Ready(ctx context.Context) error {
	res, err := c.send(ctx, request{method: http.MethodGet, path: "/health/ready"})
	if err != nil {
		return fmt.Errorf("ask %s: %w", c.base, err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %w", readProblem(res))
	}
	return res.Body.Close()
}
