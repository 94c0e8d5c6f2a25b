package wire

import (
	"bufio"
	"bytes"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

func tryParse(ctx *fasthttp.RequestCtx, headers string) bool {
	ctx.Init(&fasthttp.Request{}, net.TCPAddrFromAddrPort(netip.MustParseAddrPort("10.0.0.1:1")), nil)
	return ctx.Request.Read(bufio.NewReader(strings.NewReader("GET / HTTP/1.1\r\nHost: a\r\n"+headers+"\r\n"))) == nil
}

func TestHeader(t *testing.T) {
	ctx := parsed(t, "10.0.0.1:1", "accept:  text/html \r\nX-Two: first\r\nx-two: second\r\nX-Empty:\r\nX-Folded: a\r\n b: c\r\nIf-Match: \"3\"\r\n")
	for name, want := range map[string]string{
		"accept": "text/html", "x-two": "first", "x-empty": "", "if-match": `"3"`, "host": "sho.rt", "x-none": "", "x-folded": "a",
	} {
		if got := Header(ctx, name); got != want {
			t.Errorf("Header(%q) = %q, want %q", name, got, want)
		}
	}
	bare := &fasthttp.RequestCtx{}
	if got := Header(bare, "accept"); got != "" {
		t.Errorf("Header of a request without headers = %q, want none", got)
	}
}

func TestIs(t *testing.T) {
	for _, tt := range []struct {
		name, lower string
		want        bool
	}{{"Referer", "referer", true}, {"REFERER", "referer", true}, {"Referers", "referer", false}, {"rEferez", "referer", false}, {"@", "`", false}} {
		if got := Is([]byte(tt.name), tt.lower); got != tt.want {
			t.Errorf("Is(%q, %q) = %v, want %v", tt.name, tt.lower, got, tt.want)
		}
	}
	if !HasFoldPrefix([]byte("PreFetch;prerender"), "prefetch") || HasFoldPrefix([]byte("pre"), "prefetch") {
		t.Error("HasFoldPrefix does not look at the prefix alone")
	}
}

func TestRequestIDs(t *testing.T) {
	ids, err := NewRequestIDs()
	if err != nil {
		t.Fatal(err)
	}
	ctx := parsed(t, "10.0.0.1:1", "")
	long := strings.Repeat("x", RequestIDMax)
	for _, taken := range []string{"a", "A-Z_0.9", long} {
		if got := string(ids.Append(nil, ctx, []byte(taken))); got != taken {
			t.Errorf("Append(%q) = %q, want it taken", taken, got)
		}
	}
	for _, refused := range []string{"", long + "x", "a b", "a\tb", "a/b", `a"b`, "\u00e4", "[x]"} {
		got := ids.Append(nil, ctx, []byte(refused))
		if string(got) == refused || !ValidRequestID(got) || !bytes.HasPrefix(got, []byte(ids.prefix)) {
			t.Errorf("Append(%q) = %q, want one of our own", refused, got)
		}
	}
}

func TestAppendNumber(t *testing.T) {
	for _, n := range []uint64{0, 1, 31, 32, 33, 1023, 1024, 1 << 40, 1<<64 - 1} {
		if got, err := strconv.ParseUint(string(appendNumber(nil, n)), 32, 64); err != nil || got != n {
			t.Errorf("appendNumber(%d) reads back as %d, %v", n, got, err)
		}
	}
}
