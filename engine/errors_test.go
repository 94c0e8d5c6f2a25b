package engine_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/carom-dev/carom/engine"
)

func TestErrorCodeOf(t *testing.T) {
	conflict := engine.Errorf(engine.CodeConflict, "code %q is taken", "x")
	field := &engine.FieldError{Field: "url", Detail: "is empty"}
	for _, tt := range []struct {
		name string
		err  error
		want engine.ErrorCode
	}{
		{"nil", nil, ""},
		{"an Error", conflict, engine.CodeConflict},
		{"a wrapped Error", fmt.Errorf("create link: %w", conflict), engine.CodeConflict},
		{"an Error joined with others", errors.Join(io.EOF, conflict), engine.CodeConflict},
		{"a FieldError", field, engine.CodeInvalid},
		{"a wrapped FieldError", fmt.Errorf("read link: %w", field), engine.CodeInvalid},
		{"an Error that wraps a FieldError", &engine.Error{Code: engine.CodeMalformed, Err: field}, engine.CodeMalformed},
		{"any other", io.EOF, engine.CodeInternal},
		{"a sentinel", engine.ErrJournalFull, engine.CodeInternal},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := engine.ErrorCodeOf(tt.err); got != tt.want {
				t.Errorf("ErrorCodeOf(%v) = %q, want %q", tt.err, got, tt.want)
			}
		})
	}
}

func TestErrorTellsMessageFieldsAndCause(t *testing.T) {
	err := &engine.Error{
		Code: engine.CodeInvalid, Message: "the link is not accepted", Err: io.ErrUnexpectedEOF,
		Fields: []engine.FieldError{{Field: "url", Detail: "is empty"}, {Field: "code", Detail: "is reserved"}},
	}
	if got, want := err.Error(), "the link is not accepted; url is empty; code is reserved: unexpected EOF"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error("the cause can't be found")
	}
	if got := engine.Errorf(engine.CodeNotFound, "no link %d", 7); got.Error() != "no link 7" || errors.Unwrap(got) != nil {
		t.Errorf("Errorf = %v, want its message alone", got)
	}
}

func TestRejectedErrorKeepsItsCause(t *testing.T) {
	err := fmt.Errorf("write clicks: %w", &engine.RejectedError{Err: io.EOF})
	if _, ok := errors.AsType[*engine.RejectedError](err); !ok || !errors.Is(err, io.EOF) {
		t.Errorf("%v: want a RejectedError with its cause", err)
	}
	if want := "write clicks: store refuses a click: EOF"; err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
}
