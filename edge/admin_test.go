package edge

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// adminAPI answers as the API would.
type adminAPI struct{}

func (adminAPI) Handle(ctx *fasthttp.RequestCtx) { ctx.SetStatusCode(fasthttp.StatusTeapot) } // the visitors' way
func (adminAPI) Operate(ctx *fasthttp.RequestCtx) {
	if string(ctx.Path()) == "/health" {
		panic("poison")
	}
	ctx.SetBodyString("api " + string(ctx.Path()))
}
func (adminAPI) Words() []string { return nil }

func TestAdmin(t *testing.T) {
	a := NewAdmin(AdminConfig{API: adminAPI{}, Dumps: map[string]func(io.Writer) error{
		"/debug/flight": func(w io.Writer) error { _, err := io.WriteString(w, "trace"); return err },
		"/debug/broken": func(io.Writer) error { return errors.New("not running") },
	}})
	ln, err := a.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- a.Serve(ln) }()
	for _, tt := range []struct {
		line   string
		status int
		body   string
	}{
		{"GET /metrics", 200, "api /metrics"},
		{"GET /health/ready", 200, "api /health/ready"},
		{"GET /health", 500, "internal"},
		{"GET /urls", 404, "not_found"},
		{"GET /abc", 404, "not_found"},
		{"GET /debug/pprof/", 200, "goroutine"},
		{"GET /debug/pprof/heap?debug=1", 200, "heap profile"},
		{"GET /debug/pprof/cmdline", 404, "not_found"},
		{"GET /debug/pprof", 404, "not_found"},
		{"DELETE /debug/pprof/heap", 404, "not_found"},
		{"GET /debug/flight", 200, "trace"},
		{"GET /debug/broken", 503, "not running"},
	} {
		resp := exchange(t, dial(t, ln.Addr().String()), tt.line+" HTTP/1.1\r\nHost: a\r\n\r\n")
		if resp.StatusCode() != tt.status || !strings.Contains(string(resp.Body()), tt.body) {
			t.Errorf("%s = %d %.100s, want %d with %q", tt.line, resp.StatusCode(), resp.Body(), tt.status, tt.body)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := a.Close(ctx, ln); err != nil {
		t.Errorf("Close = %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve = %v, want nil after Close", err)
	}
	if _, err := a.Listen(t.Context(), "256.0.0.1:x"); err == nil {
		t.Error("Listen on nonsense = nil, want an error")
	}
}
