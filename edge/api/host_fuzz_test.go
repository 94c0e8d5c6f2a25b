package api

import (
	"bufio"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/carom-dev/carom/engine"
)

// FuzzHost puts any Host before the API, which builds short_url and Location from it: whatever is taken is a URL of one host and of
// one line, and nothing fails on our side.
func FuzzHost(f *testing.F) {
	for _, seed := range []string{"sho.rt", "SHO.RT:443", "[::1]:8080", "a@b", "a/b", "", "xn--bcher-kva.example", "a%00b", "a\x7f", "a:b:c", "ä.example", "a?b#c", "example.com"} {
		f.Add(seed)
	}
	api := newFixture(f, nil)
	f.Fuzz(func(t *testing.T, host string) {
		body := `{"url":"https://example.com/"}`
		raw := "POST /shorten HTTP/1.1\r\nHost: " + host + "\r\nAuthorization: Bearer " + api.secrets[engine.ScopeAdmin] + "\r\nContent-Length: " + itoa(len(body)) + "\r\n\r\n" + body
		ctx := &fasthttp.RequestCtx{}
		ctx.Init(&fasthttp.Request{}, net.TCPAddrFromAddrPort(netip.MustParseAddrPort("198.51.100.7:1234")), nil)
		if strings.ContainsAny(host, "\r\n") || ctx.Request.Read(bufio.NewReaderSize(strings.NewReader(raw), 8<<10)) != nil {
			return
		}
		api.Handle(ctx)
		got := answer{ctx.Response.StatusCode(), &ctx.Response.Header, string(ctx.Response.Body())}
		if got.status >= 500 || got.status < 200 {
			t.Fatalf("Host %q = %d %s", host, got.status, got.body)
		}
		if got.status != 201 {
			return
		}
		var link struct {
			ShortURL string `json:"short_url"`
		}
		got.into(t, &link)
		u, err := url.Parse(link.ShortURL)
		if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Count(u.Path, "/") != 1 {
			t.Fatalf("Host %q makes the short URL %q (%v)", host, link.ShortURL, err)
		}
		if strings.ContainsAny(got.get("Location"), "\r\n\x00 ") {
			t.Fatalf("Host %q makes the Location %q", host, got.get("Location"))
		}
	})
}
