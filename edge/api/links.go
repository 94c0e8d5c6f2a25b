package api

import (
	"crypto/sha256"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/valyala/fasthttp"

	"github.com/carom-dev/carom/edge/wire"
	"github.com/carom-dev/carom/engine"
)

// shorten makes one link, or many of an NDJSON body.
func (a *API) shorten(r *request) error {
	mediaType, err := r.bodyType(typeJSON, typeNDJSON)
	if err != nil {
		return err
	}
	if mediaType == typeNDJSON {
		return a.shortenMany(r)
	}
	if err := r.noQuery(); err != nil {
		return err
	}
	body := r.ctx.PostBody()
	l := newLink(a.cfg.Domain)
	if err := decode(body, linkFields(&l, false)); err != nil {
		return err
	}
	if err := finish(&l, r.targets(), ""); err != nil {
		return err
	}
	idem, err := r.idempotency(body)
	if err != nil {
		return err
	}
	made, change, err := a.create(r, l, idem)
	if err != nil {
		return err
	}
	// A repeat answers as the first time did; its change was announced then, and announcing again tells how far it has got.
	r.announce(made, change)
	if change.ID == 0 {
		r.ctx.Response.Header.Set("Idempotency-Replayed", "true")
	}
	r.ctx.Response.Header.Set("Location", r.origin()+"/urls/"+strconv.FormatInt(int64(made.ID), 10))
	return r.answerLink(fasthttp.StatusCreated, &made)
}

// create stores l; a code that was drawn here and is taken is drawn again.
func (a *API) create(r *request, l engine.Link, idem *engine.Idempotency) (engine.Link, engine.Change, error) {
	ctx, cancel := r.store()
	defer cancel()
	drawn := l.Code == ""
	for try := 1; ; try++ {
		if drawn {
			code, err := engine.NewCode(nil)
			if err != nil {
				return engine.Link{}, engine.Change{}, err
			}
			l.Code = code
		}
		made, change, err := a.cfg.Links.CreateLink(ctx, l, r.author(), idem)
		if drawn && try < newCodeTries && engine.ErrorCodeOf(err) == engine.CodeConflict {
			continue
		}
		return made, change, away(err)
	}
}

const idempotencyKeyMax = 255

// idempotency reads the Idempotency-Key; nil without one. What was asked is compared by meaning: the order of members and
// white space do not matter.
func (r *request) idempotency(body []byte) (*engine.Idempotency, error) {
	key := wire.Header(r.ctx, "idempotency-key")
	if key == "" {
		return nil, nil
	}
	if len(key) > idempotencyKeyMax || strings.ContainsFunc(key, func(c rune) bool { return c < ' ' || c > '~' }) {
		return nil, &engine.FieldError{Field: "Idempotency-Key", Detail: "is not accepted; give 1 to 255 printable ASCII characters"}
	}
	canonical := jsontext.Value(slices.Clone(body))
	if err := canonical.Canonicalize(); err != nil {
		return nil, malformed(err)
	}
	return &engine.Idempotency{Key: key, Digest: sha256.Sum256(canonical)}, nil
}

// announce tells the shards of a change and the client how far it has got.
func (r *request) announce(l engine.Link, c engine.Change) {
	ctx, cancel := r.store()
	defer cancel()
	r.propagated(r.api.cfg.Announcer.Announce(ctx, l, c))
}

func (r *request) answerLink(status int, l *engine.Link) error {
	r.ctx.Response.Header.Set("ETag", etag(l))
	return r.answer(status, linkOut(l, r.origin()))
}

