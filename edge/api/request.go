package api

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/valyala/fasthttp"

	"github.com/carom-dev/carom/edge/wire"
	"github.com/carom-dev/carom/engine"
)

// request is one management request. It lives in its handler only.
type request struct {
	api  *API
	ctx  *fasthttp.RequestCtx
	id   string
	now  time.Time
	addr engine.TruncatedAddr
	key  engine.APIKey // the zero key without one

	trace   context.Context // carries the span, for the calls that the request makes; nothing ends it
	traceID string          // the caller's, or that of the request's own span; "": it has none
}

// serve is what all routes have in common: the request id, who asks, how often, and the answer to an error.
func (a *API) serve(ctx *fasthttp.RequestCtx, rt *route) {
	start := time.Now()
	r := &request{api: a, ctx: ctx, now: a.cfg.Now(), addr: engine.TruncateAddr(a.clients.Addr(ctx))}
	given := []byte(wire.Header(ctx, "x-request-id"))
	r.id = string(a.ids.Append(nil, ctx, given))
	wire.SetSecurityHeaders(&ctx.Response.Header)
	ctx.Response.Header.Set("Cache-Control", "private, no-cache")

	span := r.startSpan(rt)
	err := r.admit(rt)
	if err == nil {
		err = rt.endpoint(r)
	}
	if err != nil {
		p := wire.ProblemOf(err)
		p.RequestID = r.id
		if errors.Is(err, errWrongMethod) {
			p.Status, p.Code = fasthttp.StatusMethodNotAllowed, "method_not_allowed"
			p.Title = fasthttp.StatusMessage(p.Status)
		}
		wire.WriteProblem(ctx, p)
	}
	ctx.Response.Header.Set("X-Request-ID", r.id)
	status, took := ctx.Response.StatusCode(), time.Since(start)
	a.answers[min(status/100, 5)].Add(1)
	rt.figures.count(status, took)
	if a.cfg.Took != nil && !rt.quiet {
		a.cfg.Took(rt.name()+" "+rt.path, took)
	}
	if span != nil {
		endSpan(span, status, err)
	}
	a.log(r, rt, err, took)
}

// admit asks for the key and the limits. Whoever fails counts too, so that keys can't be guessed faster than requests made.
func (r *request) admit(rt *route) error {
	if rt.free || rt.open && r.ctx.UserValue(operatorValue{}) != nil {
		return nil
	}
	client := wire.ClientKey(r.addr)
	if rt.open {
		return r.api.limits.take(r, client, rt.write)
	}
	key, err := r.api.authenticate(r, client)
	if err != nil {
		if lerr := r.api.limits.take(r, client, false); lerr != nil {
			return lerr
		}
		return err
	}
	r.key = key
	if err := r.api.limits.take(r, keyClient(key.ID), rt.write); err != nil {
		return err
	}
	r.api.touch(r)
	if !key.Allows(rt.scope) {
		return engine.Errorf(engine.CodeForbidden, "the key lacks the scope %s; it has %s", rt.scope, joinScopes(key.Scopes))
	}
	return nil
}

func joinScopes(scopes []engine.Scope) string {
	var b strings.Builder
	for i, s := range scopes {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(s))
	}
	return b.String()
}

var errWrongMethod = &engine.Error{Code: engine.CodeInvalid, Message: "the path does not answer this method; Allow names those it does"}

func wrongMethod(r *request) error {
	// The router names OPTIONS wherever it names anything, and does not answer it.
	allow := strings.Split(string(r.ctx.Response.Header.Peek("Allow")), ", ")
	allow = slices.DeleteFunc(allow, func(method string) bool { return method == fasthttp.MethodOptions })
	r.ctx.Response.Header.Set("Allow", strings.Join(allow, ", "))
	return errWrongMethod
}

