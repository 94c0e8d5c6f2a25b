package setting

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/carom-dev/carom/engine/limit"
)

// Duration is a length of time, not negative.
type Duration time.Duration

// UnmarshalText reads "300s", "5m", "1h30m" or "0".
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v < 0 {
		return refuse(text, "a length of time such as 250ms, 30s, 5m or 1h")
	}
	*d = Duration(v)
	return nil
}

func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Within reports whether the duration is from low to high, both included.
func (d Duration) Within(low, high time.Duration) bool {
	return time.Duration(d) >= low && time.Duration(d) <= high
}

// Count is a number of things, not negative.
type Count int

// UnmarshalText reads a decimal number.
func (c *Count) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 10, 31)
	if err != nil {
		return refuse(text, "a whole number such as 16")
	}
	*c = Count(n)
	return nil
}

// Rate is a number of requests in a period; the zero Rate is no limit.
type Rate struct{ limit.Rate }

// UnmarshalText reads "200/m", "30/s", "1000/h" or "0".
func (r *Rate) UnmarshalText(text []byte) error {
	v, err := limit.ParseRate(string(text))
	if err != nil {
		return refuse(text, "requests and a period such as 200/m, 30/s or 1000/h, or 0 for no limit")
	}
	r.Rate = v
	return nil
}

// Prefixes are networks.
type Prefixes struct{ List []netip.Prefix }

// UnmarshalText reads networks and addresses with commas or spaces between them.
func (p *Prefixes) UnmarshalText(text []byte) error {
	p.List = nil
	for _, word := range strings.FieldsFunc(string(text), func(r rune) bool { return r == ',' || r == ' ' }) {
		prefix, err := netip.ParsePrefix(word)
		if addr, addrErr := netip.ParseAddr(word); err != nil && addrErr == nil && addr.Zone() == "" {
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			return refuse([]byte(word), "networks such as 10.0.0.0/8,2001:db8::/32, with commas between them")
		}
		p.List = append(p.List, prefix.Masked())
	}
	return nil
}

func (p Prefixes) String() string {
	words := make([]string, len(p.List))
	for i, prefix := range p.List {
		words[i] = prefix.String()
	}
	return strings.Join(words, ",")
}

// Address is where a listener binds: "host:port", ":port", or "off" where a listener can be done without.
type Address string

// Off is the Address of a listener that is not wanted.
const Off Address = "off"

// UnmarshalText reads an address; port 0 lets the system choose.
func (a *Address) UnmarshalText(text []byte) error {
	if Address(text) != Off {
		host, port, err := net.SplitHostPort(string(text))
		if _, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || strings.ContainsAny(host, "/ ") {
			return refuse(text, "an address such as :8080, 127.0.0.1:9090 or [::1]:8080")
		}
	}
	*a = Address(text)
	return nil
}

// Secret is a value that is never shown.
type Secret string

const masked = "****"

// String masks the secret; of a URL it leaves everything but the password.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	u, err := url.Parse(string(s))
	if err != nil || u.Scheme == "" || u.Host == "" {
		return masked
	}
	if _, has := u.User.Password(); has {
		u.User = url.UserPassword(u.User.Username(), masked)
	}
	// A query may carry a password too (libpq's "password", "sslpassword").
	if u.RawQuery != "" {
		u.RawQuery = masked
	}
	return strings.ReplaceAll(u.String(), url.QueryEscape(masked), masked)
}
