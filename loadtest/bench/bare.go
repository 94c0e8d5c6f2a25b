package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"
)

// serveBare is the yardstick: fasthttp with its default options and nothing to decide. With header lines in answer it sends those and no
// others, so that its answer has as many bytes as that of the server they were taken from. On a second listener it tells of its memory.
func serveBare(ctx context.Context, answer string) (err error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	admin, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := bareServer()
	if answer != "" {
		server = sameServer(answer)
	}
	figures := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		metrics.WriteProcessMetrics(w)
	})}
	defer func() { err = errors.Join(err, figures.Close()) }()
	stopped := make(chan error, 2)
	go func() { stopped <- figures.Serve(admin) }()
	go func() { stopped <- server.Serve(ln) }()
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	log.Info("admin listening", "addr", admin.Addr().String())
	log.Info("listening", "addr", ln.Addr().String())
	select {
	case err := <-stopped:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
		return nil // it holds nothing that must be kept
	}
}

func bareServer() *fasthttp.Server {
	target := []byte(targetOf(hotCode()))
	return &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		ctx.Response.Header.SetCanonical([]byte("Location"), target)
		ctx.SetStatusCode(fasthttp.StatusFound)
	}}
}

// sameServer answers the header lines; the date and the length are the library's as before.
func sameServer(answer string) *fasthttp.Server {
	var names, values [][]byte
	for line := range strings.Lines(answer) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		names, values = append(names, []byte(name)), append(values, []byte(value))
	}
	return &fasthttp.Server{NoDefaultServerHeader: true, NoDefaultContentType: true, Handler: func(ctx *fasthttp.RequestCtx) {
		for i, name := range names {
			ctx.Response.Header.SetCanonical(name, values[i])
		}
		ctx.SetStatusCode(fasthttp.StatusFound)
	}}
}

// headerLines takes from an answer what sameServer has to be told.
func headerLines(answer string) (string, error) {
	head, _, ok := strings.Cut(answer, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	if !ok || !strings.HasPrefix(lines[0], "HTTP/1.1 302 ") {
		return "", errors.New("read carom's answer: it is no redirect")
	}
	var kept []string
	for _, line := range lines[1:] {
		if name, _, _ := strings.Cut(line, ":"); name != "Date" && name != "Content-Length" {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n"), nil
}
