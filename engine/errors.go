package engine

import (
	"errors"
	"fmt"
	"strings"
)

// ErrorCode is the kind of a failure that a caller can act on. The edge has one table from codes to statuses.
type ErrorCode string

// The kinds of failure.
const (
	CodeInvalid         ErrorCode = "invalid"          // a field's value is not accepted
	CodeMalformed       ErrorCode = "malformed"        // the request can't be read at all
	CodeUnauthenticated ErrorCode = "unauthenticated"  // no key, or one that is not known
	CodeForbidden       ErrorCode = "forbidden"        // the key lacks the scope
	CodeNotFound        ErrorCode = "not_found"        // no such thing
	CodeConflict        ErrorCode = "conflict"         // the code is taken
	CodePrecondition    ErrorCode = "precondition"     // the version has moved on
	CodeTooLarge        ErrorCode = "too_large"        // the body is over its limit
	CodeUnsupportedType ErrorCode = "unsupported_type" // the body's content type is not accepted
	CodeRateLimited     ErrorCode = "rate_limited"     // too many requests
	CodeUnavailable     ErrorCode = "unavailable"      // a part that is needed is away, or full; try again
	CodeInternal        ErrorCode = "internal"         // a fault of ours
)

// FieldErrorsMax are told of one request: a stranger's million wrong members are as much told by the first of them.
const FieldErrorsMax = 20

// Error is a failure with its kind, and a message that a client may read.
type Error struct {
	Code    ErrorCode
	Message string
	Fields  []FieldError // which fields, for CodeInvalid; about FieldErrorsMax at most
	Err     error        // the cause, for the log; may be nil
}

func (e *Error) Error() string {
	var msg strings.Builder
	msg.WriteString(e.Message)
	for _, f := range e.Fields {
		msg.WriteString("; " + f.Error())
	}
	if e.Err != nil {
		msg.WriteString(": " + e.Err.Error())
	}
	return msg.String()
}

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error with a formatted message.
func Errorf(code ErrorCode, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// FieldError says what is wrong with one field and what is accepted.
type FieldError struct {
	Field  string // the field's name as the API spells it
	Detail string // reads on after the name: "is empty; ..."
}

func (e *FieldError) Error() string { return e.Field + " " + e.Detail }

// ErrorCodeOf finds the kind of err: CodeInvalid for a FieldError, CodeInternal for what has none, "" for nil.
func ErrorCodeOf(err error) ErrorCode {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	if _, ok := errors.AsType[*FieldError](err); ok {
		return CodeInvalid
	}
	return CodeInternal
}

// Sentinels that rooms tell each other, each wrapped in what was attempted.
var (
	// ErrJournalFull: the click was not recorded, as the journal has reached its bound.
	ErrJournalFull = errors.New("click journal is full")
	// ErrJournalClosed: the click was not recorded, as the journal is closed or can't be written.
	ErrJournalClosed = errors.New("click journal is closed")
	// ErrNotDurable: the click was recorded, but not synced as the journal's setting promises.
	ErrNotDurable = errors.New("click is recorded but not synced")
	// ErrFenced: the store's checkpoint is not where this writer left it, so another process writes under this node's name.
	ErrFenced = errors.New("journal checkpoint was moved by another process")
)
