// Package contract holds what a Carom says over HTTP against the OpenAPI document that the same Carom serves.
package contract

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	"github.com/pb33f/libopenapi-validator/content"
	validation "github.com/pb33f/libopenapi-validator/errors"
	"github.com/pb33f/libopenapi-validator/schema_validation"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
)

// undeclared are the headers that an answer may have without a word in the document: those of HTTP and of a proxy, and those that
// the document says every answer has.
var undeclared = []string{
	"content-type", "content-length", "date", "connection", "transfer-encoding", "server",
	"cache-control", "x-content-type-options", "x-frame-options", "referrer-policy", "content-security-policy",
}

// Contract is a document that answers are held against. Safe for concurrent use.
type Contract struct {
	model *v3.Document

	mu      sync.Mutex
	strict  validator.Validator               // for answers: what is not declared is an error. Guarded by mu
	plain   validator.Validator               // for requests. Guarded by mu
	schemas schema_validation.SchemaValidator // guarded by mu
	seen    map[Answer]int                    // guarded by mu
}

// Answer is a kind of answer that the document knows.
type Answer struct {
	Operation string
	Status    string // three digits, or "default"
}

// readTimeout bounds the reading of the document.
const readTimeout = 30 * time.Second

// Read asks the Carom at base, such as "http://127.0.0.1:8080", for its document, and judges the document itself.
func Read(ctx context.Context, base string) (*Contract, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/openapi.json", nil)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("ask for the document: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask for the document: status %d", resp.StatusCode)
	}
	return Parse(text)
}

// Parse takes a document apart; it must be OpenAPI 3.1, and each of its examples must be what its schema says.
func Parse(text []byte) (*Contract, error) {
	doc, err := libopenapi.NewDocument(text)
	if err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	built, err := doc.BuildV3Model()
	if err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	c := &Contract{model: &built.Model, seen: map[Answer]int{}}
	options := []config.Option{config.WithFormatAssertions(), config.WithoutSecurityValidation(), config.WithBodyDecoder(typeLines, content.DecoderFunc(asText))}
	c.schemas = schema_validation.NewSchemaValidator(options...)
	var errs []error
	if c.plain, errs = validator.NewValidator(doc, options...); len(errs) > 0 {
		return nil, fmt.Errorf("use the document: %w", errors.Join(errs...))
	}
	// Which members a body may have is said by its schema alone.
	options = append(options, config.WithStrictMode(), config.WithStrictIgnoredHeaders(undeclared...), config.WithStrictIgnorePaths("$.body.**"))
	if c.strict, errs = validator.NewValidator(doc, options...); len(errs) > 0 {
		return nil, fmt.Errorf("use the document: %w", errors.Join(errs...))
	}
	if ok, wrong := c.plain.ValidateDocument(); !ok {
		return nil, fmt.Errorf("judge the document: %w", tell(wrong))
	}
	return c, c.checkExamples()
}

// typeLines is a body of one JSON value a line, which the validators would take for one value.
const typeLines = "application/x-ndjson"

func asText(in *content.DecodeInput) (any, error) {
	text, err := io.ReadAll(in.Body)
	return string(text), err
}

// tell makes one error of many.
func tell(wrong []*validation.ValidationError) error {
	var errs []error
	for _, w := range wrong {
		text := w.Message + ": " + w.Reason
		for _, s := range w.SchemaValidationErrors {
			text += "; " + s.FieldPath + " " + s.Reason
		}
		errs = append(errs, errors.New(text))
	}
	return errors.Join(errs...)
}

// Answers lists every kind of answer that the document knows.
func (c *Contract) Answers() []Answer {
	var all []Answer
	for _, item := range c.model.Paths.PathItems.FromOldest() {
		for _, op := range item.GetOperations().FromOldest() {
			for status := range op.Responses.Codes.FromOldest() {
				all = append(all, Answer{op.OperationId, status})
			}
		}
	}
	return all
}

// Operation is what a caller needs to make requests to an operation.
type Operation struct {
	ID     string
	Method string
	Path   string // with {id} and {code} in it
	Scope  string // that the key must have; "": no key is needed
	Body   string // the body's first media type; "": it takes none
}

// Operations lists the document's operations.
func (c *Contract) Operations() []Operation {
	var all []Operation
	for path, item := range c.model.Paths.PathItems.FromOldest() {
		for method, op := range item.GetOperations().FromOldest() {
			o := Operation{ID: op.OperationId, Method: strings.ToUpper(method), Path: path}
			for _, alternative := range op.Security {
				for _, scopes := range alternative.Requirements.FromOldest() {
					o.Scope = strings.Join(scopes, " ")
				}
			}
			if op.RequestBody != nil {
				o.Body = op.RequestBody.Content.First().Key()
			}
			all = append(all, o)
		}
	}
	return all
}

// Unseen lists the kinds of answers that were not given yet.
func (c *Contract) Unseen() []Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(c.Answers(), func(a Answer) bool { return c.seen[a] > 0 })
}
