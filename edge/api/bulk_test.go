package api

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

const ndjson = "Content-Type: application/x-ndjson"

// outcomes asks for a bulk and joins what became of each line.
func outcomes(t *testing.T, f *fixture, query, body string) (string, []bulkResultJSON) {
	t.Helper()
	got := f.ask(t, "POST", "/shorten"+query, body, ndjson)
	if got.status != 200 || got.get("Content-Type") != typeNDJSON || got.get("Carom-Propagation") == "" {
		t.Fatalf("POST = %d %s %s", got.status, got.get("Content-Type"), got.body)
	}
	var all []bulkResultJSON
	var words []string
	for line := range strings.Lines(got.body) {
		var res bulkResultJSON
		if err := json.Unmarshal([]byte(line), &res); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		all, words = append(all, res), append(words, itoa(res.Line)+":"+res.Outcome)
	}
	return strings.Join(words, " "), all
}

func TestBulk(t *testing.T) {
	f := newFixture(t, nil)
	body := `{"url":"https://a.example","code":"aa"}` + "\r\n\n" + `{"url":"https://b.example"}` + "\n" + `{"url":"nonsense","code":"cc"}` + "\n{\n" + `{"url":"https://d.example","code":"dd"}`
	words, results := outcomes(t, f, "", body)
	if words != "1:created 3:created 4:invalid 5:invalid 6:created" {
		t.Errorf("outcomes = %s", words)
	}
	if results[0].ID != 1 || results[0].Code != "aa" || len(results[1].Code) != 7 || results[2].Error.Errors[0].Field != "url" || results[3].Error.Code != "malformed" {
		t.Errorf("results = %+v", results)
	}
	if len(f.bus.changes) != 3 {
		t.Errorf("announced %v, want three", f.bus.changes)
	}
	again := `{"url":"https://a.example","code":"aa"}` + "\n" + `{"url":"https://other.example","code":"dd"}`
	for query, want := range map[string]string{"": "1:unchanged 2:skipped", "?on_conflict=skip": "1:unchanged 2:skipped"} {
		if words, _ := outcomes(t, f, query, again); words != want {
			t.Errorf("again%s = %s, want %s", query, words, want)
		}
	}
	if words, _ := outcomes(t, f, "?on_conflict=overwrite", again); words != "1:unchanged 2:updated" {
		t.Errorf("overwrite = %s", words)
	}
}

func TestBulkError(t *testing.T) {
	f := newFixture(t, nil)
	f.ask(t, "POST", "/shorten", `{"url":"https://a.example","code":"aa"}`)
	words, results := outcomes(t, f, "?on_conflict=error", `{"url":"https://new.example","code":"nn"}`+"\n"+`{"url":"https://b.example","code":"aa"}`+"\n"+`{"url":"https://drawn.example"}`)
	if words != "1:not_stored 2:conflict 3:not_stored" || results[1].Error == nil || results[1].Error.Status != 409 || results[0].ID != 0 {
		t.Errorf("outcomes = %s, %+v", words, results)
	}
	if len(f.store.links) != 1 {
		t.Errorf("%d links, want nothing of the batch stored", len(f.store.links))
	}
	if words, _ := outcomes(t, f, "?on_conflict=error", `{"url":"https://new.example","code":"nn"}`+"\n"+`{"url":"https://drawn.example"}`); words != "1:created 2:created" {
		t.Errorf("without a conflict = %s", words)
	}
}

func TestBulkDrawsAgain(t *testing.T) {
	f := newFixture(t, nil)
	f.store.taken = 3
	words, _ := outcomes(t, f, "?on_conflict=overwrite", strings.Repeat(`{"url":"https://a.example"}`+"\n", 3))
	if words != "1:created 2:created 3:created" || len(f.store.links) != 3 {
		t.Errorf("outcomes = %s with %d links, want codes drawn again", words, len(f.store.links))
	}
}

// TestBulkThatFailsHalfwayAnnouncesWhatIsStored: the lines with codes are stored, those whose codes are drawn are not.
func TestBulkThatFailsHalfwayAnnouncesWhatIsStored(t *testing.T) {
	f := newFixture(t, nil)
	f.store.imports, f.store.importErr = 1, errors.New("the database went away")
	got := f.ask(t, "POST", "/shorten", `{"url":"https://a.example","code":"aa"}`+"\n"+`{"url":"https://b.example"}`, ndjson)
	if got.status != 503 || got.get("Carom-Propagation") != "" {
		t.Errorf("POST = %d %s, propagation %q; want 503", got.status, got.body, got.get("Carom-Propagation"))
	}
	if len(f.store.links) != 1 || len(f.bus.changes) != 1 {
		t.Errorf("%d links are stored and %v announced, want the one with a code", len(f.store.links), f.bus.changes)
	}
}

func TestBadBulks(t *testing.T) {
	f := newFixture(t, nil)
	for _, tt := range []struct {
		rule, query, body string
		want              int
	}{
		{"no line", "", "\n\n", 400},
		{"too many lines", "", strings.Repeat("{}\n", bulkMax+1), 413},
		{"an unknown choice", "?on_conflict=merge", "{}", 422},
		{"an unknown parameter", "?dry_run=true", "{}", 422},
	} {
		if got := f.ask(t, "POST", "/shorten"+tt.query, tt.body, ndjson); got.status != tt.want {
			t.Errorf("%s = %d %s, want %d", tt.rule, got.status, got.body, tt.want)
		}
	}
	if words, _ := outcomes(t, f, "", strings.Repeat("{}\n", bulkMax)); strings.Count(words, "invalid") != bulkMax {
		t.Errorf("%d lines are told, want %d", strings.Count(words, "invalid"), bulkMax)
	}
}
