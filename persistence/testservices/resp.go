package testservices

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// do sends one inline command on a connection of its own and returns the reply: its line, or the text of a bulk string.
// A client library would be too much for the five commands that set the servers up.
func (r *Redis) do(ctx context.Context, command string) (string, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", r.Addr())
	if err != nil {
		return "", fmt.Errorf("dial %s: %w", r.name, err)
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return "", fmt.Errorf("set deadline for %s: %w", r.name, err)
		}
	}
	if _, err := io.WriteString(conn, command+"\r\n"); err != nil {
		return "", fmt.Errorf("send %q to %s: %w", command, r.name, err)
	}
	in := bufio.NewReader(conn)
	line, err := in.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("read answer to %q from %s: %w", command, r.name, err)
	}
	line = strings.TrimSpace(line)
	size, isBulk := strings.CutPrefix(line, "$")
	if !isBulk {
		return line, nil
	}
	n, err := strconv.Atoi(size)
	if err != nil || n < 0 {
		return "", fmt.Errorf("read answer to %q from %s: %q", command, r.name, line)
	}
	bulk := make([]byte, n)
	if _, err := io.ReadFull(in, bulk); err != nil {
		return "", fmt.Errorf("read answer to %q from %s: %w", command, r.name, err)
	}
	return string(bulk), nil
}

// want sends a command that must be answered with reply.
func (r *Redis) want(ctx context.Context, reply, command string) error {
	got, err := r.do(ctx, command)
	if err != nil {
		return err
	}
	if got != reply {
		return fmt.Errorf("send %q to %s: %s", command, r.name, got)
	}
	return nil
}

// await repeats a command until its answer has all of parts.
func (r *Redis) await(ctx context.Context, command string, parts ...string) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		got, err := r.do(ctx, command)
		missing := ""
		for _, p := range parts {
			if !strings.Contains(got, p) {
				missing = p
			}
		}
		if err == nil && missing == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %q in %q of %s: %w", missing, command, r.name, ctx.Err())
		case <-tick.C:
		}
	}
}
