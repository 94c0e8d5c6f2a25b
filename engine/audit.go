package engine

import "time"

// AuditID numbers the audit events in the order in which they were committed: it is also the position in the change log.
type AuditID int64

// AuditAction is what was done to a link.
type AuditAction string

// The actions.
const (
	ActionCreated     AuditAction = "created"
	ActionUpdated     AuditAction = "updated"
	ActionDeactivated AuditAction = "deactivated"
	ActionImported    AuditAction = "imported"
)

// Author says who makes a change: an API key, or the zero key for the command line.
type Author struct {
	Key       KeyID
	RequestID string
	Origin    NodeID // the instance that takes the change
	At        time.Time
}

// AuditEvent is one change of a link. Never altered, never deleted.
type AuditEvent struct {
	ID        AuditID
	Link      LinkID
	Action    AuditAction
	Key       KeyID
	RequestID string
	Before    *LinkState // nil for a link that was made
	After     *LinkState
	At        time.Time
}

// LinkState is the part of a link that changes by edits, in the form the audit trail keeps for ever.
type LinkState struct {
	Code           string     `json:"code"`
	Target         string     `json:"url"`
	Title          string     `json:"title,omitempty"`
	Active         bool       `json:"active"`
	RedirectStatus int        `json:"redirect_status"`
	ValidSince     *time.Time `json:"valid_since"`
	ValidUntil     *time.Time `json:"valid_until"`
	MaxVisits      *int64     `json:"max_visits"`
	ForwardQuery   bool       `json:"forward_query"`
	Version        uint64     `json:"version"`
}

// State takes the audited part of the link.
func (l *Link) State() *LinkState {
	s := &LinkState{
		Code: l.Code, Target: l.Target, Title: l.Title, Active: l.Active, RedirectStatus: l.RedirectStatus,
		ForwardQuery: l.ForwardQuery, Version: l.Version,
	}
	if !l.ValidSince.IsZero() {
		s.ValidSince = new(l.ValidSince)
	}
	if !l.ValidUntil.IsZero() {
		s.ValidUntil = new(l.ValidUntil)
	}
	if l.MaxVisits != 0 {
		s.MaxVisits = new(l.MaxVisits)
	}
	return s
}

// Same reports whether two links say the same to a visitor and to a client, leaving aside identity, counts, version and
// times of change. It is how an import finds that it has nothing to do.
func (l *Link) Same(o *Link) bool {
	return l.Code == o.Code && l.Target == o.Target && l.Title == o.Title && l.Active == o.Active && l.RedirectStatus == o.RedirectStatus &&
		l.ValidSince.Equal(o.ValidSince) && l.ValidUntil.Equal(o.ValidUntil) && l.MaxVisits == o.MaxVisits && l.ForwardQuery == o.ForwardQuery
}

// Change tells that a link has a new version. It is a hint to read again, never the truth itself.
type Change struct {
	ID      AuditID // its place in the change log
	Link    LinkID
	Key     Key
	Version uint64
	Origin  NodeID // who took the edit
	At      int64  // when, Unix microseconds; 0: not known, as of what the bus tells
}

// Propagation is how far an edit had got when it was answered.
type Propagation struct {
	Applied int // instances that have confirmed it, this one included
	Live    int // instances known to be alive
}
