package bulk

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/carom-dev/carom/engine"
)

// Writer writes records of one kind. Flush ends the file. Not safe for concurrent use.
type Writer[T any] interface {
	Write(record *T) error
	Flush() error
}

// NewLinkWriter writes links as NewLinkReader reads them, and what the service has counted and noted beside that.
func NewLinkWriter(w io.Writer, format Format) Writer[engine.Link] {
	if format == CSV {
		header := append(Columns(), "clicks", "created_at", "updated_at")
		return newCSVWriter(w, header, func(l *engine.Link, row []string) []string {
			return append(row, l.Code, l.Target, l.Title, strconv.Itoa(l.RedirectStatus), timeText(l.ValidSince), timeText(l.ValidUntil),
				positive(l.MaxVisits), strconv.FormatBool(l.Active), strconv.FormatBool(l.ForwardQuery),
				strconv.FormatInt(l.Clicks, 10), timeText(l.CreatedAt), timeText(l.UpdatedAt))
		})
	}
	return newJSONWriter(w, func(l *engine.Link) any {
		return struct {
			LinkJSON
			Clicks    int64     `json:"clicks"`
			CreatedAt time.Time `json:"created_at"`
			UpdatedAt time.Time `json:"updated_at"`
		}{JSONOf(l), l.Clicks, l.CreatedAt, l.UpdatedAt}
	})
}

// ClickJSON is a click as one JSON object, in the API's words.
type ClickJSON struct {
	ID        engine.ClickID `json:"id"`
	LinkID    engine.LinkID  `json:"link_id"`
	Code      string         `json:"code"`
	At        time.Time      `json:"at"`
	Status    uint16         `json:"status"`
	Method    string         `json:"method"`
	Prefetch  bool           `json:"prefetch"`
	Referrer  *string        `json:"referrer"`
	UserAgent *string        `json:"user_agent"`
	Language  *string        `json:"language"`
	IP        *string        `json:"ip"`      // the client's network: the rest is never stored
	Visitor   string         `json:"visitor"` // 16 hex digits; comparable within a UTC day
}

// ClickOf is c as JSON.
func ClickOf(c *engine.StoredClick) ClickJSON {
	method := "GET"
	if c.Flags&engine.ClickHead != 0 {
		method = "HEAD"
	}
	return ClickJSON{
		ID: c.ID, LinkID: c.Link, Code: c.Code, At: c.Time(), Status: c.Status, Method: method, Prefetch: c.Flags&engine.ClickPrefetch != 0,
		Referrer: orNull(string(c.Referrer)), UserAgent: orNull(string(c.UserAgent)), Language: orNull(string(c.Language)), IP: orNull(c.Address.String()),
		Visitor: fmt.Sprintf("%016x", c.Visitor),
	}
}

// NewClickWriter writes clicks.
func NewClickWriter(w io.Writer, format Format) Writer[ClickJSON] {
	if format == CSV {
		header := []string{"id", "link_id", "code", "at", "status", "method", "prefetch", "referrer", "user_agent", "language", "ip", "visitor"}
		return newCSVWriter(w, header, func(c *ClickJSON, row []string) []string {
			return append(row, strconv.FormatInt(int64(c.ID), 10), strconv.FormatInt(int64(c.LinkID), 10), c.Code, timeText(c.At),
				strconv.Itoa(int(c.Status)), c.Method, strconv.FormatBool(c.Prefetch), orEmpty(c.Referrer), orEmpty(c.UserAgent), orEmpty(c.Language), orEmpty(c.IP), c.Visitor)
		})
	}
	return newJSONWriter(w, func(c *ClickJSON) any { return c })
}

// csvWriter writes a header and a row a record.
type csvWriter[T any] struct {
	out    *csv.Writer
	header []string // nil when it is written
	row    []string
	format func(*T, []string) []string
}

func newCSVWriter[T any](w io.Writer, header []string, format func(*T, []string) []string) *csvWriter[T] {
	return &csvWriter[T]{out: csv.NewWriter(w), header: header, format: format}
}

func (w *csvWriter[T]) Write(record *T) error {
	if err := w.start(); err != nil {
		return err
	}
	w.row = w.format(record, w.row[:0])
	return w.out.Write(w.row)
}

// start writes the header once, so that an export of nothing has one too.
func (w *csvWriter[T]) start() error {
	header := w.header
	if header == nil {
		return nil
	}
	w.header = nil
	return w.out.Write(header)
}

func (w *csvWriter[T]) Flush() error {
	if err := w.start(); err != nil {
		return err
	}
	w.out.Flush()
	return w.out.Error()
}

// jsonWriter writes a line a record.
type jsonWriter[T any] struct {
	out    *bufio.Writer
	format func(*T) any
}

func newJSONWriter[T any](w io.Writer, format func(*T) any) *jsonWriter[T] {
	return &jsonWriter[T]{out: bufio.NewWriterSize(w, 64<<10), format: format}
}

func (w *jsonWriter[T]) Write(record *T) error {
	if err := json.MarshalWrite(w.out, w.format(record), jsontext.AllowInvalidUTF8(true)); err != nil {
		return fmt.Errorf("write a record: %w", err)
	}
	return w.out.WriteByte('\n')
}

func (w *jsonWriter[T]) Flush() error { return w.out.Flush() }

// orNull is a text as the API has it: null where there is none.
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func positive(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}
