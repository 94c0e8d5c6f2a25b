package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/nlnwa/whatwg-url/url"
)

// TargetMaxLen is the longest target in bytes, as given and in canonical form.
const TargetMaxLen = 8 << 10

// TargetPolicy says which targets are accepted. The zero value refuses private addresses and knows no host as its own.
// Read-only after it is made, so safe for concurrent use.
type TargetPolicy struct {
	OwnHosts     []string // host (any port) or host:port, lower case ASCII, of the service itself: a link to it could loop
	AllowPrivate bool     // accept loopback, private and link-local addresses, for intranets
}

var targetParser = url.NewParser()

// Canonical parses raw as a browser would (WHATWG URL Standard) and returns the form that is stored and sent, byte for byte.
// The error is a *FieldError on "url" that says what is accepted.
func (p TargetPolicy) Canonical(raw string) (string, error) {
	refuse := func(format string, args ...any) (string, error) {
		return "", &FieldError{Field: "url", Detail: fmt.Sprintf(format, args...)}
	}
	switch {
	case raw == "":
		return refuse("is empty; give an absolute http or https URL")
	case len(raw) > TargetMaxLen:
		return refuse("has %d bytes; at most %d are accepted", len(raw), TargetMaxLen)
	case !utf8.ValidString(raw):
		return refuse("is not UTF-8")
	}
	// The standard strips some of these silently. Whoever sends one did not mean the URL that would come out.
	if i := strings.IndexFunc(raw, func(r rune) bool { return r <= ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) }); i >= 0 {
		return refuse("has a space or control character at byte %d; percent-encode it", i)
	}
	u, err := targetParser.Parse(raw)
	if err != nil {
		return refuse("can't be parsed; give an absolute http or https URL, such as https://example.com/path")
	}
	scheme := strings.TrimSuffix(u.Protocol(), ":")
	switch {
	case scheme != "http" && scheme != "https":
		return refuse("has the scheme %.32q; http and https are accepted", scheme)
	case u.Username() != "" || u.Password() != "":
		return refuse("has a user name or password; leave them out")
	case u.Hostname() == "":
		return refuse("has no host")
	case p.own(scheme, u.Hostname(), u.Port()):
		return refuse("leads to this service's own host %.128q; a link to a link could loop", u.Host())
	case !p.AllowPrivate && privateHost(u.Hostname()):
		return refuse("leads to a private or local address %.128q; --allow-private-targets accepts those", u.Hostname())
	}
	href := u.Href(false)
	if len(href) > TargetMaxLen {
		return refuse("has %d bytes in canonical form; at most %d are accepted", len(href), TargetMaxLen)
	}
	// A browser parses what it is sent once more. Some names turn into Punycode that is no name itself, of letters that fold into
	// several or too long; whatever does not stay as it is would lead nowhere, or elsewhere.
	if href != raw {
		if again, err := targetParser.Parse(href); err != nil || again.Href(false) != href {
			return refuse("has the host %.128q, which is no valid international name", u.Hostname())
		}
	}
	// The parser percent-encodes all of these; a target is sent as it is, so nothing rests on that alone.
	for i := range len(href) {
		if href[i] <= ' ' || href[i] >= 0x7f {
			return refuse("has a byte that can't be sent in a header at %d of its canonical form", i)
		}
	}
	return href, nil
}

func (p TargetPolicy) own(scheme, hostname, port string) bool {
	if port == "" { // the canonical form leaves out the scheme's own port
		port = map[string]string{"http": "80", "https": "443"}[scheme]
	}
	hostname = strings.TrimRight(hostname, ".")
	return slices.ContainsFunc(p.OwnHosts, func(own string) bool { return own == hostname || own == hostname+":"+port })
}

// localNames are names that only ever resolve inside (RFC 6761, RFC 6762, RFC 8375, and ICANN's reserved .internal).
var localNames = []string{"localhost", "local", "internal", "home.arpa"}

// privateHost reports whether a canonical WHATWG host is an address or name that is not on the public internet. Names that
// resolve to such an address are not found out here: that would need a look-up, and its answer can change afterwards.
func privateHost(hostname string) bool {
	name := strings.TrimRight(hostname, ".")
	for _, local := range localNames {
		if name == local || strings.HasSuffix(name, "."+local) {
			return true
		}
	}
	addr, err := netip.ParseAddr(strings.Trim(hostname, "[]"))
	if err != nil {
		return false
	}
	addr = addr.Unmap()
	return slices.ContainsFunc(privatePrefixes, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// privatePrefixes are the ranges of the IANA special-purpose registries (RFC 6890 and its updates) that no public site has,
// and the translation ranges that can hide one of them.
var privatePrefixes = func() (all []netip.Prefix) {
	for _, s := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
		"192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001:db8::/32", "2002::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
	} {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}()
