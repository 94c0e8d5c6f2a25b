package engine

// Outcome is what a request for a code comes to.
type Outcome uint8

// The outcomes. Only OutcomeRedirect is recorded as a click.
const (
	OutcomeRedirect    Outcome = iota // answer with the target
	OutcomeNotFound                   // no such code, or not valid yet: 404
	OutcomeInactive                   // switched off: 410
	OutcomeExpired                    // past valid_until: 410
	OutcomeExhausted                  // its visits are used up: 410
	OutcomeUnavailable                // not known here and the store is away or too slow: 503
	OutcomeShed                       // not known here and too many are asking: 503
)

// String is the outcome's name in metrics and logs.
func (o Outcome) String() string {
	if int(o) >= len(outcomeNames) {
		return "unknown"
	}
	return outcomeNames[o]
}

var outcomeNames = [...]string{"redirect", "not_found", "inactive", "expired", "exhausted", "unavailable", "shed"}

// Outcomes lists every outcome, for metrics.
func Outcomes() []Outcome {
	all := make([]Outcome, len(outcomeNames))
	for i := range all {
		all[i] = Outcome(i)
	}
	return all
}

// Visit is how a request counts against a visit budget.
type Visit uint8

// The kinds of visit.
const (
	VisitCounted Visit = iota // a GET by a person: uses up one visit
	VisitFree                 // HEAD or a prefetch: recorded with its flag, uses up none
)

// Conditions are the rules of a link that need nothing but a clock. Times are Unix microseconds UTC; 0 is unset.
type Conditions struct {
	Inactive bool
	Since    int64
	Until    int64
}

// Outcome applies the conditions at now (Unix microseconds). A link that is not valid yet does not exist for a visitor.
func (c Conditions) Outcome(now int64) Outcome {
	switch {
	case c.Inactive:
		return OutcomeInactive
	case c.Until != 0 && now >= c.Until:
		return OutcomeExpired
	case c.Since != 0 && now < c.Since:
		return OutcomeNotFound
	}
	return OutcomeRedirect
}

// ConditionsOf takes the conditions from a link.
func ConditionsOf(l *Link) Conditions {
	c := Conditions{Inactive: !l.Active}
	if !l.ValidSince.IsZero() {
		c.Since = l.ValidSince.UnixMicro()
	}
	if !l.ValidUntil.IsZero() {
		c.Until = l.ValidUntil.UnixMicro()
	}
	return c
}

// Resolution is the answer to "what does this code stand for, now". A value; nothing in it needs to be given back, but
// a budgeted visit that was not served (see Resolver.Refund).
type Resolution struct {
	Outcome      Outcome
	Status       uint16 // of the redirect
	ForwardQuery bool
	Budgeted     bool // a visit was taken from the link's budget
	Shard        int  // whose lane takes the click
	Hash         uint64
	Link         LinkID
	Target       []byte // immutable bytes, valid for as long as they are held; never write to them
}

// Resolver answers what codes stand for. Safe for concurrent use.
type Resolver interface {
	// Lookup answers from what is published, without lock, message or I/O. ok is false when the code must be loaded first;
	// the resolution then has only Shard and Hash. now is Unix microseconds. code is not retained.
	Lookup(domain DomainID, code []byte, now int64, visit Visit) (r Resolution, ok bool)
	// Load asks the shard that owns the code, which asks the store, and waits for a bounded time. miss is what Lookup
	// returned. code is copied.
	Load(miss Resolution, domain DomainID, code []byte, now int64, visit Visit) Resolution
	// Refund gives back the visit that r took, for a visitor who was not served.
	Refund(r Resolution)
}
