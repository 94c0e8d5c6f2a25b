package client

import (
	"fmt"
	"strings"
)

// Header is a header line of a request.
type Header struct{ Name, Value string }

// Browser is what a current browser sends with a click on a link.
func Browser() []Header {
	return []Header{
		{"User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"},
		{"Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"},
		{"Accept-Encoding", "gzip, deflate, br"},
		{"Accept-Language", "en-US,en;q=0.5"},
		{"Referer", "https://www.example.com/some/page"},
	}
}

// Get writes the bytes of a GET. A header value with a line end in it is refused: it would be another request.
func Get(host, path string, headers []Header) ([]byte, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\n", path, host)
	for _, h := range headers {
		if strings.ContainsAny(h.Name+h.Value, "\r\n") {
			return nil, fmt.Errorf("write header %q: its value %q has a line end", h.Name, h.Value)
		}
		fmt.Fprintf(&b, "%s: %s\r\n", h.Name, h.Value)
	}
	b.WriteString("\r\n")
	return []byte(b.String()), nil
}
