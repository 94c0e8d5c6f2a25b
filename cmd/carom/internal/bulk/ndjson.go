package bulk

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/carom-dev/carom/engine"
)

// LinkJSON is a link as one JSON object, in the API's words. Pointers are null where unset.
type LinkJSON struct {
	Code           string     `json:"code"`
	URL            string     `json:"url"`
	Title          *string    `json:"title"`
	RedirectStatus *int       `json:"redirect_status"`
	ValidSince     *time.Time `json:"valid_since"`
	ValidUntil     *time.Time `json:"valid_until"`
	MaxVisits      *int64     `json:"max_visits"`
	Active         *bool      `json:"active"`
	ForwardQuery   bool       `json:"forward_query"`

	ID        engine.LinkID `json:"id,omitzero"`
	ShortURL  string        `json:"short_url,omitzero"`
	Clicks    int64         `json:"clicks,omitzero"`
	Version   uint64        `json:"version,omitzero"`
	CreatedAt time.Time     `json:"created_at,omitzero"`
	UpdatedAt time.Time     `json:"updated_at,omitzero"`
}

// JSONOf is l as JSON, with only the fields that a client may set.
func JSONOf(l *engine.Link) LinkJSON {
	j := LinkJSON{
		Code: l.Code, URL: l.Target, Title: orNull(l.Title), RedirectStatus: &l.RedirectStatus, Active: &l.Active, ForwardQuery: l.ForwardQuery,
	}
	if !l.ValidSince.IsZero() {
		j.ValidSince = &l.ValidSince
	}
	if !l.ValidUntil.IsZero() {
		j.ValidUntil = &l.ValidUntil
	}
	if l.MaxVisits != 0 {
		j.MaxVisits = &l.MaxVisits
	}
	return j
}

// Link is the link that j describes. What the service sets itself is taken over too.
func (j *LinkJSON) Link() engine.Link {
	l := newLink()
	l.Domain = engine.DefaultDomain
	l.Code, l.Target, l.ForwardQuery = j.Code, j.URL, j.ForwardQuery
	l.ID, l.Clicks, l.Version, l.CreatedAt, l.UpdatedAt = j.ID, j.Clicks, j.Version, j.CreatedAt, j.UpdatedAt
	if j.Title != nil {
		l.Title = *j.Title
	}
	if j.RedirectStatus != nil {
		l.RedirectStatus = *j.RedirectStatus
	}
	if j.ValidSince != nil {
		l.ValidSince = *j.ValidSince
	}
	if j.ValidUntil != nil {
		l.ValidUntil = *j.ValidUntil
	}
	if j.MaxVisits != nil {
		l.MaxVisits = *j.MaxVisits
	}
	if j.Active != nil {
		l.Active = *j.Active
	}
	return l
}

// givenLink is LinkJSON as a file may give it: what the service sets itself is any JSON at all.
type givenLink struct {
	LinkJSON
	ID        jsontext.Value `json:"id"`
	ShortURL  jsontext.Value `json:"short_url"`
	Clicks    jsontext.Value `json:"clicks"`
	Version   jsontext.Value `json:"version"`
	CreatedAt jsontext.Value `json:"created_at"`
	UpdatedAt jsontext.Value `json:"updated_at"`
}

// ndjsonReader reads links from NDJSON; empty lines are skipped.
type ndjsonReader struct {
	policy *engine.TargetPolicy
	in     *bufio.Reader
	line   int
	buf    []byte
}

// Next implements LinkReader.
func (r *ndjsonReader) Next() (Record, error) {
	for {
		text, long, err := r.readLine()
		if err != nil {
			return Record{}, err
		}
		r.line++
		rec := Record{Line: r.line}
		if long {
			rec.complain("", "has more than %d bytes", RecordMax)
			return rec, nil
		}
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		var given givenLink
		if err := json.Unmarshal(text, &given, json.RejectUnknownMembers(true)); err != nil {
			rec.complainOfJSON(err)
			return rec, nil
		}
		rec.Link = given.Link()
		if given.MaxVisits != nil && *given.MaxVisits == 0 {
			rec.complain("max_visits", "is 0; give 1 to %d, or null for no bound", int64(engine.MaxVisitsMax))
		}
		rec.finish(r.policy)
		return rec, nil
	}
}

// readLine reads up to the next line feed, which is left out. The rest of a line that is too long is skipped. The bytes are
// valid until the next call.
func (r *ndjsonReader) readLine() (text []byte, long bool, err error) {
	r.buf = r.buf[:0]
	for {
		part, err := r.in.ReadSlice('\n')
		if len(r.buf)+len(part) > RecordMax {
			long = true
			r.buf = r.buf[:0]
		}
		if !long {
			r.buf = append(r.buf, part...)
		}
		switch {
		case err == nil, errors.Is(err, io.EOF) && (len(r.buf) > 0 || long):
			return bytes.TrimRight(r.buf, "\r\n"), long, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, false, err
		}
	}
}

// complainOfJSON says what a JSON error means for the field it is about.
func (r *Record) complainOfJSON(err error) {
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		if errors.Is(err, jsontext.ErrDuplicateName) {
			r.complain(pointerField(syntax.JSONPointer), "is there twice")
			return
		}
		r.complain("", "is not JSON (byte %d): %v", syntax.ByteOffset+1, syntax.Err)
		return
	}
	semantic, ok := errors.AsType[*json.SemanticError](err)
	if !ok {
		r.complain("", "is not accepted: %v", err)
		return
	}
	field := pointerField(semantic.JSONPointer)
	if errors.Is(err, json.ErrUnknownName) {
		r.complain(field, "%s", unknownColumn())
		return
	}
	accepted := map[string]string{
		"": "a JSON object", "redirect_status": "301, 302, 307 or 308", "max_visits": fmt.Sprintf("1 to %d, or null", int64(engine.MaxVisitsMax)),
		"active": "true or false", "forward_query": "true or false", "valid_since": acceptedTime + ", or null", "valid_until": acceptedTime + ", or null",
	}[field]
	if accepted == "" {
		accepted = "a string"
	}
	r.complain(field, "is not accepted; give %s", accepted)
}

// pointerField is the member that a JSON pointer goes through first.
func pointerField(p jsontext.Pointer) string {
	tokens := slices.Collect(p.Tokens())
	if len(tokens) == 0 {
		return ""
	}
	return strings.ToValidUTF8(tokens[0][:min(len(tokens[0]), 64)], "\uFFFD")
}
