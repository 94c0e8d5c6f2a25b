package api

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the documents below
	"encoding/base64"
	"encoding/hex"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/carom-dev/carom/edge/wire"
)

// The OpenAPI document, and the parts of the page that shows it.
var (
	//go:embed openapi.json
	openAPI []byte
	//go:embed viewer/page.html
	viewerPage []byte
	//go:embed viewer/style.css
	viewerStyle []byte
	//go:embed viewer/viewer.js
	viewerScript []byte
)

// document is a body that stays the same for as long as the process lives. Read-only after it is made.
type document struct {
	mediaType string
	policy    string // Content-Security-Policy; "": the one of every answer
	etag      string
	body      []byte
}

func newDocument(mediaType, policy string, body []byte) document {
	sum := sha256.Sum256(body)
	return document{mediaType: mediaType, policy: policy, etag: `"` + hex.EncodeToString(sum[:8]) + `"`, body: body}
}

// openAPIDocument is what GET /openapi.json answers.
func openAPIDocument() document { return newDocument("application/json", "", openAPI) }

// viewerDocument is what GET /docs answers: one page with its style and script in it. Its policy names both by their hash, so
// that nothing else could run there, and lets it fetch the document from where it came from.
func viewerDocument() document {
	page := bytes.Replace(viewerPage, []byte("/*style*/"), viewerStyle, 1)
	page = bytes.Replace(page, []byte("/*script*/"), viewerScript, 1)
	policy := []string{
		"default-src 'none'", "style-src " + sourceHash(viewerStyle), "script-src " + sourceHash(viewerScript), "connect-src 'self'",
		"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
	}
	return newDocument("text/html; charset=utf-8", strings.Join(policy, "; "), page)
}

// sourceHash names an inline style or script in a Content-Security-Policy.
func sourceHash(source []byte) string {
	sum := sha256.Sum256(source)
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// give makes the endpoint that answers with d.
func give(d document) func(*request) error {
	return func(r *request) error {
		if err := r.noQuery(); err != nil {
			return err
		}
		h := &r.ctx.Response.Header
		h.Set("ETag", d.etag)
		if d.policy != "" {
			h.Set("Content-Security-Policy", d.policy)
		}
		if match := wire.HeaderList(r.ctx, "if-none-match"); match != "" && matchesTag(match, d.etag, true) {
			r.ctx.Response.SetStatusCode(fasthttp.StatusNotModified)
			return nil
		}
		h.SetContentType(d.mediaType)
		r.ctx.Response.SetBodyRaw(d.body)
		return nil
	}
}
