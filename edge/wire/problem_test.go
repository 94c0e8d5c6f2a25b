package wire

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/carom-dev/carom/engine"
)

func TestStatusOf(t *testing.T) {
	for code, want := range map[engine.ErrorCode]int{
		engine.CodeInvalid: 422, engine.CodeMalformed: 400, engine.CodeUnauthenticated: 401, engine.CodeForbidden: 403, engine.CodeNotFound: 404,
		engine.CodeConflict: 409, engine.CodePrecondition: 412, engine.CodeTooLarge: 413, engine.CodeUnsupportedType: 415,
		engine.CodeRateLimited: 429, engine.CodeUnavailable: 503, engine.CodeInternal: 500, "": 500,
	} {
		if got := StatusOf(code); got != want {
			t.Errorf("StatusOf(%q) = %d, want %d", code, got, want)
		}
	}
}

func TestWriteProblem(t *testing.T) {
	for _, tt := range []struct {
		rule   string
		err    error
		status int
		body   string
	}{
		{
			"an engine error with its fields",
			fmt.Errorf("store: %w", &engine.Error{Code: engine.CodeInvalid, Message: "no good", Fields: []engine.FieldError{{Field: "url", Detail: "is empty"}}, Err: errors.New("secret")}),
			422, `{"title":"Unprocessable Entity","status":422,"code":"invalid","detail":"no good","errors":[{"field":"url","detail":"is empty"}]}`,
		},
		{"a field error", &engine.FieldError{Field: "code", Detail: "is taken"}, 422, `{"title":"Unprocessable Entity","status":422,"code":"invalid","detail":"code is taken","errors":[{"field":"code","detail":"is taken"}]}`},
		{"any other error keeps its text", errors.New("secret"), 500, `{"title":"Internal Server Error","status":500,"code":"internal","detail":"a fault of the service; the request id finds it in the log"}`},
		{"unavailable says when to come back", engine.Errorf(engine.CodeUnavailable, "away"), 503, `{"title":"Service Unavailable","status":503,"code":"unavailable","detail":"away"}`},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			var ctx fasthttp.RequestCtx
			WriteProblem(&ctx, ProblemOf(tt.err))
			if got := ctx.Response.StatusCode(); got != tt.status {
				t.Errorf("status = %d, want %d", got, tt.status)
			}
			if got := string(ctx.Response.Body()); got != tt.body {
				t.Errorf("body = %s, want %s", got, tt.body)
			}
			if got := string(ctx.Response.Header.ContentType()); got != ProblemType {
				t.Errorf("Content-Type = %q, want %q", got, ProblemType)
			}
			if strings.Contains(ctx.Response.String(), "secret") {
				t.Error("the answer tells the cause")
			}
			if got := string(ctx.Response.Header.Peek("Retry-After")); (got == "1") != (tt.status == 503) {
				t.Errorf("Retry-After = %q with status %d", got, tt.status)
			}
		})
	}
}

func TestSeconds(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "1", time.Millisecond: "1", time.Second: "1", 1001 * time.Millisecond: "2", time.Minute: "60"} {
		if got := Seconds(d); got != want {
			t.Errorf("Seconds(%v) = %s, want %s", d, got, want)
		}
	}
}

func TestThrottle(t *testing.T) {
	var th Throttle
	now := time.Unix(1000, 0)
	if ok, n := th.Allow(now); !ok || n != 0 {
		t.Errorf("first Allow = %v, %d, want true, 0", ok, n)
	}
	for range 3 {
		if ok, _ := th.Allow(now.Add(time.Second - 1)); ok {
			t.Error("Allow within the interval = true")
		}
	}
	if ok, n := th.Allow(now.Add(time.Second)); !ok || n != 3 {
		t.Errorf("Allow after the interval = %v, %d, want true, 3", ok, n)
	}
}