// log writes one line a request: never a secret, never a whole address. What anybody can cause without a key is throttled.
func (a *API) log(r *request, rt *route, err error, took time.Duration) {
	level := slog.LevelInfo
	status := r.ctx.Response.StatusCode()
	switch {
	case status >= fasthttp.StatusInternalServerError:
		level = slog.LevelError
	case rt.quiet:
		level = slog.LevelDebug
	}
	ctx := context.Background()
	if !a.cfg.Logger.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", string(r.ctx.Method())), slog.String("route", rt.path), slog.Int("status", status), slog.Duration("took", took),
		slog.String("request_id", r.id), slog.String("client", r.addr.String()),
	}
	if r.traceID != "" {
		attrs = append(attrs, slog.String("trace_id", r.traceID))
	}
	if r.key.ID != 0 {
		attrs = append(attrs, slog.String("key", r.key.Prefix))
	} else {
		ok, swallowed := a.logQuiet.Allow(r.now)
		if !ok {
			return
		}
		if swallowed > 0 {
			attrs = append(attrs, slog.Uint64("swallowed", swallowed))
		}
	}
	if err != nil {
		attrs = append(attrs, slog.String("err", err.Error()))
	}
	a.cfg.Logger.LogAttrs(ctx, level, "request", attrs...)
}

// store makes the context of a store call.
func (r *request) store() (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.trace, r.api.cfg.StoreTimeout)
}

// away turns a store's error without a kind into what it means: the store can't be reached.
func away(err error) error {
	if _, ok := errors.AsType[*engine.Error](err); ok || err == nil || engine.ErrorCodeOf(err) != engine.CodeInternal {
		return err
	}
	return &engine.Error{Code: engine.CodeUnavailable, Message: "the store is away; try again", Err: err}
}

// author is who makes a change.
func (r *request) author() engine.Author {
	return engine.Author{Key: r.key.ID, RequestID: r.id, Origin: r.api.cfg.Node, At: r.now.UTC().Truncate(time.Microsecond)}
}

// answer writes v as JSON.
func (r *request) answer(status int, v any) error {
	body, err := json.Marshal(v, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return &engine.Error{Code: engine.CodeInternal, Message: "the answer can't be written as JSON", Err: err}
	}
	r.ctx.Response.SetStatusCode(status)
	r.ctx.Response.Header.SetContentType("application/json")
	r.ctx.Response.SetBody(body)
	return nil
}

// propagated says how far a change has got.
func (r *request) propagated(p engine.Propagation) {
	r.ctx.Response.Header.Set("Carom-Propagation", strconv.Itoa(p.Applied)+"/"+strconv.Itoa(p.Live))
}

// pathID reads the {id} of the path.
func (r *request) pathID(what string) (int64, error) {
	text, _ := r.ctx.UserValue("id").(string)
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id <= 0 || strconv.FormatInt(id, 10) != text {
		return 0, engine.Errorf(engine.CodeNotFound, "there is no %s %.40q; ids are whole numbers from 1", what, text)
	}
	return id, nil
}

// origin is the scheme and host that short_url begins with.
func (r *request) origin() string {
	if r.api.baseURL != "" {
		return r.api.baseURL
	}
	scheme := "http"
	if r.ctx.IsTLS() || (r.api.clients.Trusts(wire.Peer(r.ctx)) && strings.EqualFold(wire.Header(r.ctx, "x-forwarded-proto"), "https")) {
		scheme = "https"
	}
	return scheme + "://" + string(r.ctx.Host())
}

// targets is the policy on targets; without a base URL the request's own host is one of ours.
func (r *request) targets() engine.TargetPolicy {
	policy := r.api.cfg.Targets
	if r.api.baseURL == "" {
		policy.OwnHosts = append(policy.OwnHosts[:len(policy.OwnHosts):len(policy.OwnHosts)], ownHost(string(r.ctx.Host())))
	}
	return policy
}

// ownHost brings a host to the form in which TargetPolicy compares: lower case, without a default port or a dot at the end.
func ownHost(host string) string {
	host = strings.ToLower(host)
	host = strings.TrimSuffix(strings.TrimSuffix(host, ":80"), ":443")
	return strings.TrimSuffix(host, ".")
}
