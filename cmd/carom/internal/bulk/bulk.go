// Package bulk is the form of links and clicks in files: CSV with a header and NDJSON, read and written record by record, so
// that memory stays bounded whatever the size of the file.
package bulk

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/carom-dev/carom/engine"
)

// RecordMax is the longest record that is read, in bytes. The longest link there can be takes a good 50 KiB as JSON.
const RecordMax = 1 << 20

// Format is the form of a file.
type Format string

// The forms.
const (
	CSV    Format = "csv"
	NDJSON Format = "ndjson"
)

// FormatOf picks the format: the given one, or by the file's name.
func FormatOf(given, name string) (Format, error) {
	if given != "" {
		if f := Format(given); f == CSV || f == NDJSON {
			return f, nil
		}
		return "", fmt.Errorf("format %q is not known; give csv or ndjson", given)
	}
	switch lower := strings.ToLower(name); {
	case strings.HasSuffix(lower, ".csv"):
		return CSV, nil
	case strings.HasSuffix(lower, ".ndjson"), strings.HasSuffix(lower, ".jsonl"):
		return NDJSON, nil
	}
	return "", fmt.Errorf("the name %q does not say the format; give --format csv or --format ndjson", name)
}

// Columns are the fields of a link that a file may give, as CSV columns and NDJSON members alike.
func Columns() []string {
	return []string{"code", "url", "title", "redirect_status", "valid_since", "valid_until", "max_visits", "active", "forward_query"}
}

// ownColumns are fields that the service sets itself. They are written by exports, and accepted and left aside by imports.
func ownColumns() []string {
	return []string{"id", "short_url", "clicks", "version", "created_at", "updated_at"}
}

func unknownColumn() string {
	return "is no field of a link; accepted are " + strings.Join(Columns(), ", ")
}

// Problem is something wrong with one record.
type Problem struct {
	Line   int    // where the record begins, from 1
	Field  string // "" when it is the whole record
	Detail string // reads on after the field
}

func (p Problem) String() string {
	what := p.Field
	if what == "" {
		what = "the record"
	}
	return fmt.Sprintf("line %d: %s %s", p.Line, what, p.Detail)
}

// Record is a link as it was read, or what is wrong with it.
type Record struct {
	Line     int
	Link     engine.Link
	Problems []Problem // the link is not to be used when there are any
}

func (r *Record) complain(field, format string, args ...any) {
	r.Problems = append(r.Problems, Problem{Line: r.Line, Field: field, Detail: fmt.Sprintf(format, args...)})
}

// LinkReader reads links. Not safe for concurrent use.
type LinkReader interface {
	// Next reads a record. io.EOF is the end; any other error means that the rest can't be read.
	Next() (Record, error)
}

// NewLinkReader reads links in a format. Targets are brought to canonical form by policy; with nil they stay as they are, for
// a server to judge.
func NewLinkReader(r io.Reader, format Format, policy *engine.TargetPolicy) (LinkReader, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	switch mark, _ := b.Peek(3); { // a file of less than 3 bytes has no mark
	case bytes.HasPrefix(mark, []byte{0xEF, 0xBB, 0xBF}):
		if _, err := b.Discard(3); err != nil {
			return nil, fmt.Errorf("skip the byte order mark: %w", err)
		}
	case bytes.HasPrefix(mark, []byte{0xFF, 0xFE}), bytes.HasPrefix(mark, []byte{0xFE, 0xFF}):
		return nil, errors.New("the file is UTF-16; give it as UTF-8, such as iconv -f UTF-16 -t UTF-8 makes it")
	}
	if format == CSV {
		return newCSVReader(b, policy)
	}
	return &ndjsonReader{in: b, policy: policy}, nil
}

// finish checks what was read as a whole.
func (r *Record) finish(policy *engine.TargetPolicy) {
	if len(r.Problems) > 0 {
		return
	}
	l := &r.Link
	l.Domain = engine.DefaultDomain
	if l.Code == "" {
		// The service would make one up, and another one the next time.
		r.complain("code", "is empty; an import names every code, so that it can be run again")
		return
	}
	if policy != nil {
		target, err := policy.Canonical(l.Target)
		if err != nil {
			r.complainOf(err)
		}
		l.Target = target
	}
	l.Normalize()
	if err := l.Check(); err != nil {
		r.complainOf(err)
	}
}

// complainOf takes over an error of the engine, field by field.
func (r *Record) complainOf(err error) {
	if e, ok := errors.AsType[*engine.Error](err); ok && len(e.Fields) > 0 {
		for _, f := range e.Fields {
			r.complain(f.Field, "%s", f.Detail)
		}
		return
	}
	if f, ok := errors.AsType[*engine.FieldError](err); ok {
		r.complain(f.Field, "%s", f.Detail)
		return
	}
	r.complain("", "is not accepted: %v", err)
}
