package engine

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// LinkID names a link for ever, also when its code or target changes. Positive; 0 is no link.
type LinkID int64

// TitleMaxLen is the longest title in bytes.
const TitleMaxLen = 512

// MaxVisitsMax is the largest visit budget; it fits every store's integer and JSON's exact range.
const MaxVisitsMax = 1 << 52

// Link is a code, where it leads, and under which conditions. A value: copy it freely.
type Link struct {
	ID             LinkID
	Domain         DomainID
	Code           string
	Target         string // canonical, see TargetPolicy.Canonical
	Title          string
	Active         bool
	RedirectStatus int       // 301, 302, 307 or 308
	ValidSince     time.Time // zero: from ever
	ValidUntil     time.Time // zero: for ever
	MaxVisits      int64     // 0: no bound
	ForwardQuery   bool      // the visitor's query is appended to the target's
	Clicks         int64     // recorded clicks that have reached the store; set by reads only
	Version        uint64    // 1 when created, one more with each change
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// Key is the link's name from outside.
func (l *Link) Key() Key { return Key{Domain: l.Domain, Code: l.Code} }

// ValidRedirectStatus reports whether a link may answer with status.
func ValidRedirectStatus(status int) bool {
	return status == 301 || status == 302 || status == 307 || status == 308
}

// Check says what is wrong with the fields a client sets, all of them at once, or nil. The target is checked where it is
// made canonical, by TargetPolicy.
func (l *Link) Check() error {
	var fields []FieldError
	add := func(field, format string, args ...any) {
		fields = append(fields, FieldError{Field: field, Detail: fmt.Sprintf(format, args...)})
	}
	if fe, ok := errors.AsType[*FieldError](CheckCode(l.Code)); ok {
		fields = append(fields, *fe)
	}
	if len(l.Title) > TitleMaxLen {
		add("title", "has %d bytes; at most %d are accepted", len(l.Title), TitleMaxLen)
	}
	if !utf8.ValidString(l.Title) || strings.ContainsFunc(l.Title, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		add("title", "has control characters or is not UTF-8")
	}
	if !ValidRedirectStatus(l.RedirectStatus) {
		add("redirect_status", "is %d; 301, 302, 307 and 308 are accepted", l.RedirectStatus)
	}
	if !l.ValidSince.IsZero() && !l.ValidUntil.IsZero() && !l.ValidUntil.After(l.ValidSince) {
		add("valid_until", "is not after valid_since")
	}
	for _, t := range []struct {
		field string
		at    time.Time
	}{{"valid_since", l.ValidSince}, {"valid_until", l.ValidUntil}} {
		if !t.at.IsZero() && (t.at.UnixMicro() <= 0 || t.at.Year() > 9999) {
			add(t.field, "is outside the years 1970 to 9999")
		}
	}
	if l.MaxVisits < 0 || l.MaxVisits > MaxVisitsMax {
		add("max_visits", "is %d; 1 to %d are accepted, null for no bound", l.MaxVisits, int64(MaxVisitsMax))
	}
	if len(fields) == 0 {
		return nil
	}
	return &Error{Code: CodeInvalid, Message: "the link has fields that are not accepted", Fields: fields}
}

// Created is l as it is when it has just been made, under id, at the time at.
func (l Link) Created(id LinkID, at time.Time) Link {
	l.Normalize()
	l.ID, l.Version, l.Clicks, l.CreatedAt, l.UpdatedAt = id, 1, 0, at, at
	return l
}

// Edited is l as edit leaves it: its next version, changed at the time at. changed is false, and l comes back as it is, when edit
// changes nothing that counts (see Same). What edit does to identity, counts, version and times is ignored; a changed code and
// fields that Check does not accept are errors, and edit's own error comes back as it is.
func (l Link) Edited(edit func(*Link) error, at time.Time) (next Link, changed bool, err error) {
	next = l
	if err := edit(&next); err != nil {
		return Link{}, false, err
	}
	next.Normalize()
	next.ID, next.Domain, next.Clicks, next.Version, next.CreatedAt, next.UpdatedAt = l.ID, l.Domain, l.Clicks, l.Version, l.CreatedAt, l.UpdatedAt
	if next.Code != l.Code {
		return Link{}, false, &Error{Code: CodeInvalid, Message: "the change is not accepted", Fields: []FieldError{
			{Field: "code", Detail: "can't be changed, as a code belongs to its link for ever; make another link"},
		}}
	}
	if next.Same(&l) {
		return l, false, nil
	}
	if err := next.Check(); err != nil {
		return Link{}, false, err
	}
	next.Version, next.UpdatedAt = l.Version+1, at
	return next, true, nil
}

// Normalize brings the times to UTC and microseconds, the precision that every store keeps.
func (l *Link) Normalize() {
	for _, t := range []*time.Time{&l.ValidSince, &l.ValidUntil, &l.CreatedAt, &l.UpdatedAt} {
		if !t.IsZero() {
			*t = t.UTC().Truncate(time.Microsecond)
		}
	}
}
