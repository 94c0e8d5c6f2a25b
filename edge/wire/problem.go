package wire

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/valyala/fasthttp"

	"github.com/carom-dev/carom/engine"
)

// ProblemType is the media type of errors (RFC 9457).
const ProblemType = "application/problem+json"

// Problem is an error as a client reads it. Its type is always "about:blank", so it is left out, as RFC 9457 allows; Code is
// what a program should switch on.
type Problem struct {
	Title     string           `json:"title"`
	Status    int              `json:"status"`
	Code      engine.ErrorCode `json:"code"`
	Detail    string           `json:"detail"`
	RequestID string           `json:"request_id,omitzero"`
	Errors    []ProblemField   `json:"errors,omitempty"`
}

// ProblemField says what is wrong with one field and what is accepted.
type ProblemField struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

// StatusOf is the one table from error codes to statuses.
func StatusOf(code engine.ErrorCode) int {
	switch code {
	case engine.CodeInvalid:
		return http.StatusUnprocessableEntity
	case engine.CodeMalformed:
		return http.StatusBadRequest
	case engine.CodeUnauthenticated:
		return http.StatusUnauthorized
	case engine.CodeForbidden:
		return http.StatusForbidden
	case engine.CodeNotFound:
		return http.StatusNotFound
	case engine.CodeConflict:
		return http.StatusConflict
	case engine.CodePrecondition:
		return http.StatusPreconditionFailed
	case engine.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case engine.CodeUnsupportedType:
		return http.StatusUnsupportedMediaType
	case engine.CodeRateLimited:
		return http.StatusTooManyRequests
	case engine.CodeUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// ProblemOf turns err into what a client may read: an engine error's own message and fields, and nothing but its kind for
// any other error, whose text belongs into the log.
func ProblemOf(err error) Problem {
	code := engine.ErrorCodeOf(err)
	status := StatusOf(code)
	p := Problem{Title: http.StatusText(status), Status: status, Code: code}
	if e, ok := errors.AsType[*engine.Error](err); ok {
		p.Detail = e.Message
		for _, f := range e.Fields {
			p.Errors = append(p.Errors, ProblemField{Field: f.Field, Detail: f.Detail})
		}
	} else if fe, ok := errors.AsType[*engine.FieldError](err); ok {
		p.Detail = fe.Error()
		p.Errors = []ProblemField{{Field: fe.Field, Detail: fe.Detail}}
	} else {
		p.Detail = "a fault of the service; the request id finds it in the log"
	}
	return p
}

// WriteProblem answers with p. Headers that are set already stay.
func WriteProblem(ctx *fasthttp.RequestCtx, p Problem) {
	body, err := json.Marshal(p)
	if err != nil {
		panic("BUG: a problem can't be marshalled: " + err.Error()) // strings and integers only
	}
	ctx.Response.ResetBody()
	ctx.Response.SetStatusCode(p.Status)
	ctx.Response.Header.SetContentType(ProblemType)
	ctx.Response.Header.Set("Cache-Control", "no-store")
	if p.Status == http.StatusServiceUnavailable && len(ctx.Response.Header.Peek("Retry-After")) == 0 {
		ctx.Response.Header.Set("Retry-After", "1")
	}
	SetSecurityHeaders(&ctx.Response.Header)
	ctx.Response.SetBody(body)
}

// Seconds is d in whole seconds, rounded up and at least 1: what Retry-After and its kin carry.
func Seconds(d time.Duration) string {
	return strconv.Itoa(max(int(math.Ceil(d.Seconds())), 1))
}
