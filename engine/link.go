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

// Normalize brings the times to UTC and microseconds, the precision that every store keeps.
func (l *Link) Normalize() {
	for _, t := range []*time.Time{&l.ValidSince, &l.ValidUntil, &l.CreatedAt, &l.UpdatedAt} {
		if !t.IsZero() {
			*t = t.UTC().Truncate(time.Microsecond)
		}
	}
}
