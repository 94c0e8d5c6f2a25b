package client

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/carom-dev/carom/cmd/carom/internal/bulk"
	"github.com/carom-dev/carom/engine"
)

// The most that one import request carries. The server takes 1 MiB; the rest is room for what a proxy counts beside it.
const (
	importLinksMax = 1000
	importBytesMax = 1<<20 - 4096
)

// pageMax is how many links a page has.
const pageMax = 1000

// EachLink calls visit with every link, oldest first.
func (c *Client) EachLink(ctx context.Context, visit func(*engine.Link) error) error {
	query := url.Values{"sort": {string(engine.SortOldest)}, "limit": {strconv.Itoa(pageMax)}}
	for {
		var page struct {
			Data       []bulk.LinkJSON `json:"data"`
			NextCursor *string         `json:"next_cursor"`
		}
		if err := c.ask(ctx, request{method: http.MethodGet, path: "/urls", query: query}, &page); err != nil {
			return err
		}
		for i := range page.Data {
			l := page.Data[i].Link()
			if err := visit(&l); err != nil {
				return err
			}
		}
		if page.NextCursor == nil || *page.NextCursor == "" {
			return nil
		}
		query.Set("cursor", *page.NextCursor)
	}
}

// ImportResult is what became of one link.
type ImportResult struct {
	Outcome engine.ImportOutcome
	Refused []Field // what the server does not accept about it; then Outcome says nothing
}

// importLine is one line of the server's answer.
type importLine struct {
	Line    int            `json:"line"`
	Outcome string         `json:"outcome"`
	Error   jsontext.Value `json:"error"`
}

// ImportLinks stores as many of links as one request takes, at least one, and returns a result for each of those.
func (c *Client) ImportLinks(ctx context.Context, links []engine.Link, conflict string) ([]ImportResult, error) {
	body, n, err := encodeLinks(links)
	if err != nil {
		return nil, err
	}
	return c.importChunk(ctx, body, n, conflict)
}

// encodeLinks writes as many links as one request takes, at least one.
func encodeLinks(links []engine.Link) (body []byte, n int, err error) {
	var b bytes.Buffer
	for n < len(links) && n < importLinksMax {
		line, err := json.Marshal(bulk.JSONOf(&links[n]))
		if err != nil {
			return nil, 0, fmt.Errorf("encode link %q: %w", links[n].Code, err)
		}
		if n > 0 && b.Len()+len(line)+1 > importBytesMax {
			break
		}
		b.Write(line)
		b.WriteByte('\n')
		n++
	}
	return b.Bytes(), n, nil
}

func (c *Client) importChunk(ctx context.Context, body []byte, n int, conflict string) ([]ImportResult, error) {
	res, err := c.do(ctx, request{
		method: http.MethodPost, path: "/shorten", query: url.Values{"on_conflict": {conflict}},
		contentType: "application/x-ndjson", accept: "application/x-ndjson", body: body,
	})
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	results := make([]ImportResult, 0, n)
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, bulk.RecordMax)
	for lines.Scan() {
		var line importLine
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return nil, fmt.Errorf("read the answer to an import: %w", err)
		}
		result, err := line.result()
		if err != nil {
			return nil, err
		}
		results = append(results, result)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the answer to an import: %w", err)
	}
	if len(results) != n {
		return nil, fmt.Errorf("the server answered %d of %d links of an import; run it again", len(results), n)
	}
	return results, nil
}

func (l *importLine) result() (ImportResult, error) {
	outcome, known := map[string]engine.ImportOutcome{
		"created": engine.ImportCreated, "updated": engine.ImportUpdated, "unchanged": engine.ImportUnchanged,
		"skipped": engine.ImportSkipped, "conflict": engine.ImportConflict,
		// Beside a conflict that was to be an error, which is what counts then.
		"not_stored": engine.ImportSkipped,
	}[l.Outcome]
	if known {
		return ImportResult{Outcome: outcome}, nil
	}
	if len(l.Error) == 0 || l.Error.Kind() == jsontext.KindNull {
		return ImportResult{}, fmt.Errorf("the server answered line %d of an import with the outcome %q, which this version does not know", l.Line, l.Outcome)
	}
	return ImportResult{Refused: refusal(l.Error)}, nil
}

// refusal reads what the server says is wrong with a line: a problem, or a text.
func refusal(text jsontext.Value) []Field {
	var p Problem
	var sentence string
	switch {
	case json.Unmarshal(text, &sentence) == nil:
		return []Field{{Detail: sentence}}
	case json.Unmarshal(text, &p) == nil && len(p.Errors) > 0:
		return p.Errors
	case p.Detail != "":
		return []Field{{Detail: "is refused: " + p.Detail}}
	}
	return []Field{{Detail: "is refused: " + string(text)}}
}