func (a *API) getLink(r *request) error {
	id, err := r.pathID("link")
	if err != nil {
		return err
	}
	if err := r.noQuery(); err != nil {
		return err
	}
	ctx, cancel := r.store()
	defer cancel()
	l, err := a.cfg.Links.Link(ctx, engine.LinkID(id))
	if err != nil {
		return away(err)
	}
	// The click count is no part of the version: whoever asks conditionally asks about the link.
	if match := wire.HeaderList(r.ctx, "if-none-match"); match != "" && matches(match, &l, true) {
		r.ctx.Response.Header.Set("ETag", etag(&l))
		r.ctx.Response.SetStatusCode(fasthttp.StatusNotModified)
		return nil
	}
	return r.answerLink(fasthttp.StatusOK, &l)
}

// matches compares a list of entity tags with the link's; weak says whether W/ tags count.
func matches(list string, l *engine.Link, weak bool) bool { return matchesTag(list, etag(l), weak) }

func matchesTag(list, tag string, weak bool) bool {
	for part := range strings.SplitSeq(list, ",") {
		part = strings.TrimSpace(part)
		if weak {
			part = strings.TrimPrefix(part, "W/")
		}
		if part == tag || part == "*" {
			return true
		}
	}
	return false
}

// putLink replaces a link: what is left out gets its default, but for the code, by which people know the link.
func (a *API) putLink(r *request) error {
	mediaType := []string{typeJSON}
	return a.edit(r, mediaType, engine.ActionUpdated, func(l *engine.Link, body []byte) error {
		fresh := newLink(l.Domain)
		fresh.Code = l.Code
		readOnly := []string{"id", "short_url", "clicks", "version", "created_at", "updated_at"}
		if err := decode(body, linkFields(&fresh, true).ignoring(readOnly...)); err != nil {
			return err
		}
		l.Code, l.Target, l.Title, l.Active, l.RedirectStatus = fresh.Code, fresh.Target, fresh.Title, fresh.Active, fresh.RedirectStatus
		l.ValidSince, l.ValidUntil, l.MaxVisits, l.ForwardQuery = fresh.ValidSince, fresh.ValidUntil, fresh.MaxVisits, fresh.ForwardQuery
		return nil
	})
}

// patchLink applies a JSON merge patch (RFC 7396).
func (a *API) patchLink(r *request) error {
	return a.edit(r, []string{typePatch, typeJSON}, engine.ActionUpdated, func(l *engine.Link, body []byte) error {
		return decode(body, linkFields(l, true))
	})
}

// deactivateLink switches a link off; its row, clicks and history stay.
func (a *API) deactivateLink(r *request) error {
	return a.edit(r, nil, engine.ActionDeactivated, func(l *engine.Link, _ []byte) error {
		l.Active = false
		return nil
	})
}

// edit changes a link within the store's transaction. Without accepted types it takes no body and answers none.
func (a *API) edit(r *request, accepted []string, action engine.AuditAction, change func(*engine.Link, []byte) error) error {
	id, err := r.pathID("link")
	if err != nil {
		return err
	}
	if err := r.noQuery(); err != nil {
		return err
	}
	if accepted != nil {
		if _, err := r.bodyType(accepted...); err != nil {
			return err
		}
	}
	body, targets, match := r.ctx.PostBody(), r.targets(), wire.HeaderList(r.ctx, "if-match")
	ctx, cancel := r.store()
	defer cancel()
	after, changed, err := a.cfg.Links.UpdateLink(ctx, engine.LinkID(id), action, r.author(), func(l *engine.Link) error {
		before := *l
		if match != "" && !matches(match, l, false) {
			return engine.Errorf(engine.CodePrecondition, "the link has version %d, and If-Match names another; read it again", l.Version)
		}
		if err := change(l, body); err != nil {
			return err
		}
		if accepted == nil {
			return nil // what is switched off need not pass today's rules
		}
		return finish(l, targets, before.Target)
	})
	if err != nil {
		return away(err)
	}
	r.announce(after, changed)
	if accepted == nil {
		r.ctx.Response.Header.Set("ETag", etag(&after))
		r.ctx.Response.SetStatusCode(fasthttp.StatusNoContent)
		return nil
	}
	return r.answerLink(fasthttp.StatusOK, &after)
}
