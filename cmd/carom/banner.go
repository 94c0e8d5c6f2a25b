package main

import (
	"cmp"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"github.com/carom-dev/carom/cmd/carom/internal/setting"
)

// showBanner tells a person what was started and what to try first. It goes to standard output, once per key: at the first
// start, which has a secret to show, and on a terminal. The log has the rest.
func (t *terminal) showBanner(s *Settings, address, secret string) {
	if secret == "" && !isTerminal(t.out) {
		return
	}
	_, port, _ := net.SplitHostPort(address) // it is a listener's own
	host, _, _ := net.SplitHostPort(string(s.Listen))
	url := localURL(setting.Address(net.JoinHostPort(host, port)))
	dir, err := filepath.Abs(s.DataDir)
	if err != nil {
		dir = s.DataDir
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nCarom serves at  %s\nIts data is in   %s\n", url, dir)
	b.WriteString(keyLines(secret))
	fmt.Fprintf(&b, `
Make a link, and follow it:

  curl -X POST %s/shorten -H 'Authorization: Bearer %s' -H 'Content-Type: application/json' -d '{"url": "https://example.com/", "code": "hello"}'
  curl -i %s/hello

`, url, cmp.Or(secret, "YOUR_KEY"), url)
	fmt.Fprint(t.out, b.String())
}

// showKey tells a key that was made apart from the banner, as the database had to be there first.
func (t *terminal) showKey(secret string) { fmt.Fprint(t.out, keyLines(secret)) }

func keyLines(secret string) string {
	if secret == "" {
		return ""
	}
	return fmt.Sprintf("The admin key is %s\n                 (shown only now; `carom keys create` makes more)\n", secret)
}
