package contract_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/carom-dev/carom/loadtest/contract"
)

// document has an operation with each kind of rule that answers are held against.
const document = `{
  "openapi": "3.1.0", "info": {"title": "test", "version": "1"},
  "paths": {
    "/things": {"post": {"operationId": "make", "requestBody": {"required": true, "content": {
        "application/json": {"schema": {"$ref": "#/components/schemas/Thing"}},
        "application/x-ndjson": {"schema": {"type": "string"}, "x-line-schema": {"$ref": "#/components/schemas/Thing"}}}},
      "responses": {
        "200": {"description": "lines", "content": {"application/x-ndjson": {"schema": {"type": "string"}, "x-line-schema": {"$ref": "#/components/schemas/Thing"}}}},
        "201": {"description": "made", "headers": {"ETag": {"required": true, "schema": {"type": "string", "pattern": "^\"[0-9]+\"$"}}},
          "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}, "examples": {"one": {"value": EXAMPLE}}}}},
        "422": {"description": "refused", "content": {"application/json": {"schema": {"type": "object"}}}}}}},
    "/things/{id}": {"get": {"operationId": "read", "parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "integer", "minimum": 1}}],
      "responses": {"200": {"description": "it", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}}}}}
  },
  "components": {"schemas": {"Thing": {"type": "object", "properties": {"name": {"type": ["string", "null"]}}, "required": ["name"], "additionalProperties": false}}}
}`

func parse(t *testing.T) *contract.Contract {
	t.Helper()
	c, err := contract.Parse([]byte(strings.Replace(document, "EXAMPLE", `{"name": "a"}`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// canned answers every request with the same.
type canned struct {
	status int
	header string // NAME: VALUE, several with newlines
	body   string
}

func (c canned) RoundTrip(req *http.Request) (*http.Response, error) {
	h := http.Header{}
	for line := range strings.Lines(c.header) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		h.Set(name, value)
	}
	return &http.Response{StatusCode: c.status, Header: h, Body: io.NopCloser(strings.NewReader(c.body)), Request: req}, nil
}

func TestJudge(t *testing.T) {
	const isJSON, isLines, tagged = "Content-Type: application/json", "Content-Type: application/x-ndjson", "Content-Type: application/json\nETag: \"1\""
	for _, tt := range []struct {
		rule         string
		method, path string
		kind, body   string
		answer       canned
		want         string // a part of what is told; "": nothing
	}{
		{"as it should be", "POST", "/things", "application/json", `{"name": "a"}`, canned{201, tagged, `{"name": null}`}, ""},
		{"a member that is not declared", "POST", "/things", "application/json", `{"name": "a"}`, canned{201, tagged, `{"name": "a", "more": 1}`}, "more"},
		{"a member that is missing", "POST", "/things", "application/json", `{"name": "a"}`, canned{201, tagged, `{}`}, "name"},
		{"a header that is missing", "POST", "/things", "application/json", `{"name": "a"}`, canned{201, isJSON, `{"name": "a"}`}, "ETag"},
		{"a header of another form", "POST", "/things", "application/json", `{"name": "a"}`, canned{201, isJSON + "\nETag: 1", `{"name": "a"}`}, "pattern"},
		{"a header that is not declared", "POST", "/things", "application/json", `{"name": "a"}`, canned{201, tagged + "\nX-More: 1", `{"name": "a"}`}, "X-More"},
		{"a status that is not declared", "POST", "/things", "application/json", `{"name": "a"}`, canned{202, isJSON, `{}`}, "202"},
		{"a media type that is not declared", "POST", "/things", "application/json", `{"name": "a"}`, canned{201, "Content-Type: text/plain\nETag: \"1\"", "a"}, "text/plain"},
		{"a forbidden request that was done", "POST", "/things", "application/json", `{"name": 1}`, canned{201, tagged, `{"name": "a"}`}, "forbids"},
		{"a forbidden request that was refused", "POST", "/things", "application/json", `{"name": 1}`, canned{422, isJSON, `{}`}, ""},
		{"a forbidden parameter that was taken", "GET", "/things/0", "", "", canned{200, isJSON, `{"name": "a"}`}, "forbids"},
		{"lines as they should be", "POST", "/things", "application/x-ndjson", "{\"name\": \"a\"}\n\n{\"name\": \"b\"}\n", canned{200, isLines, "{\"name\": \"a\"}\n"}, ""},
		{"a line that is not", "POST", "/things", "application/x-ndjson", "{\"name\": \"a\"}\n", canned{200, isLines, "{\"name\": \"a\"}\n{}\n"}, "the line {}"},
		{"a line that is forbidden and was done", "POST", "/things", "application/x-ndjson", "{\"nam\": \"a\"}\n", canned{200, isLines, "{\"name\": \"a\"}\n"}, "nam"},
		{"an operation that is not there", "GET", "/others", "", "", canned{200, isJSON, `{}`}, "no such operation"},
		{"an unknown path that is refused", "GET", "/others", "", "", canned{404, isJSON, `{}`}, ""},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			told := ""
			client := &http.Client{Transport: parse(t).Transport(tt.answer, func(err error) { told += fmt.Sprintln(err) })}
			req, err := http.NewRequestWithContext(t.Context(), tt.method, "http://carom.test"+tt.path, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if tt.kind != "" {
				req.Header.Set("Content-Type", tt.kind)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if got, err := io.ReadAll(resp.Body); err != nil || string(got) != tt.answer.body {
				t.Errorf("the client reads %q, %v, want the answer as it came", got, err)
			}
			if (tt.want == "") != (told == "") || !strings.Contains(told, tt.want) {
				t.Errorf("told: %q, want %q in it", told, tt.want)
			}
		})
	}
}

func TestAnExampleMustBeWhatItsSchemaSays(t *testing.T) {
	_, err := contract.Parse([]byte(strings.Replace(document, "EXAMPLE", `{"name": 1}`, 1)))
	if err == nil || !strings.Contains(err.Error(), "make 201, example one") {
		t.Errorf("Parse = %v, want the example named", err)
	}
}

func TestTheDocumentMustBeOne(t *testing.T) {
	for _, text := range []string{`{}`, `{"openapi": "3.1.0"}`, strings.Replace(document, `"description": "it", `, "", 1)} {
		if _, err := contract.Parse([]byte(strings.Replace(text, "EXAMPLE", `{"name": "a"}`, 1))); err == nil {
			t.Errorf("Parse(%.60s) = nil, want an error", text)
		}
	}
}

func TestUnseen(t *testing.T) {
	c := parse(t)
	if got := len(c.Unseen()); got != 4 {
		t.Errorf("%d kinds of answers are not seen, want all 4", got)
	}
	client := &http.Client{Transport: c.Transport(canned{200, "Content-Type: application/json", `{"name": "a"}`}, func(err error) { t.Error(err) })}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://carom.test/things/7", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	for _, a := range c.Unseen() {
		if a == (contract.Answer{Operation: "read", Status: "200"}) {
			t.Errorf("%v was seen", a)
		}
	}
	if ops := c.Operations(); len(ops) != 2 || ops[0].ID != "make" || ops[0].Body != "application/json" || ops[1].Path != "/things/{id}" {
		t.Errorf("Operations = %+v", ops)
	}
}
