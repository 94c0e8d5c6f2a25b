package api

import (
	"errors"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/carom-dev/carom/engine"
)

// linkJSON is a link as the API gives it.
type linkJSON struct {
	ID             engine.LinkID `json:"id"`
	Code           string        `json:"code"`
	ShortURL       string        `json:"short_url"`
	URL            string        `json:"url"`
	Title          *string       `json:"title"`
	Active         bool          `json:"active"`
	RedirectStatus int           `json:"redirect_status"`
	ValidSince     *time.Time    `json:"valid_since"`
	ValidUntil     *time.Time    `json:"valid_until"`
	MaxVisits      *int64        `json:"max_visits"`
	ForwardQuery   bool          `json:"forward_query"`
	Clicks         int64         `json:"clicks"`
	Version        uint64        `json:"version"`
	CreatedAt      time.Time     `json:"created_at"`
	UpdatedAt      time.Time     `json:"updated_at"`
}

func linkOut(l *engine.Link, origin string) linkJSON {
	return linkJSON{
		ID: l.ID, Code: l.Code, ShortURL: origin + "/" + l.Code, URL: l.Target, Title: orNil(l.Title), Active: l.Active,
		RedirectStatus: l.RedirectStatus, ValidSince: timeOrNil(l.ValidSince), ValidUntil: timeOrNil(l.ValidUntil), MaxVisits: orNil(l.MaxVisits),
		ForwardQuery: l.ForwardQuery, Clicks: l.Clicks, Version: l.Version, CreatedAt: l.CreatedAt.UTC(), UpdatedAt: l.UpdatedAt.UTC(),
	}
}

func orNil[T comparable](v T) *T {
	if v == *new(T) {
		return nil
	}
	return &v
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return new(t.UTC())
}

func etag(l *engine.Link) string { return strconv.Quote(strconv.FormatUint(l.Version, 10)) }

const defaultRedirectStatus = 302

// newLink is a link with nothing said about it.
func newLink(domain engine.DomainID) engine.Link {
	return engine.Link{Domain: domain, Active: true, RedirectStatus: defaultRedirectStatus}
}

// linkFields are the members of a link that a client sets; they are taken into l. null unsets a member, but for the url, and
// for the code where codeMust says that there is one already.
func linkFields(l *engine.Link, codeMust bool) fields {
	code := takeString(&l.Code)
	if !codeMust {
		code = orNull(func() { l.Code = "" }, nonEmpty(code))
	}
	return fields{
		"url":             takeString(&l.Target),
		"code":            code,
		"title":           orNull(func() { l.Title = "" }, takeString(&l.Title)),
		"active":          orNull(func() { l.Active = true }, takeBool(&l.Active)),
		"redirect_status": orNull(func() { l.RedirectStatus = defaultRedirectStatus }, takeInt(&l.RedirectStatus, 1)),
		"valid_since":     orNull(func() { l.ValidSince = time.Time{} }, takeTime(&l.ValidSince)),
		"valid_until":     orNull(func() { l.ValidUntil = time.Time{} }, takeTime(&l.ValidUntil)),
		"max_visits":      orNull(func() { l.MaxVisits = 0 }, takeInt(&l.MaxVisits, 1)),
		"forward_query":   orNull(func() { l.ForwardQuery = false }, takeBool(&l.ForwardQuery)),
	}
}

// nonEmpty refuses the empty string, which is no code but also not the wish for a generated one.
func nonEmpty(take func(jsontext.Value) error) func(jsontext.Value) error {
	return func(v jsontext.Value) error {
		if fe, ok := errors.AsType[*engine.FieldError](engine.CheckCode("")); ok && string(v) == `""` {
			return errors.New(fe.Detail)
		}
		return take(v)
	}
}

// ignoring takes members without a look at them: those of a link that only the service sets, so that a PUT may send
// back what a GET gave.
func (f fields) ignoring(names ...string) fields {
	for _, name := range names {
		f[name] = func(jsontext.Value) error { return nil }
	}
	return f
}

// finish makes the target canonical and checks all fields of a link that was just decoded; code is left out of the check when
// it is still to be drawn. Every field that is wrong is told. stored is the target that the link has already: an edit that
// leaves it need not show that today's rules would still accept it.
func finish(l *engine.Link, targets engine.TargetPolicy, stored string) error {
	var wrong []engine.FieldError
	if l.Target == "" || l.Target != stored {
		canonical, err := targets.Canonical(l.Target)
		if fe, ok := errors.AsType[*engine.FieldError](err); ok {
			wrong = append(wrong, *fe)
		} else if err != nil {
			return err
		}
		l.Target = canonical
	}
	l.Normalize()
	checked := *l
	if checked.Code == "" {
		checked.Code = "generated"
	}
	if e, ok := errors.AsType[*engine.Error](checked.Check()); ok {
		wrong = append(wrong, e.Fields...)
	}
	if len(wrong) > 0 {
		return &engine.Error{Code: engine.CodeInvalid, Message: "the link has fields that are not accepted", Fields: wrong}
	}
	return nil
}
