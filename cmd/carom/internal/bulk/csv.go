package bulk

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/carom-dev/carom/engine"
)

// csvReader reads links from CSV (RFC 4180): columns in any order, quoted line breaks, LF or CRLF, empty lines skipped.
type csvReader struct {
	policy  *engine.TargetPolicy
	bounded *boundedReader
	in      *csv.Reader
	columns []string
	line    int // where the last record began
}

func newCSVReader(b *bufio.Reader, policy *engine.TargetPolicy) (*csvReader, error) {
	bounded := &boundedReader{in: b}
	r := &csvReader{policy: policy, bounded: bounded, in: csv.NewReader(bounded)}
	r.in.FieldsPerRecord = -1 // a record with too few is that record's problem
	r.in.ReuseRecord = true
	bounded.refill()
	header, err := r.in.Read()
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("the file is empty; its first line names the columns, such as code,url,title")
	case err != nil:
		return nil, fmt.Errorf("read the header: %w", r.explain(err))
	}
	for _, name := range header {
		name = strings.TrimSpace(name)
		switch {
		case !slices.Contains(Columns(), name) && !slices.Contains(ownColumns(), name):
			return nil, fmt.Errorf("the column %q %s", name, unknownColumn())
		case slices.Contains(r.columns, name):
			return nil, fmt.Errorf("the column %q is there twice", name)
		}
		r.columns = append(r.columns, name)
	}
	for _, needed := range []string{"code", "url"} {
		if !slices.Contains(r.columns, needed) {
			return nil, fmt.Errorf("the column %q is missing; the header is %q", needed, strings.Join(r.columns, ","))
		}
	}
	return r, nil
}

// Next implements LinkReader.
func (r *csvReader) Next() (Record, error) {
	r.bounded.refill()
	fields, err := r.in.Read()
	if err != nil {
		parse, ok := errors.AsType[*csv.ParseError](err)
		if !ok || errors.Is(err, errRecordTooLong) {
			return Record{}, r.explain(err)
		}
		r.line = parse.StartLine
		rec := Record{Line: r.line}
		rec.complain("", "has a quote that is not closed, or one in a field without quotes (line %d, column %d)", parse.Line, parse.Column)
		return rec, nil
	}
	r.line, _ = r.in.FieldPos(0)
	rec := Record{Line: r.line, Link: newLink()}
	if len(fields) != len(r.columns) {
		rec.complain("", "has %d fields; the header has %d", len(fields), len(r.columns))
		return rec, nil
	}
	for i, name := range r.columns {
		rec.setText(name, fields[i])
	}
	rec.finish(r.policy)
	return rec, nil
}

func (r *csvReader) explain(err error) error {
	if errors.Is(err, errRecordTooLong) {
		return fmt.Errorf("the record after line %d has more than %d bytes; a quote may be left open", r.line, RecordMax)
	}
	return err
}

// newLink is what a link is when a file says nothing of a field.
func newLink() engine.Link { return engine.Link{Active: true, RedirectStatus: 302} }

// setText sets a field from its text; an empty text leaves it as it is.
func (r *Record) setText(name, text string) {
	if text == "" {
		return
	}
	if !utf8.ValidString(text) {
		r.complain(name, "is not UTF-8")
		return
	}
	l, err := &r.Link, error(nil)
	accepted := ""
	switch name {
	case "code":
		l.Code = text
	case "url":
		l.Target = text
	case "title":
		l.Title = text
	case "redirect_status":
		accepted = "301, 302, 307 or 308"
		l.RedirectStatus, err = strconv.Atoi(text)
	case "max_visits":
		accepted = fmt.Sprintf("1 to %d, or nothing for no bound", int64(engine.MaxVisitsMax))
		l.MaxVisits, err = strconv.ParseInt(text, 10, 64)
		if l.MaxVisits == 0 && err == nil {
			err = strconv.ErrRange
		}
	case "active":
		accepted = "true or false"
		l.Active, err = strconv.ParseBool(text)
	case "forward_query":
		accepted = "true or false"
		l.ForwardQuery, err = strconv.ParseBool(text)
	case "valid_since":
		accepted = acceptedTime
		l.ValidSince, err = time.Parse(time.RFC3339, text)
	case "valid_until":
		accepted = acceptedTime
		l.ValidUntil, err = time.Parse(time.RFC3339, text)
	}
	if err != nil {
		r.complain(name, "is %.64q; give %s", text, accepted)
	}
}

const acceptedTime = "a time such as 2026-01-31T12:00:00Z"

var errRecordTooLong = errors.New("record is too long")

// boundedReader fails when more than RecordMax bytes, and what the parser may have read ahead, were asked for since the last
// refill. It keeps a quote that is left open from taking in the rest of the file.
type boundedReader struct {
	in   io.Reader
	left int
}

// readAhead is the buffer of csv.Reader, which may be filled for the next record already.
const readAhead = 4096

func (b *boundedReader) refill() { b.left = RecordMax + readAhead }

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errRecordTooLong
	}
	n, err := b.in.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
