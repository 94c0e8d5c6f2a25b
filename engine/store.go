package engine

import (
	"context"
	"time"
)

// LinkLoader reads links for the published tables. Safe for concurrent use.
type LinkLoader interface {
	// LoadLinks reads the links of keys in one query and returns those that exist, in any order; a key that is not among the
	// results has no link. Title, times of creation and change, and clicks, which no table publishes, may be left out. The
	// context bounds the wait. An error says nothing about any key.
	LoadLinks(ctx context.Context, keys []Key) ([]Link, error)
}

// LinkStore keeps links and their history. Safe for concurrent use. Each mutation writes the link and its audit event in one
// transaction and returns the Change to announce. Errors carry an ErrorCode: CodeNotFound, CodeConflict, CodeInvalid,
// CodePrecondition; any other error means the store is away, and nothing was changed unless a commit's answer was lost.
type LinkStore interface {
	LinkLoader
	// CreateLink stores l (Domain, Code and the fields of an edit are read; ID, Version and times are set). CodeConflict when the
	// code is taken, also by an inactive link. idem may be nil; see Idempotency.
	CreateLink(ctx context.Context, l Link, by Author, idem *Idempotency) (Link, Change, error)
	// UpdateLink reads the link, lets edit change it, and stores the outcome as the next version. edit runs inside the
	// transaction, possibly more than once, must not touch the store, and its error is returned as it is. An edit that changes
	// nothing writes nothing and returns a Change with ID 0. What edit does to ID, Domain, Version, Clicks, CreatedAt and
	// UpdatedAt is ignored; a changed Code is CodeInvalid, as a code belongs to its link for ever.
	UpdateLink(ctx context.Context, id LinkID, action AuditAction, by Author, edit func(*Link) error) (Link, Change, error)
	// Link reads one link, its click count included.
	Link(ctx context.Context, id LinkID) (Link, error)
	// ListLinks reads a page. It never counts all rows unless q.Total is set.
	ListLinks(ctx context.Context, q LinkQuery) (LinkPage, error)
	// LinkAudit reads the link's events after the given one, oldest first; CodeNotFound without such a link.
	LinkAudit(ctx context.Context, id LinkID, after AuditID, limit int) ([]AuditEvent, error)
	// ImportLinks stores a batch in one transaction, one result a link in the same order. A batch with the same code twice
	// treats the second as a conflict with the first.
	ImportLinks(ctx context.Context, links []Link, conflict OnConflict, by Author) ([]ImportResult, error)
	// ChangesSince reads the change log after the given event, in its order. An event is never seen after a later one was.
	ChangesSince(ctx context.Context, after AuditID, limit int) ([]Change, error)
	// LastChange is the position of the change log's end.
	LastChange(ctx context.Context) (AuditID, error)
}

// Idempotency makes a repeated creation return the first one's link. Kept for IdempotencyTTL. A Key that was used by the same
// author with another Digest is CodeInvalid. A repeat returns a Change with ID 0.
type Idempotency struct {
	Key    string
	Digest [32]byte // SHA-256 of what was asked
}

// IdempotencyTTL is how long a repeat is recognised.
const IdempotencyTTL = 24 * time.Hour

// OnConflict says what an import does with a code that is taken.
type OnConflict uint8

// The choices. A link that is the same already is ImportUnchanged under each of them.
const (
	ConflictSkip OnConflict = iota
	ConflictOverwrite
	ConflictError // the link is reported as ImportConflict, and nothing of its batch is stored
)

// ImportResult is what became of one link of an import.
type ImportResult struct {
	Outcome ImportOutcome
	ID      LinkID
	Change  Change // ID 0 when nothing was written
}

// ImportOutcome tells what an import did with one link.
type ImportOutcome uint8

// The outcomes.
const (
	ImportCreated ImportOutcome = iota
	ImportUpdated
	ImportUnchanged // the same link was there
	ImportSkipped   // another link has the code, and ConflictSkip was asked
	ImportConflict  // another link has the code, and ConflictError was asked
)

// LinkSort is the order of a list. Ties are broken by id.
type LinkSort string

// The orders; a minus sign means descending.
const (
	SortNewest  LinkSort = "-created_at" // the default
	SortOldest  LinkSort = "created_at"
	SortCode    LinkSort = "code"
	SortUpdated LinkSort = "-updated_at"
)

// LinkQuery asks for a page of links.
type LinkQuery struct {
	Domain DomainID
	Code   string // exact; "" for any
	Search string // a part of the target or title, without case; "" for any
	Active *bool
	Sort   LinkSort
	After  *LinkCursor // nil: from the start
	Limit  int         // 1 to 1000
	Total  bool        // count all matches too, which reads them all
}

// LinkCursor is the last link of the page before, by its sort field and id.
type LinkCursor struct {
	Sort LinkSort
	Time time.Time // for the orders by time
	Code string    // for SortCode
	ID   LinkID
}

// LinkPage is a page of links.
type LinkPage struct {
	Links []Link
	More  bool  // there are links behind the last one
	Total int64 // only when asked for
}

