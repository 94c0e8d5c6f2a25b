package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"
)

// exchange sends the bytes of a request and returns those of an answer without a body.
func exchange(ctx context.Context, addr, request string) (string, error) {
	conn, err := (&net.Dialer{Timeout: answerTimeout}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", fmt.Errorf("connect: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return "", fmt.Errorf("set deadline: %w", err)
	}
	if _, err := conn.Write([]byte(request)); err != nil {
		return "", fmt.Errorf("send request: %w", err)
	}
	var answer strings.Builder
	for buf := make([]byte, 4096); !strings.Contains(answer.String(), "\r\n\r\n"); {
		n, err := conn.Read(buf)
		if err != nil {
			return "", fmt.Errorf("read answer: %w", err)
		}
		answer.Write(buf[:n])
	}
	return answer.String(), nil
}
