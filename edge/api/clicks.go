package api

import (
	"context"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/valyala/fasthttp"

	"github.com/carom-dev/carom/edge/wire"
	"github.com/carom-dev/carom/engine"
)

// streamPage is how many clicks of a stream are read from the store at once.
const streamPage = 1000

// clickJSON is a click as the API gives it.
type clickJSON struct {
	ID        engine.ClickID `json:"id"`
	Link      engine.LinkID  `json:"link_id"`
	Code      string         `json:"code"`
	At        time.Time      `json:"at"`
	Status    uint16         `json:"status"`
	Method    string         `json:"method"`
	Prefetch  bool           `json:"prefetch"`
	Referrer  *string        `json:"referrer"`
	UserAgent *string        `json:"user_agent"`
	Language  *string        `json:"language"`
	IP        *string        `json:"ip"` // the network's address; the rest was never kept
	Visitor   string         `json:"visitor"`
}

func clickOut(c *engine.StoredClick) clickJSON {
	method := fasthttp.MethodGet
	if c.Flags&engine.ClickHead != 0 {
		method = fasthttp.MethodHead
	}
	text := func(b []byte) *string { return orNil(strings.ToValidUTF8(string(b), "\uFFFD")) }
	return clickJSON{
		ID: c.ID, Link: c.Link, Code: c.Code, At: c.Time(), Status: c.Status, Method: method, Prefetch: c.Flags&engine.ClickPrefetch != 0,
		Referrer: text(c.Referrer), UserAgent: text(c.UserAgent), Language: text(c.Language), IP: orNil(c.Address.String()),
		Visitor: fmt.Sprintf("%016x", c.Visitor),
	}
}

func (a *API) linkClicks(r *request) error {
	id, err := r.pathID("link")
	if err != nil {
		return err
	}
	return a.clicks(r, engine.LinkID(id))
}

func (a *API) allClicks(r *request) error { return a.clicks(r, 0) }

// clicks gives a page, oldest first, or everything from there on as NDJSON.
func (a *API) clicks(r *request, link engine.LinkID) error {
	q := r.query("from", "to", "limit", "cursor", "after")
	stream := strings.Contains(wire.Header(r.ctx, "accept"), typeNDJSON)
	cq := engine.ClickQuery{Link: link, From: q.time("from"), To: q.time("to"), After: q.after()}
	_, limited := q.values["limit"]
	most := int64(1) << 40
	if stream {
		if !r.ctx.Request.Header.IsHTTP11() {
			return errStreamNeedsChunks
		}
		cq.Limit = streamPage
		if limited {
			most = int64(q.number("limit", 1, 1, 1<<31-1))
		}
	} else {
		cq.Limit = q.number("limit", pageDefault, 1, pageMax)
	}
	q.span(cq.From, cq.To)
	if err := q.err(); err != nil {
		return err
	}
	if stream {
		return r.streamClicks(cq, most)
	}
	size := cq.Limit
	cq.Limit++
	found, err := a.readClicks(cq)
	if err != nil {
		return err
	}
	r.ctx.Response.Header.Set("Vary", "Accept")
	more := len(found) > size
	found = found[:min(len(found), size)]
	out := page[clickJSON]{Data: make([]clickJSON, len(found))}
	for i := range found {
		out.Data[i] = clickOut(&found[i])
	}
	if more {
		out.NextCursor = new(numberCursor(cursorClicks, int64(found[len(found)-1].ID)))
	}
	return answerPage(r, out)
}

// after is the click behind which the list begins: the one that the client has read last, or the cursor's, which has gone on from there.
func (q *query) after() engine.ClickID {
	return engine.ClickID(max(int64(q.number("after", 0, 0, math.MaxInt64)), q.cursor(cursorClicks)))
}

// errStreamNeedsChunks is the answer to HTTP/1.0, where the end of a stream could not be told from one that broke off.
var errStreamNeedsChunks = engine.Errorf(engine.CodeMalformed, "a stream of clicks needs HTTP/1.1; pages are given without %s in Accept", typeNDJSON)

// span refuses a range of time that is empty.
func (q *query) span(from, to time.Time) {
	if !from.IsZero() && !to.IsZero() && !to.After(from) {
		q.fail("to", "is not after from")
	}
}

func (a *API) readClicks(q engine.ClickQuery) ([]engine.StoredClick, error) {
	r := request{api: a, trace: context.Background()} // a stream outlives its request
	ctx, cancel := r.store()
	defer cancel()
	found, err := a.cfg.Clicks.Clicks(ctx, q)
	return found, away(err)
}

// streamClicks answers with one click a line. The first page is read before the answer begins, so that its error has a status.
func (r *request) streamClicks(q engine.ClickQuery, most int64) error {
	s := &clickStream{api: r.api, query: q, left: most}
	if err := s.fill(); err != nil {
		return err
	}
	r.ctx.Response.Header.Set("Vary", "Accept")
	r.ctx.Response.Header.SetContentType(typeNDJSON)
	r.ctx.Response.SetBodyStream(s, -1)
	return nil
}

// clickStream reads page after page while the client takes them. When the store fails halfway its error ends the connection
// without the last chunk, which tells the client that the stream is not whole.
type clickStream struct {
	api   *API
	query engine.ClickQuery
	left  int64
	buf   []byte
	last  bool
}

// Read implements io.Reader; one goroutine only.
func (s *clickStream) Read(p []byte) (int, error) {
	for len(s.buf) == 0 {
		if s.last {
			return 0, io.EOF
		}
		if err := s.fill(); err != nil {
			s.api.cfg.Logger.Error("stream of clicks broke off", "err", err)
			return 0, err
		}
	}
	n := copy(p, s.buf)
	s.buf = s.buf[n:]
	return n, nil
}

func (s *clickStream) fill() error {
	s.query.Limit = int(min(streamPage, s.left))
	found, err := s.api.readClicks(s.query)
	if err != nil {
		return err
	}
	s.buf = s.buf[:0]
	for i := range found {
		line, err := json.Marshal(clickOut(&found[i]), jsontext.AllowInvalidUTF8(true))
		if err != nil {
			return fmt.Errorf("write click %d as JSON: %w", found[i].ID, err)
		}
		s.buf = append(append(s.buf, line...), '\n')
	}
	s.left -= int64(len(found))
	if s.last = len(found) < s.query.Limit || s.left == 0; len(found) > 0 {
		s.query.After = found[len(found)-1].ID
	}
	return nil
}
