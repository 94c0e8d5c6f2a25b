// Package storetest is the conformance suite that every engine.Store passes, so that no two can drift apart.
package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/carom-dev/carom/engine"
)

// rule is one sentence that a store must obey, and what proves it.
type rule struct {
	name  string
	prove func(t *testing.T, s engine.Store)
}

// Run proves every rule on a store of its own. open returns an empty store and sees to its end; the suite may close it too.
func Run(t *testing.T, open func(t *testing.T) engine.Store) {
	for _, group := range []struct {
		name  string
		rules []rule
	}{
		{"Links", linkRules()},
		{"Idempotency", idempotencyRules()},
		{"Lists", listRules()},
		{"History", historyRules()},
		{"Imports", importRules()},
		{"Keys", keyRules()},
		{"Clicks", clickRules()},
		{"Checkpoints", checkpointRules()},
		{"Stats", statsRules()},
		{"Visits", visitRules()},
		{"Salts", saltRules()},
		{"Life", lifeRules()},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, r := range group.rules {
				t.Run(r.name, func(t *testing.T) { r.prove(t, open(t)) })
			}
		})
	}
}

func lifeRules() []rule {
	return []rule{
		{"a store that answers says so", func(t *testing.T, s engine.Store) {
			must(t, s.Ping(t.Context()))
		}},
		{"a cancelled context is a plain error and changes nothing", func(t *testing.T, s engine.Store) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			for name, err := range callAll(ctx, s) {
				wantPlain(t, name, err)
			}
			if last := lastChange(t, s); last != 0 {
				t.Errorf("LastChange() = %d after calls that were cancelled, want 0", last)
			}
		}},
		{"a closed store returns plain errors", func(t *testing.T, s engine.Store) {
			must(t, s.Close())
			for name, err := range callAll(t.Context(), s) {
				wantPlain(t, name, err)
			}
		}},
		{"closing twice is fine", func(t *testing.T, s engine.Store) {
			must(t, s.Close())
			must(t, s.Close())
		}},
	}
}

// callAll calls each method once.
func callAll(ctx context.Context, s engine.Store) map[string]error {
	errs := map[string]error{"Ping": s.Ping(ctx)}
	_, errs["LoadLinks of one"] = s.LoadLinks(ctx, []engine.Key{key("a")})
	_, errs["LoadLinks"] = s.LoadLinks(ctx, []engine.Key{key("a"), key("b")})
	_, _, errs["CreateLink"] = s.CreateLink(ctx, link("a"), author(0), nil)
	_, _, errs["UpdateLink"] = s.UpdateLink(ctx, 1, engine.ActionUpdated, author(0), func(*engine.Link) error { return nil })
	_, errs["Link"] = s.Link(ctx, 1)
	_, errs["ListLinks"] = s.ListLinks(ctx, engine.LinkQuery{Domain: engine.DefaultDomain, Limit: 1, Total: true})
	_, errs["LinkAudit"] = s.LinkAudit(ctx, 1, 0, 1)
	_, errs["ImportLinks"] = s.ImportLinks(ctx, []engine.Link{link("a")}, engine.ConflictSkip, author(0))
	_, errs["ChangesSince"] = s.ChangesSince(ctx, 0, 1)
	_, errs["LastChange"] = s.LastChange(ctx)
	_, errs["CreateKey"] = s.CreateKey(ctx, apiKey("a"))
	_, errs["KeyByHash"] = s.KeyByHash(ctx, apiKey("a").Hash)
	_, errs["ListKeys"] = s.ListKeys(ctx)
	_, errs["RevokeKey"] = s.RevokeKey(ctx, 1, epoch)
	errs["TouchKey"] = s.TouchKey(ctx, 1, epoch)
	_, errs["Checkpoints"] = s.Checkpoints(ctx, nodeA)
	errs["WriteClicks"] = s.WriteClicks(ctx, batch(nodeA, 0, 0, 1, click(1, 0)))
	_, errs["LeaseVisits"] = s.LeaseVisits(ctx, nodeA, 1, 1, 1)
	errs["ReturnVisits"] = s.ReturnVisits(ctx, nodeA, 1, 1)
	errs["ReclaimVisits"] = s.ReclaimVisits(ctx, nodeA)
	_, errs["VisitorSalt"] = s.VisitorSalt(ctx, epoch)
	_, errs["Clicks"] = s.Clicks(ctx, engine.ClickQuery{Limit: 1})
	_, errs["Stats"] = s.Stats(ctx, engine.StatsQuery{Link: 1})
	errs["SealDays"] = s.SealDays(ctx, epoch, 1)
	return errs
}

// wantPlain wants an error that carries no ErrorCode: the store is away.
func wantPlain(t *testing.T, call string, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s = nil, want an error", call)
	}
	if e, ok := errors.AsType[*engine.Error](err); ok {
		t.Errorf("%s = %v with code %q, want a plain error", call, err, e.Code)
	}
}

// The fixtures. All times are counted from epoch, the start of a UTC day.
const (
	nodeA engine.NodeID = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	nodeB engine.NodeID = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

var epoch = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func key(code string) engine.Key { return engine.Key{Domain: engine.DefaultDomain, Code: code} }

func link(code string) engine.Link {
	return engine.Link{
		Domain: engine.DefaultDomain, Code: code, Target: "https://example.com/" + code, Title: "The link " + code, Active: true, RedirectStatus: 302,
	}
}

func author(after time.Duration) engine.Author {
	return engine.Author{Key: 7, RequestID: "request-1", Origin: nodeA, At: epoch.Add(after)}
}

func create(t *testing.T, s engine.Store, l engine.Link) engine.Link {
	t.Helper()
	stored, _, err := s.CreateLink(t.Context(), l, author(0), nil)
	must(t, err)
	return stored
}

func update(t *testing.T, s engine.Store, id engine.LinkID, edit func(*engine.Link)) engine.Link {
	t.Helper()
	stored, _, err := s.UpdateLink(t.Context(), id, engine.ActionUpdated, author(time.Hour), func(l *engine.Link) error {
		edit(l)
		return nil
	})
	must(t, err)
	return stored
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func lastChange(t *testing.T, s engine.Store) engine.AuditID {
	t.Helper()
	last, err := s.LastChange(t.Context())
	must(t, err)
	return last
}

func wantCode(t *testing.T, call string, err error, want engine.ErrorCode) {
	t.Helper()
	if _, ok := errors.AsType[*engine.Error](err); !ok || engine.ErrorCodeOf(err) != want {
		t.Errorf("%s = %v, want an error with code %q", call, err, want)
	}
}
