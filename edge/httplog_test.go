package edge

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
)

func TestMessagesOfTheServerHaveNoWholeAddress(t *testing.T) {
	for text, want := range map[string]string{
		`error when serving connection "192.0.2.1:80"<->"203.0.113.77:51234": bad`: `error when serving connection "192.0.2.0"<->"203.0.113.0": bad`,
		"read tcp [2001:db8:1:2::3]:80->[2001:db8:9:8:7:6:5:4]:1234: i/o":          "read tcp 2001:db8:1::->2001:db8:9::: i/o",
		"from 203.0.113.77: gone":           "from 203.0.113.0: gone",
		"::ffff:203.0.113.77 left":          "203.0.113.0 left",
		"dead beef: cafe 12:30, 1.5 of 10.": "dead beef: cafe 12:30, 1.5 of 10.",
	} {
		if got := withoutAddrs(text); got != want {
			t.Errorf("withoutAddrs(%q) = %q, want %q", text, got, want)
		}
	}
	var out bytes.Buffer
	l := &httpLog{log: slog.New(slog.NewTextHandler(&out, nil))}
	addr := &net.TCPAddr{IP: net.IPv4(203, 0, 113, 77), Port: 51234}
	for range 3 {
		l.Printf("error when serving connection %q<->%q: %s", addr, addr, errors.New("cannot"))
	}
	if text := out.String(); strings.Contains(text, "113.77") || strings.Count(text, "\n") != 1 || !strings.Contains(text, "203.0.113.0") {
		t.Errorf("the log has %q, want one line without a whole address", text)
	}
}
