package api

import (
	"github.com/valyala/fasthttp"

	"github.com/carom-dev/carom/engine"
)

const (
	pageDefault = 100
	pageMax     = 1000
	searchMax   = 256
)

// page is a list as the API gives it.
type page[T any] struct {
	Data       []T     `json:"data"`
	NextCursor *string `json:"next_cursor"`
	Total      *int64  `json:"total,omitzero"`
}

// answerPage writes a page, with the way to the next one in its header too.
func answerPage[T any](r *request, p page[T]) error {
	if p.NextCursor != nil {
		args := fasthttp.AcquireArgs()
		defer fasthttp.ReleaseArgs(args)
		r.ctx.QueryArgs().CopyTo(args)
		args.Set("cursor", *p.NextCursor)
		r.ctx.Response.Header.Set("Link", "<"+r.origin()+string(r.ctx.URI().PathOriginal())+"?"+args.String()+`>; rel="next"`)
	}
	return r.answer(fasthttp.StatusOK, p)
}

func (a *API) listLinks(r *request) error {
	q := r.query("code", "search", "active", "sort", "limit", "cursor", "total")
	order := make([]string, 0, len(sorts()))
	for _, s := range sorts() {
		order = append(order, string(s))
	}
	lq := engine.LinkQuery{
		Domain: a.cfg.Domain, Code: q.text("code"), Search: q.text("search"), Active: q.boolean("active"),
		Sort: engine.LinkSort(q.oneOf("sort", order...)), Limit: q.number("limit", pageDefault, 1, pageMax),
	}
	if total := q.boolean("total"); total != nil {
		lq.Total = *total
	}
	if code, given := q.values["code"]; given && !engine.ValidCode([]byte(code)) {
		q.fail("code", "is not a code; 1 to 64 of A-Z a-z 0-9 _ - are accepted")
	}
	if len(lq.Search) > searchMax {
		q.fail("search", "is too long; at most 256 bytes are accepted")
	}
	if cursor, given := q.values["cursor"]; given {
		after, ok := parseLinkCursor(cursor, lq.Sort)
		if !ok {
			q.fail("cursor", errCursor)
		}
		lq.After = after
	}
	if err := q.err(); err != nil {
		return err
	}
	ctx, cancel := r.store()
	defer cancel()
	found, err := a.cfg.Links.ListLinks(ctx, lq)
	if err != nil {
		return away(err)
	}
	out := page[linkJSON]{Data: make([]linkJSON, len(found.Links))}
	origin := r.origin()
	for i := range found.Links {
		out.Data[i] = linkOut(&found.Links[i], origin)
	}
	if found.More && len(found.Links) > 0 {
		last := &found.Links[len(found.Links)-1]
		at := last.CreatedAt
		if lq.Sort == engine.SortUpdated {
			at = last.UpdatedAt
		}
		out.NextCursor = new(linkCursor(engine.LinkCursor{Sort: lq.Sort, Time: at, Code: last.Code, ID: last.ID}))
	}
	if lq.Total {
		out.Total = &found.Total
	}
	return answerPage(r, out)
}
