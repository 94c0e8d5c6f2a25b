package api

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/valyala/fasthttp"

	"github.com/carom-dev/carom/edge/wire"
	"github.com/carom-dev/carom/engine"
)

// openAPIDoc is what these tests read of the document.
type openAPIDoc struct {
	Paths      map[string]map[string]any `json:"paths"`
	Components map[string]map[string]any `json:"components"`
}

// edgePaths are the document's paths that the redirect path answers, not the API.
var edgePaths = []string{"/{code}", "/", "/robots.txt", "/favicon.ico"}

func readOpenAPI(t *testing.T) openAPIDoc {
	t.Helper()
	var doc openAPIDoc
	if err := json.Unmarshal(openAPI, &doc); err != nil {
		t.Fatalf("read the document: %v", err)
	}
	return doc
}

// operation is the document's operation, nil when there is none.
func (d *openAPIDoc) operation(method, path string) map[string]any {
	op, _ := d.Paths[path][strings.ToLower(method)].(map[string]any)
	return op
}

// scopeOf is the scope that an operation names for both ways to send a key, and "" when it needs no key.
func scopeOf(t *testing.T, op map[string]any) engine.Scope {
	t.Helper()
	var scopes []engine.Scope
	alternatives, _ := op["security"].([]any)
	for _, alternative := range alternatives {
		for _, names := range alternative.(map[string]any) {
			for _, name := range names.([]any) {
				scopes = append(scopes, engine.Scope(name.(string)))
			}
		}
	}
	switch {
	case len(scopes) == 0:
		return ""
	case len(scopes) != 2 || scopes[0] != scopes[1]:
		t.Errorf("security names %v, want one scope for bearer and apiKey alike", scopes)
	}
	return scopes[0]
}

func TestDocumentHasEveryRoute(t *testing.T) {
	doc := readOpenAPI(t)
	f := newFixture(t, nil)
	routes := map[string]bool{}
	for _, r := range f.routes() {
		name := r.method + " " + r.path
		routes[name] = true
		op := doc.operation(r.method, r.path)
		if op == nil {
			t.Errorf("%s is not in the document", name)
			continue
		}
		want := r.scope
		if r.open {
			want = ""
		}
		if got := scopeOf(t, op); got != want {
			t.Errorf("%s needs %q in the document, want %q", name, got, want)
		}
		responses := op["responses"].(map[string]any)
		for status, must := range map[string]bool{"401": !r.open, "403": !r.open, "429": !r.free, "default": true} {
			if _, has := responses[status]; has != must {
				t.Errorf("%s has the answer %s in the document: %v, want %v", name, status, has, must)
			}
		}
	}
	for path, item := range doc.Paths {
		if slices.Contains(edgePaths, path) {
			continue
		}
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
			if name := method + " " + path; doc.operation(method, path) != nil && !routes[name] {
				t.Errorf("%s is in the document, and is no route", name)
			}
		}
		if item["parameters"] == nil {
			t.Errorf("%s lacks the parameters that all its operations have", path)
		}
	}
}

// TestEveryRouteIsAReservedWord holds that no link can be made that the API's paths would hide.
func TestEveryRouteIsAReservedWord(t *testing.T) {
	for _, word := range newFixture(t, nil).Words() {
		name, _, _ := strings.Cut(word, ".")
		if engine.CheckCode(name) == nil {
			t.Errorf("%q can be the code of a link, and the API answers /%s", name, word)
		}
	}
}

// TestDocumentUsesWhatItNames finds references that lead nowhere, and components that nobody refers to.
func TestDocumentUsesWhatItNames(t *testing.T) {
	doc := readOpenAPI(t)
	used := map[string]bool{}
	var walk func(node any)
	walk = func(node any) {
		switch n := node.(type) {
		case map[string]any:
			if ref, ok := n["$ref"].(string); ok {
				used[ref] = true
			}
			for _, child := range n {
				walk(child)
			}
		case []any:
			for _, child := range n {
				walk(child)
			}
		}
	}
	for _, item := range doc.Paths {
		walk(map[string]any(item))
	}
	for _, kind := range doc.Components {
		walk(map[string]any(kind))
	}
	named := map[string]bool{}
	for kind, all := range doc.Components {
		for name := range all {
			if kind != "securitySchemes" {
				named["#/components/"+kind+"/"+name] = true
			}
		}
	}
	for ref := range used {
		if !named[ref] {
			t.Errorf("%s is referred to and not there", ref)
		}
	}
	for name := range named {
		if !used[name] {
			t.Errorf("%s is referred to by nobody", name)
		}
	}
}

