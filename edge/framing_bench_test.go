package edge

import "testing"

// BenchmarkPlain is what each hit pays to be sure that nobody can read its request in another way.
func BenchmarkPlain(b *testing.B) {
	ctx := request(b, "198.51.100.7:1234", "GET /abc HTTP/1.1\r\nHost: sho.rt\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"+
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"+
		"Referer: https://example.org/a/page\r\nConnection: keep-alive\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\n\r\n")
	b.ReportAllocs()
	for b.Loop() {
		if !plain(&ctx.Request.Header) {
			b.Fatal("it is plain")
		}
	}
}
