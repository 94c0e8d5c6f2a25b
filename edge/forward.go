package edge

import "bytes"

// forwardQueryMax is the longest query that is forwarded, in bytes; a longer one is left out. A target has at most 8 KiB, and
// proxies in front commonly give up on headers beyond 16 KiB.
const forwardQueryMax = 4 << 10

// appendForwarded appends target with the visitor's query put behind its own, before its fragment. Scheme, host and path are
// the target's to the byte; a byte that can't stand in a query is percent-encoded.
func appendForwarded(dst, target, query []byte) []byte {
	base, fragment := target, []byte(nil)
	if i := bytes.IndexByte(target, '#'); i >= 0 {
		base, fragment = target[:i], target[i:]
	}
	dst = append(dst, base...)
	if len(query) > 0 && len(query) <= forwardQueryMax {
		switch i := bytes.IndexByte(base, '?'); {
		case i < 0:
			dst = append(dst, '?')
		case i < len(base)-1 && base[len(base)-1] != '&':
			dst = append(dst, '&')
		}
		dst = appendQuery(dst, query)
	}
	return append(dst, fragment...)
}

func appendQuery(dst, query []byte) []byte {
	const hex = "0123456789ABCDEF"
	for _, c := range query {
		// The special-query percent-encode set of the WHATWG URL Standard.
		if c <= ' ' || c >= 0x7f || c == '"' || c == '#' || c == '<' || c == '>' || c == '\'' {
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}