// TestDocumentKnowsTheSets compares the document's closed sets with the program's.
func TestDocumentKnowsTheSets(t *testing.T) {
	doc := readOpenAPI(t)
	enum := func(path ...string) []string {
		var node any = doc.Components["schemas"]
		for _, name := range path {
			node = node.(map[string]any)[name]
		}
		var all []string
		for _, v := range node.(map[string]any)["enum"].([]any) {
			all = append(all, v.(string))
		}
		slices.Sort(all)
		return all
	}
	compare := func(what string, got []string, want ...string) {
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: the document has %v, want %v", what, got, want)
		}
	}
	var scopes []string
	for _, s := range engine.Scopes() {
		scopes = append(scopes, string(s))
	}
	compare("scopes", enum("Key", "properties", "scopes", "items"), scopes...)
	compare("audit actions", enum("AuditEvent", "properties", "action"),
		string(engine.ActionCreated), string(engine.ActionUpdated), string(engine.ActionDeactivated), string(engine.ActionImported))
	compare("health", enum("HealthStatus"), string(engine.HealthPass), string(engine.HealthWarn), string(engine.HealthFail))
	for _, code := range enum("Problem", "properties", "code") {
		if wire.StatusOf(engine.ErrorCode(code)) == 500 && code != "internal" && code != "method_not_allowed" {
			t.Errorf("the document has the error code %q, which no error has", code)
		}
	}

	// The members that a client may set are those that are taken.
	members := slices.Sorted(maps.Keys(linkFields(&engine.Link{}, false)))
	for _, schema := range []string{"LinkNew", "LinkPatch"} {
		properties := doc.Components["schemas"][schema].(map[string]any)["properties"].(map[string]any)
		compare(schema, slices.Sorted(maps.Keys(properties)), members...)
	}
}

func TestDocumentsAreServed(t *testing.T) {
	f := newFixture(t, nil)
	get := func(path string, headers ...string) answer {
		return f.raw(t, "GET "+path+" HTTP/1.1\r\nHost: sho.rt\r\n"+strings.Join(append(headers, ""), "\r\n")+"\r\n")
	}
	a := get("/openapi.json")
	if a.status != 200 || a.get("Content-Type") != "application/json" || a.body != string(openAPI) {
		t.Errorf("GET /openapi.json = %d, %s, %d bytes, want the document", a.status, a.get("Content-Type"), len(a.body))
	}
	if again := get("/openapi.json", "If-None-Match: "+a.get("ETag")); again.status != fasthttp.StatusNotModified || again.body != "" {
		t.Errorf("with its own ETag: %d, %q, want 304 and nothing", again.status, again.body)
	}
	if refused := get("/openapi.json?version=2"); refused.status != 422 {
		t.Errorf("with a parameter: %d, want 422", refused.status)
	}
	page := get("/docs")
	if page.status != 200 || page.get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("GET /docs = %d, %s, want a page", page.status, page.get("Content-Type"))
	}
	// What is between the tags is what the policy names; nothing else may run there.
	policy := page.get("Content-Security-Policy")
	for _, part := range []struct{ tag, directive string }{{"style", "style-src"}, {"script", "script-src"}} {
		_, rest, _ := strings.Cut(page.body, "<"+part.tag+">")
		inline, _, found := strings.Cut(rest, "</"+part.tag+">")
		if !found || !strings.Contains(policy, part.directive+" "+sourceHash([]byte(inline))+";") {
			t.Errorf("the policy %q does not name the page's %s by its hash", policy, part.tag)
		}
	}
	for _, outside := range []string{"http:", "https:", "//cdn"} {
		if strings.Contains(page.body, `="`+outside) {
			t.Errorf("the page loads something by %q; it must have all it needs", outside)
		}
	}
}