// KeyStore keeps API keys. Safe for concurrent use.
type KeyStore interface {
	// CreateKey stores the key and sets its ID. A hash that is there already is CodeConflict.
	CreateKey(ctx context.Context, k APIKey) (APIKey, error)
	// KeyByHash finds a key, revoked and expired ones too; CodeNotFound when there is none.
	KeyByHash(ctx context.Context, hash [32]byte) (APIKey, error)
	// ListKeys reads all keys, oldest first.
	ListKeys(ctx context.Context) ([]APIKey, error)
	// RevokeKey ends a key; doing it again changes nothing. CodeNotFound when there is none.
	RevokeKey(ctx context.Context, id KeyID, at time.Time) (APIKey, error)
	// TouchKey notes a use.
	TouchKey(ctx context.Context, id KeyID, at time.Time) error
}

// ClickStore takes batches of clicks, exactly once, and keeps the visit budgets that clicks use up. Safe for concurrent use;
// one writer a node.
type ClickStore interface {
	// Checkpoints reads how far each of the node's lanes is stored; lanes that are not there stand at 0.
	Checkpoints(ctx context.Context, node NodeID) (map[int]Position, error)
	// WriteClicks stores clicks, rollups, totals, used visits and the moved checkpoints in one durable transaction. ErrFenced
	// (wrapped) when a lane does not stand at its From: nothing was stored. After any other error it is not known whether the
	// batch was stored: read Checkpoints. A RejectedError says that the store refused the content of a click.
	WriteClicks(ctx context.Context, b *ClickBatch) error
	// LeaseVisits takes visits out of the link's remaining budget for the node: need of them, for visitors who wait, as far as there
	// are so many, and up to want where that leaves enough for other nodes. CodeNotFound when the link is gone or has no budget.
	LeaseVisits(ctx context.Context, node NodeID, link LinkID, need, want int64) (VisitLease, error)
	// ReturnVisits gives n leased visits back that were not and will not be used.
	ReturnVisits(ctx context.Context, node NodeID, link LinkID, n int64) error
	// ReclaimVisits gives back all of the node's leases but what its stored clicks used. Only for a node whose journal is
	// wholly stored and which holds no lease: after a start, before the first LeaseVisits. After an error some may have been given back.
	ReclaimVisits(ctx context.Context, node NodeID) error
	// VisitorSalt is the secret for the visitor ids of one UTC day, made at the first call by anybody. Salts of days more than
	// two days before day are deleted for good.
	VisitorSalt(ctx context.Context, day time.Time) ([16]byte, error)
}

// VisitLease is what a node got out of a link's visit budget.
type VisitLease struct {
	Visits    int64 // 0: nothing is left to lease
	Elsewhere bool  // with 0 Visits: other nodes hold some; whether those are used is not known
}

// RejectedError says that the store refuses what a batch contains, so that trying again can't help.
type RejectedError struct{ Err error }

func (e *RejectedError) Error() string { return "store refuses a click: " + e.Err.Error() }

func (e *RejectedError) Unwrap() error { return e.Err }

// ClickReader reads stored clicks and their rollups. Safe for concurrent use.
type ClickReader interface {
	// Clicks reads stored clicks in the order they were stored; within a batch only those of one link are in order. CodeNotFound when q.Link
	// is set and does not exist.
	Clicks(ctx context.Context, q ClickQuery) ([]StoredClick, error)
	// Stats reads totals and a series from the rollups; CodeNotFound when the link does not exist.
	Stats(ctx context.Context, q StatsQuery) (Stats, error)
}

// Sealer makes figures of the past cheap to read. Safe for concurrent use, also by several instances.
type Sealer interface {
	// SealDays adds the hours of days before until (the start of a UTC day) up to days and months, for each link with at least so many clicks
	// outside its sealed days. It changes no figure, also when clicks of a sealed day come later. To be called every hour or so.
	SealDays(ctx context.Context, until time.Time, least int64) error
}

// ClickID numbers stored clicks, increasing in the order in which readers may see them.
type ClickID int64

// StoredClick is a click with its number and its link's code.
type StoredClick struct {
	ID   ClickID
	Code string
	Click
}

// ClickQuery asks for stored clicks.
type ClickQuery struct {
	Link     LinkID // 0: of all links
	After    ClickID
	From, To time.Time // zero: open; To is exclusive
	Limit    int       // 1 to 10000
}

// StatsQuery asks for a link's figures.
type StatsQuery struct {
	Link      LinkID
	From, To  time.Time // whole hours, UTC; To is exclusive; both zero: since ever
	Daily     bool      // a series of UTC days instead of hours
	Referrers int       // how many referrer hosts at most
}

// Stats are a link's figures in a range of time.
type Stats struct {
	Clicks    int64 // all
	Visits    int64 // without HEAD and prefetch
	Series    []StatsPoint
	Referrers []StatsValue // most clicks first, then by value
}

// StatsPoint is one hour's or day's clicks; those without any are left out.
type StatsPoint struct {
	Start  time.Time
	Clicks int64
}

// StatsValue is the clicks of one value, such as a referrer's host.
type StatsValue struct {
	Value  string
	Clicks int64
}

// Store is all that a database does for Carom.
type Store interface {
	LinkStore
	KeyStore
	ClickStore
	ClickReader
	Sealer
	// Ping asks the database for an answer; it is what health shows.
	Ping(ctx context.Context) error
	// Close ends it; calls under way return errors.
	Close() error
}
