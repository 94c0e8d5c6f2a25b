package engine_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/carom-dev/carom/engine"
)

// policy knows three own hosts: one for every port, one with a port of its own, one with its scheme's default port.
func policy() engine.TargetPolicy {
	return engine.TargetPolicy{OwnHosts: []string{"carom.example", "go.example:8443", "tls.example:443"}}
}

func TestCanonicalForm(t *testing.T) {
	long := "https://example.com/" + strings.Repeat("a", engine.TargetMaxLen-len("https://example.com/"))
	for _, tt := range []struct{ name, raw, want string }{
		{"plain", "https://example.com/a?b=c#d", "https://example.com/a?b=c#d"},
		{"path is added", "http://example.com", "http://example.com/"},
		{"scheme and host in lower case, default port dropped", "HTTP://EXAMPLE.com:80/A", "http://example.com/A"},
		{"another port stays", "https://example.com:8443/", "https://example.com:8443/"},
		{"dot segments", "http://example.com/a/../b/./c", "http://example.com/b/c"},
		{"percent-encoding is left as it is", "http://example.com/%7e%2F%zz%", "http://example.com/%7e%2F%zz%"},
		{"doubled slashes are left as they are", "http://example.com//a//b", "http://example.com//a//b"},
		{"IDN becomes ASCII, the rest is percent-encoded", "http://bücher.example/ä?ö#ü", "http://xn--bcher-kva.example/%C3%A4?%C3%B6#%C3%BC"},
		{"punycode stays", "https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"},
		{"full-width host", "http://ａ.example", "http://a.example/"},
		{"soft hyphen in a host", "http://ex\u00adample.com", "http://example.com/"},
		{"quotes and angles", `http://example.com/?'"<>`, "http://example.com/?%27%22%3C%3E"},
		{"encoded CR LF stays encoded", "http://example.com/a%0d%0aSet-Cookie:x", "http://example.com/a%0d%0aSet-Cookie:x"},
		{"no-break space and line separator", "http://example.com/\u00a0\u2028", "http://example.com/%C2%A0%E2%80%A8"},
		{"backslashes as a browser reads them", `http:\\example.com\a`, "http://example.com/a"},
		{"missing slashes as a browser reads them", "http:example.com", "http://example.com/"},
		{"empty user name", "http://@example.com", "http://example.com/"},
		{"public IPv4", "http://8.8.8.8", "http://8.8.8.8/"},
		{"public IPv6", "http://[2001:4860:4860:0::8888]/", "http://[2001:4860:4860::8888]/"},
		{"a name that only begins like a local one", "http://localhost.example/", "http://localhost.example/"},
		{"a name that only ends like an own one", "http://notcarom.example/", "http://notcarom.example/"},
		{"an own host's other port, when its port is named", "http://go.example/", "http://go.example/"},
		{"8 KiB", long, long},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := policy().Canonical(tt.raw)
			if err != nil || got != tt.want {
				t.Errorf("Canonical(%q) = %q, %v, want %q", tt.raw, got, err, tt.want)
			}
			if again, err := policy().Canonical(got); again != got || err != nil {
				t.Errorf("Canonical(%q) = %q, %v, want it unchanged", got, again, err)
			}
		})
	}
}

