package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"

	"github.com/valyala/fasthttp"
)

// bareTarget is where the bare server and the measured link lead: the same number of bytes in both answers.
const bareTarget = "https://www.example.com/some/target/of/usual/length?with=query"

// serveBare is the yardstick: fasthttp with its default options and nothing to decide.
func serveBare(ctx context.Context) error {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	target := []byte(bareTarget)
	server := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		ctx.Response.Header.SetCanonical([]byte("Location"), target)
		ctx.SetStatusCode(fasthttp.StatusFound)
	}}
	slog.New(slog.NewJSONHandler(os.Stderr, nil)).Info("listening", "addr", ln.Addr().String())
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(ln) }()
	select {
	case err := <-stopped:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
		return nil // it holds nothing that must be kept
	}
}
