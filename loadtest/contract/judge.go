package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
)

// Transport hands requests on to next, and holds each of them and its answer against the document. What does not agree is told to
// report; the answer goes to the client as it is.
func (c *Contract) Transport(next http.RoundTripper, report func(error)) http.RoundTripper {
	return &transport{contract: c, next: next, report: report}
}

type transport struct {
	contract *Contract
	next     http.RoundTripper
	report   func(error)
}

// RoundTrip implements http.RoundTripper. It reads the whole answer.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	var asked []byte
	if req.Body != nil {
		var err error
		if asked, err = io.ReadAll(req.Body); err != nil {
			return nil, fmt.Errorf("read request: %w", err)
		}
		req.Body.Close()
		req = req.Clone(req.Context())
		req.Body = io.NopCloser(bytes.NewReader(asked))
	}
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	answered, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if err := t.contract.Judge(req, asked, resp, answered); err != nil {
		t.report(fmt.Errorf("%s %s, status %d: %w", req.Method, req.URL.RequestURI(), resp.StatusCode, err))
	}
	resp.Body = io.NopCloser(bytes.NewReader(answered))
	return resp, nil
}

// CloseIdleConnections is what http.Client asks for.
func (t *transport) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// Judge says where an exchange is not as the document says. A request that the document does not allow must not have been done;
// one that it allows may be refused, as not every rule can be told there.
func (c *Contract) Judge(req *http.Request, asked []byte, resp *http.Response, answered []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	op := c.find(req.Method, req.URL.EscapedPath())
	if op == nil {
		if resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusMethodNotAllowed || req.Method == http.MethodHead {
			return nil
		}
		return errors.New("the document has no such operation")
	}
	status := strconv.Itoa(resp.StatusCode)
	described := op.Responses.Codes.GetOrZero(status)
	if described == nil {
		status, described = "default", op.Responses.Default
	}
	c.seen[Answer{op.OperationId, status}]++

	var errs []error
	req = req.Clone(req.Context())
	if resp.StatusCode < http.StatusBadRequest {
		req.Body = io.NopCloser(bytes.NewReader(asked))
		if ok, wrong := c.plain.ValidateHttpRequestSync(req); !ok {
			errs = append(errs, fmt.Errorf("it was done, though the document forbids the request: %w", tell(wrong)))
		}
		if op.RequestBody != nil {
			errs = append(errs, c.judgeLines(op.RequestBody.Content.GetOrZero(mediaType(req.Header)), asked))
		}
	}
	req.Body = io.NopCloser(bytes.NewReader(asked))
	copied := *resp
	copied.Body = io.NopCloser(bytes.NewReader(answered))
	if ok, wrong := c.strict.ValidateHttpResponse(req, &copied); !ok {
		errs = append(errs, fmt.Errorf("the answer is not as the document says: %w", tell(wrong)))
	}
	if described != nil && described.Content != nil {
		errs = append(errs, c.judgeLines(described.Content.GetOrZero(mediaType(resp.Header)), answered))
	}
	return errors.Join(errs...)
}

// find is the operation of a path; a path without variables goes before one with.
func (c *Contract) find(method, path string) *v3.Operation {
	var found *v3.Operation
	for template, item := range c.model.Paths.PathItems.FromOldest() {
		if !matches(template, path) || found != nil && strings.Contains(template, "{") {
			continue
		}
		if op := item.GetOperations().GetOrZero(strings.ToLower(method)); op != nil {
			found = op
		}
	}
	return found
}

func matches(template, path string) bool {
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		if want[i] != got[i] && (!strings.HasPrefix(want[i], "{") || got[i] == "") {
			return false
		}
	}
	return true
}

func mediaType(h http.Header) string {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return t
}

// lineSchema is the member of a media type that names the schema of each of its lines.
const lineSchema = "x-line-schema"

// judgeLines holds each line of an NDJSON body against its schema; other bodies have none.
func (c *Contract) judgeLines(media *v3.MediaType, body []byte) error {
	if media == nil || media.Extensions.GetOrZero(lineSchema) == nil {
		return nil
	}
	var named struct {
		Ref string `yaml:"$ref"`
	}
	if err := media.Extensions.GetOrZero(lineSchema).Decode(&named); err != nil {
		return fmt.Errorf("read %s: %w", lineSchema, err)
	}
	schema := c.model.Components.Schemas.GetOrZero(strings.TrimPrefix(named.Ref, "#/components/schemas/"))
	if schema == nil {
		return fmt.Errorf("%s: there is no %s", lineSchema, named.Ref)
	}
	var errs []error
	for line := range bytes.Lines(body) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if ok, wrong := c.schemas.ValidateSchemaBytes(schema.Schema(), line); !ok {
			errs = append(errs, fmt.Errorf("the line %.200s: %w", line, tell(wrong)))
		}
	}
	return errors.Join(errs...)
}

// checkExamples holds every example against its schema.
func (c *Contract) checkExamples() error {
	var errs []error
	check := func(where string, media *v3.MediaType) {
		for name, example := range media.Examples.FromOldest() {
			var value any
			if err := example.Value.Decode(&value); err != nil {
				errs = append(errs, fmt.Errorf("%s, example %s: %w", where, name, err))
				continue
			}
			text, err := json.Marshal(value)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s, example %s: %w", where, name, err))
				continue
			}
			if ok, wrong := c.schemas.ValidateSchemaBytes(media.Schema.Schema(), text); !ok {
				errs = append(errs, fmt.Errorf("%s, example %s: %w", where, name, tell(wrong)))
			}
			if lines, ok := value.(string); ok {
				if err := c.judgeLines(media, []byte(lines)); err != nil {
					errs = append(errs, fmt.Errorf("%s, example %s: %w", where, name, err))
				}
			}
		}
	}
	for _, item := range c.model.Paths.PathItems.FromOldest() {
		for _, op := range item.GetOperations().FromOldest() {
			if op.RequestBody != nil {
				for _, media := range op.RequestBody.Content.FromOldest() {
					check("the body of "+op.OperationId, media)
				}
			}
			for status, response := range op.Responses.Codes.FromOldest() {
				for _, media := range response.Content.FromOldest() {
					check(op.OperationId+" "+status, media)
				}
			}
		}
	}
	return errors.Join(errs...)
}
