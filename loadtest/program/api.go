package program

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// API asks a Carom's management API. Safe for concurrent use.
type API struct {
	base string
	http *http.Client
}

// Link is what these programs need of a link.
type Link struct {
	ID     json.RawMessage `json:"id"` // as it came, a number or a string
	Code   string          `json:"code"`
	URL    string          `json:"url"`
	Clicks int64           `json:"clicks"`
}

// Path is the link's path in the API.
func (l *Link) Path() string { return "/urls/" + string(bytes.Trim(l.ID, `"`)) }

// Click is what these programs need of a click.
type Click struct {
	ID        int64     `json:"id"`
	Code      string    `json:"code"`
	At        time.Time `json:"at"`
	Status    int       `json:"status"`
	Referrer  string    `json:"referrer"`
	UserAgent string    `json:"user_agent"`
	Language  string    `json:"language"`
}

// Stats are a link's figures.
type Stats struct {
	Clicks int64 `json:"clicks"`
	Visits int64 `json:"visits"`
	Series []struct {
		Start  time.Time `json:"start"`
		Clicks int64     `json:"clicks"`
	} `json:"series"`
	Referrers []struct {
		Host   string `json:"host"` // "": without a referrer
		Clicks int64  `json:"clicks"`
	} `json:"referrers"`
}

// API is the process's API, asked with the admin key.
func (p *Process) API() *API { return p.APIThrough(nil) }

// APIThrough is API by a transport; nil is the usual one.
func (p *Process) APIThrough(transport http.RoundTripper) *API {
	return &API{base: "http://" + p.Addr, http: &http.Client{Timeout: 30 * time.Second, Transport: transport}}
}

// Close drops idle connections.
func (a *API) Close() { a.http.CloseIdleConnections() }

// Shorten makes a link.
func (a *API) Shorten(ctx context.Context, link map[string]any) (l Link, err error) {
	body, err := json.Marshal(link)
	if err != nil {
		return l, fmt.Errorf("write link: %w", err)
	}
	return l, a.call(ctx, http.MethodPost, "/shorten", body, &l)
}

// Edit gives a link other properties.
func (a *API) Edit(ctx context.Context, path string, patch map[string]any) error {
	body, err := json.Marshal(patch)
	if err != nil {
		return fmt.Errorf("write patch: %w", err)
	}
	_, err = a.send(ctx, http.MethodPatch, path, "application/merge-patch+json", body)
	return err
}

// Link reads a link by its path.
func (a *API) Link(ctx context.Context, path string) (l Link, err error) {
	return l, a.call(ctx, http.MethodGet, path, nil, &l)
}

// Links reads all links.
func (a *API) Links(ctx context.Context) ([]Link, error) {
	return pages[Link](ctx, a, "/urls", 1000)
}

// Clicks reads all stored clicks, oldest first.
func (a *API) Clicks(ctx context.Context) ([]Click, error) {
	return pages[Click](ctx, a, "/clicks", 1000)
}

// ClickPage reads up to 1,000 stored clicks behind a cursor ("" for the start), and returns the cursor of the next page, or "".
func (a *API) ClickPage(ctx context.Context, cursor string) ([]Click, string, error) {
	query := url.Values{"limit": {"1000"}}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	p, err := page[Click](ctx, a, "/clicks?"+query.Encode())
	return p.Data, p.next(), err
}

// ShortenMany makes up to 1,000 links at once.
func (a *API) ShortenMany(ctx context.Context, links []map[string]any) error {
	var body bytes.Buffer
	for _, link := range links {
		line, err := json.Marshal(link)
		if err != nil {
			return fmt.Errorf("write link: %w", err)
		}
		body.Write(append(line, '\n'))
	}
	text, err := a.send(ctx, http.MethodPost, "/shorten", "application/x-ndjson", body.Bytes())
	if err != nil {
		return err
	}
	if made := bytes.Count(text, []byte(`"outcome":"created"`)); made != len(links) {
		return fmt.Errorf("%d links of %d were made: %.300s", made, len(links), text)
	}
	return nil
}

// Metric reads one of the server's figures.
func (a *API) Metric(ctx context.Context, name string) (float64, error) {
	all, err := a.Metrics(ctx)
	if err != nil {
		return 0, err
	}
	value, ok := all[name]
	if !ok {
		return 0, fmt.Errorf("read metrics: there is no %s", name)
	}
	return value, nil
}

// Metrics reads all of the server's figures, by their names with the labels.
func (a *API) Metrics(ctx context.Context) (map[string]float64, error) {
	text, err := a.send(ctx, http.MethodGet, "/metrics", "", nil)
	if err != nil {
		return nil, err
	}
	all := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		space := strings.LastIndexByte(line, ' ')
		if space < 0 || line[0] == '#' {
			continue
		}
		if all[line[:space]], err = strconv.ParseFloat(line[space+1:], 64); err != nil {
			return nil, fmt.Errorf("read metrics: %w", err)
		}
	}
	return all, nil
}

// Stats reads a link's figures by hour.
func (a *API) Stats(ctx context.Context, link Link) (s Stats, err error) {
	return s, a.call(ctx, http.MethodGet, link.Path()+"/stats?interval=hour&referrers=10000", nil, &s)
}

// WaitClicks waits until the links have at least want stored clicks together, or timeout has passed, and returns how many.
func (a *API) WaitClicks(ctx context.Context, paths []string, want int64, timeout time.Duration) (int64, error) {
	deadline := time.Now().Add(timeout)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		var sum int64
		for _, path := range paths {
			l, err := a.Link(ctx, path)
			if err != nil {
				return sum, err
			}
			sum += l.Clicks
		}
		if sum >= want || time.Now().After(deadline) {
			return sum, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return sum, context.Cause(ctx)
		}
	}
}

func pages[T any](ctx context.Context, a *API, path string, limit int) ([]T, error) {
	var all []T
	query := url.Values{"limit": {strconv.Itoa(limit)}}
	for {
		p, err := page[T](ctx, a, path+"?"+query.Encode())
		if err != nil {
			return nil, err
		}
		all = append(all, p.Data...)
		if p.next() == "" {
			return all, nil
		}
		query.Set("cursor", p.next())
	}
}

// pageOf is one page of a list.
type pageOf[T any] struct {
	Data       []T     `json:"data"`
	NextCursor *string `json:"next_cursor"`
}

func (p *pageOf[T]) next() string {
	if p.NextCursor == nil {
		return ""
	}
	return *p.NextCursor
}

func page[T any](ctx context.Context, a *API, path string) (p pageOf[T], err error) {
	err = a.call(ctx, http.MethodGet, path, nil, &p)
	return p, err
}

func (a *API) call(ctx context.Context, method, path string, body []byte, into any) error {
	text, err := a.send(ctx, method, path, "application/json", body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("read answer of %s %s: %w", method, path, err)
	}
	return nil
}

// send asks and returns the body of an answer that says yes.
func (a *API) send(ctx context.Context, method, path, kind string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+AdminKey)
	if body != nil {
		req.Header.Set("Content-Type", kind)
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("read answer of %s %s: %w", method, path, err)
	}
	if resp.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s %s: status %d: %s", method, path, resp.StatusCode, text)
	}
	return text, nil
}
