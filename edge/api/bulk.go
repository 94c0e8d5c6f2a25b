package api

import (
	"bytes"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/valyala/fasthttp"

	"github.com/carom-dev/carom/edge/wire"
	"github.com/carom-dev/carom/engine"
)

// bulkMax is the most lines of one bulk request.
const bulkMax = 1000

// bulkResultJSON is what became of one line.
type bulkResultJSON struct {
	Line    int           `json:"line"`
	Outcome string        `json:"outcome"` // created, updated, unchanged, skipped, conflict, not_stored or invalid
	ID      engine.LinkID `json:"id,omitzero"`
	Code    string        `json:"code,omitzero"`
	Error   *wire.Problem `json:"error,omitzero"`
}

// bulkLine is a line that can be stored.
type bulkLine struct {
	link  engine.Link
	drawn bool // its code was drawn here
	out   *bulkResultJSON
}

// shortenMany stores the links of an NDJSON body, one a line, and answers one result a line in the same order.
func (a *API) shortenMany(r *request) error {
	q := r.query("on_conflict")
	conflict := map[string]engine.OnConflict{
		"skip": engine.ConflictSkip, "overwrite": engine.ConflictOverwrite, "error": engine.ConflictError,
	}[q.oneOf("on_conflict", "skip", "overwrite", "error")]
	if err := q.err(); err != nil {
		return err
	}
	results, lines, err := a.readLines(r)
	if err != nil {
		return err
	}
	changes, failed := a.storeLines(r, lines, conflict)
	ctx, cancel := r.store()
	defer cancel()
	// Also after a failure: what was stored before it is to be seen, and sending the body again would find it unchanged.
	told := a.cfg.Announcer.AnnounceMany(ctx, changes)
	if failed != nil {
		return failed
	}
	r.propagated(told)
	r.ctx.Response.SetStatusCode(fasthttp.StatusOK)
	r.ctx.Response.Header.SetContentType(typeNDJSON)
	for _, res := range results {
		line, err := json.Marshal(res)
		if err != nil {
			return &engine.Error{Code: engine.CodeInternal, Message: "the answer can't be written as JSON", Err: err}
		}
		r.ctx.Response.AppendBody(append(line, '\n'))
	}
	return nil
}

// readLines decodes the lines; empty ones are left out. A line that can't be stored has its result already.
func (a *API) readLines(r *request) ([]*bulkResultJSON, []bulkLine, error) {
	var results []*bulkResultJSON
	var lines []bulkLine
	targets, number := r.targets(), 0
	for text := range bytes.Lines(r.ctx.PostBody()) {
		number++
		if text = bytes.TrimSpace(text); len(text) == 0 {
			continue
		}
		if len(results) == bulkMax {
			return nil, nil, engine.Errorf(engine.CodeTooLarge, "the body has more than %d lines; send several requests", bulkMax)
		}
		out := &bulkResultJSON{Line: number}
		results = append(results, out)
		l := newLink(a.cfg.Domain)
		err := decode(text, linkFields(&l, false))
		if err == nil {
			err = finish(&l, targets, "")
		}
		if err != nil {
			out.Outcome, out.Error, out.Code = "invalid", new(wire.ProblemOf(err)), l.Code
			continue
		}
		drawn := l.Code == ""
		if drawn {
			if l.Code, err = engine.NewCode(nil); err != nil {
				return nil, nil, err
			}
		}
		lines = append(lines, bulkLine{link: l, drawn: drawn, out: out})
	}
	if len(results) == 0 {
		return nil, nil, engine.Errorf(engine.CodeMalformed, "the body has no line; send one JSON object a line")
	}
	return results, lines, nil
}

// storeLines stores the lines with a code of their own first: their conflicts decide whether the others are stored at all. With an error
// it returns what has been changed before.
func (a *API) storeLines(r *request, lines []bulkLine, conflict engine.OnConflict) ([]engine.Change, error) {
	var given, drawn []bulkLine
	for _, l := range lines {
		if l.drawn {
			drawn = append(drawn, l)
		} else {
			given = append(given, l)
		}
	}
	changes, err := a.importLines(r, given, conflict)
	if err != nil {
		return nil, err
	}
	if conflict == engine.ConflictError && markNotStored(given, drawn) {
		return nil, nil
	}
	// A code that was drawn must never hit another link, whatever is asked for conflicts.
	for try := 1; len(drawn) > 0; try++ {
		more, err := a.importLines(r, drawn, engine.ConflictSkip)
		if err != nil {
			return changes, err
		}
		changes = append(changes, more...)
		var again []bulkLine
		for _, l := range drawn {
			if l.out.Outcome != "created" && try < newCodeTries {
				if l.link.Code, err = engine.NewCode(nil); err != nil {
					return changes, err
				}
				again = append(again, l)
			}
		}
		drawn = again
	}
	return changes, nil
}

// markNotStored reports whether a line of a batch has a conflict, and if so says of the others that they are not stored.
func markNotStored(given, drawn []bulkLine) bool {
	conflict := false
	for _, l := range given {
		conflict = conflict || l.out.Outcome == "conflict"
	}
	if !conflict {
		return false
	}
	for _, l := range append(append([]bulkLine(nil), given...), drawn...) {
		if l.out.Outcome != "conflict" && l.out.Outcome != "unchanged" {
			l.out.Outcome, l.out.ID = "not_stored", 0
		}
	}
	return true
}

// importLines stores one batch and notes what became of each line.
func (a *API) importLines(r *request, lines []bulkLine, conflict engine.OnConflict) ([]engine.Change, error) {
	if len(lines) == 0 {
		return nil, nil
	}
	links := make([]engine.Link, len(lines))
	for i := range lines {
		links[i] = lines[i].link
	}
	ctx, cancel := r.store()
	defer cancel()
	stored, err := a.cfg.Links.ImportLinks(ctx, links, conflict, r.author())
	if err != nil {
		return nil, away(err)
	}
	if len(stored) != len(lines) {
		return nil, engine.Errorf(engine.CodeInternal, "the store answered %d of %d lines", len(stored), len(lines))
	}
	outcomes := map[engine.ImportOutcome]string{
		engine.ImportCreated: "created", engine.ImportUpdated: "updated", engine.ImportUnchanged: "unchanged",
		engine.ImportSkipped: "skipped", engine.ImportConflict: "conflict",
	}
	var changes []engine.Change
	for i, res := range stored {
		out := lines[i].out
		out.Outcome, out.ID, out.Code = outcomes[res.Outcome], res.ID, links[i].Code
		if res.Outcome == engine.ImportConflict {
			taken := engine.Error{Code: engine.CodeConflict, Message: "the code " + strconv.Quote(out.Code) + " is taken"}
			out.Error = new(wire.ProblemOf(&taken))
		}
		if res.Change.ID != 0 {
			changes = append(changes, res.Change)
		}
	}
	return changes, nil
}