func TestCanonicalRefuses(t *testing.T) {
	for _, tt := range []struct{ name, raw, want string }{
		{"empty", "", "is empty"},
		{"javascript", "javascript:alert(1)", `scheme "javascript"`},
		{"javascript in another case", "JavaScript:alert(1)", `scheme "javascript"`},
		{"data", "data:text/html,x", `scheme "data"`},
		{"ftp", "ftp://example.com/", `scheme "ftp"`},
		{"file", "file:///etc/passwd", `scheme "file"`},
		{"blob", "blob:https://example.com/1", `scheme "blob"`},
		{"a scheme that is long", strings.Repeat("x", 1000) + ":y", "scheme"},
		{"no scheme", "example.com/a", "can't be parsed"},
		{"relative to a scheme", "//example.com", "can't be parsed"},
		{"relative to a host", "/a", "can't be parsed"},
		{"no host", "http://", "can't be parsed"},
		{"NUL", "http://example.com/\x00", "control character at byte 19"},
		{"CR LF", "http://example.com/\r\nSet-Cookie: x", "control character at byte 19"},
		{"tab within the scheme", "ht\ttp://example.com/", "control character at byte 2"},
		{"DEL", "http://example.com/\x7f", "control character at byte 19"},
		{"C1 control", "http://example.com/\u0085", "control character at byte 19"},
		{"leading space", " http://example.com/", "space or control character at byte 0"},
		{"inner space", "http://example.com/a b", "space or control character at byte 20"},
		{"invalid UTF-8", "http://example.com/\xff", "is not UTF-8"},
		{"user name", "http://user@example.com/", "user name or password"},
		{"password", "http://:secret@example.com/", "user name or password"},
		{"host that looks like a user name", "http://good.example@evil.example/", "user name or password"},
		{"port out of range", "http://example.com:99999/", "can't be parsed"},
		{"percent sign in the host", "http://exa%mple.com", "can't be parsed"},
		{"encoded NUL in the host", "http://a.%00b", "can't be parsed"},
		{"broken punycode", "http://xn--a/", "can't be parsed"},
		{"IPv4 with five parts", "http://1.2.3.4.5/", "can't be parsed"},
		{"IPv4 out of range", "http://256.1.1.1/", "can't be parsed"},
		{"IPv6 zone", "http://[fe80::1%25eth0]/", "can't be parsed"},
		{"loopback", "http://127.0.0.1/", "private or local"},
		{"loopback, short", "http://127.1/", "private or local"},
		{"loopback, hex", "http://0x7f.1/", "private or local"},
		{"loopback, all hex", "http://0x7f000001/", "private or local"},
		{"loopback, octal", "http://0177.0.0.1/", "private or local"},
		{"loopback, integer", "http://2130706433/", "private or local"},
		{"loopback, octal integer", "http://017700000001/", "private or local"},
		{"loopback, percent-encoded", "http://%31%32%37.0.0.1/", "private or local"},
		{"loopback, full-width", "http://１２７.0.0.1/", "private or local"},
		{"loopback, ideographic full stops", "http://127。0。0。1/", "private or local"},
		{"loopback, trailing dot", "http://127.0.0.1./", "private or local"},
		{"loopback, IPv6", "http://[::1]/", "private or local"},
		{"loopback, IPv4-mapped", "http://[::ffff:127.0.0.1]/", "private or local"},
		{"loopback, IPv4-mapped in full", "http://[0:0:0:0:0:ffff:7f00:1]:80/", "private or local"},
		{"loopback behind NAT64", "http://[64:ff9b::7f00:1]/", "private or local"},
		{"loopback behind 6to4", "http://[2002:7f00:1::]/", "private or local"},
		{"this network", "http://0/", "private or local"},
		{"10/8", "http://10.1.2.3/", "private or local"},
		{"172.16/12", "http://172.31.255.255/", "private or local"},
		{"192.168/16", "http://192.168.1.1/", "private or local"},
		{"carrier-grade NAT", "http://100.64.0.1/", "private or local"},
		{"cloud metadata", "http://169.254.169.254/latest/meta-data/", "private or local"},
		{"multicast", "http://224.0.0.1/", "private or local"},
		{"unique local IPv6", "http://[fd00::1]/", "private or local"},
		{"link-local IPv6", "http://[fe80::1]/", "private or local"},
		{"localhost", "http://localhost:8080/", "private or local"},
		{"localhost with dots behind it", "http://LOCALHOST../", "private or local"},
		{"below localhost", "http://a.localhost/", "private or local"},
		{"mDNS", "http://printer.local/", "private or local"},
		{"a name whose Punycode is no name", "http://vİ!!/", "international name"},
		{"internal", "http://db.internal/", "private or local"},
		{"home network", "http://nas.home.arpa/", "private or local"},
		{"a long name below internal", "http://" + strings.Repeat("a.", 2000) + "internal/", "private or local"},
		{"own host", "https://carom.example/x", "own host"},
		{"own host in another case", "https://CAROM.example/x", "own host"},
		{"own host with any port", "http://carom.example:81/", "own host"},
		{"own host with trailing dot", "http://carom.example./", "own host"},
		{"own host with port", "http://go.example:8443/", "own host"},
		{"own host with port and trailing dot", "http://go.example.:8443/", "own host"},
		{"own host on its scheme's port, not said", "https://tls.example/", "own host"},
		{"own host on its scheme's port, said", "https://tls.example.:443/", "own host"},
		{"9 KiB", "https://example.com/" + strings.Repeat("a", 9<<10), "at most 8192 are accepted"},
		{"short, but too long in canonical form", "https://example.com/" + strings.Repeat("ä", 3000), "in canonical form"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := policy().Canonical(tt.raw)
			fe, ok := errors.AsType[*engine.FieldError](err)
			if !ok || fe.Field != "url" || !strings.Contains(fe.Detail, tt.want) || got != "" {
				t.Errorf("Canonical(%.80q) = %q, %v, want a refusal of url that says %q", tt.raw, got, err, tt.want)
			}
			if len(fe.Error()) > 300 {
				t.Errorf("the refusal has %d bytes; it must not give a stranger's input back at length", len(fe.Error()))
			}
		})
	}
}

func TestPrivateTargetsCanBeAllowed(t *testing.T) {
	p := policy()
	p.AllowPrivate = true
	for raw, want := range map[string]string{
		"http://0x7f.1/":       "http://127.0.0.1/",
		"http://wiki.internal": "http://wiki.internal/",
		"http://[::1]:3000":    "http://[::1]:3000/",
	} {
		if got, err := p.Canonical(raw); got != want || err != nil {
			t.Errorf("Canonical(%q) = %q, %v, want %q", raw, got, err, want)
		}
	}
	if _, err := p.Canonical("http://carom.example/"); err == nil {
		t.Error("an own host was accepted; allowing private addresses must not allow loops")
	}
}
