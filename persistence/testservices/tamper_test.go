package testservices

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"
)

func TestTamperedMessages(t *testing.T) {
	t.Parallel()
	r, err := StartRedis()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	p, err := StartProxy(r.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	const messages = 200
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	in, numbers := bufio.NewReader(conn), regexp.MustCompile(`^message-(\d+)\r\n$`)
	// heard is what comes until the answer to a command, which is not a message.
	heard := func(command, answer string) (all []int) {
		t.Helper()
		if _, err := io.WriteString(conn, command+"\r\n"); err != nil {
			t.Fatal(err)
		}
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if line == answer+"\r\n" {
				return all
			}
			if found := numbers.FindStringSubmatch(line); found != nil {
				n, _ := strconv.Atoi(found[1]) // digits alone
				all = append(all, n)
			}
		}
	}
	publish := func() {
		t.Helper()
		for n := range messages {
			if err := r.want(t.Context(), ":1", fmt.Sprintf("PUBLISH c message-%d", n)); err != nil {
				t.Fatal(err)
			}
		}
	}
	heard("SUBSCRIBE c", ":1")
	if err := p.Tamper(1); err != nil {
		t.Fatal(err)
	}
	publish()
	got := heard("PING", "pong")
	unique := slices.Compact(slices.Sorted(slices.Values(got)))
	later := 0
	for k := range got[1:] {
		if got[k+1] < got[k] {
			later++
		}
	}
	t.Logf("%d messages: %d heard, %d of them different, %d later than one behind them", messages, len(got), len(unique), later)
	if len(unique) == messages || len(unique) == len(got) || later == 0 || len(unique) < messages/2 {
		t.Error("want some dropped, some doubled, some reordered, and half of them there")
	}

	p.Heal(t.Context())
	heard("PING", "pong") // with what was held back
	publish()
	if got := heard("PING", "pong"); len(got) != messages || !slices.IsSorted(got) {
		t.Errorf("%d messages without the fault, want all %d in order", len(got), messages)
	}
}
