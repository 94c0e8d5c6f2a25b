package api

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/carom-dev/carom/edge/wire"
	"github.com/carom-dev/carom/engine"
)

const (
	typeJSON   = "application/json"
	typePatch  = "application/merge-patch+json"
	typeNDJSON = "application/x-ndjson"
)

// bodyType is the body's media type, which must be one of accepted; a body without one is taken as the first of them.
func (r *request) bodyType(accepted ...string) (string, error) {
	refused := engine.Errorf(engine.CodeUnsupportedType, "the body's Content-Type is not accepted; send %s", strings.Join(accepted, " or "))
	if encoding := wire.Header(r.ctx, "content-encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return "", engine.Errorf(engine.CodeUnsupportedType, "the body's Content-Encoding %.20q is not accepted; send it as it is", encoding)
	}
	header := wire.Header(r.ctx, "content-type")
	if header == "" {
		return accepted[0], nil
	}
	mediaType, params, err := mime.ParseMediaType(header)
	if err != nil || !slices.Contains(accepted, mediaType) {
		return "", refused
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return "", refused
	}
	return mediaType, nil
}

// fields are the members that an object may have, each with how to take its value. A value's error reads on after the
// member's name.
type fields map[string]func(jsontext.Value) error

// decode takes a JSON object apart. Every member that is unknown or has a wrong value is told, not only the first; but the rest is not looked
// at once there are engine.FieldErrorsMax.
func decode(body []byte, known fields) error {
	dec := jsontext.NewDecoder(bytes.NewBuffer(body))
	if dec.PeekKind() != '{' {
		if _, err := dec.ReadValue(); err != nil {
			return malformed(err)
		}
		return engine.Errorf(engine.CodeInvalid, "the body is not a JSON object")
	}
	if _, err := dec.ReadToken(); err != nil {
		return malformed(err)
	}
	var wrong []engine.FieldError
	for dec.PeekKind() != '}' {
		if len(wrong) >= engine.FieldErrorsMax {
			return notAccepted(wrong)
		}
		name, err := dec.ReadToken()
		if err != nil {
			return malformed(err)
		}
		member := name.String()
		value, err := dec.ReadValue()
		if err != nil {
			return malformed(err)
		}
		take, ok := known[member]
		if !ok {
			wrong = append(wrong, engine.FieldError{Field: printable(member), Detail: "is not known; accepted are " + joinNames(known)})
			continue
		}
		if err := take(value); err != nil {
			wrong = append(wrong, engine.FieldError{Field: member, Detail: err.Error()})
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return malformed(err)
	}
	if len(bytes.TrimLeft(body[dec.InputOffset():], " \t\r\n")) > 0 {
		return engine.Errorf(engine.CodeMalformed, "the body goes on after its JSON object, at byte %d", dec.InputOffset())
	}
	if len(wrong) > 0 {
		return notAccepted(wrong)
	}
	return nil
}

func notAccepted(wrong []engine.FieldError) error {
	return &engine.Error{Code: engine.CodeInvalid, Message: "the body has members that are not accepted", Fields: wrong}
}

// malformed tells what is wrong with the syntax. A name that stands twice has good syntax but no meaning.
func malformed(err error) error {
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		if errors.Is(err, jsontext.ErrDuplicateName) {
			name := printable(syntax.JSONPointer.LastToken())
			return &engine.Error{Code: engine.CodeInvalid, Message: "a name stands twice", Fields: []engine.FieldError{{Field: name, Detail: "stands twice in one object"}}}
		}
		return &engine.Error{Code: engine.CodeMalformed, Message: fmt.Sprintf("the body is not JSON that can be read, at byte %d", syntax.ByteOffset), Err: err}
	}
	return &engine.Error{Code: engine.CodeMalformed, Message: "the body ends before its JSON does", Err: err}
}

// printable cuts a stranger's member name to what fits into an answer.
func printable(name string) string {
	const most = 64
	if len(name) > most {
		return strings.ToValidUTF8(name[:most], "") + "..."
	}
	return name
}

func joinNames[V any](known map[string]V) string {
	names := make([]string, 0, len(known))
	for name := range known {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func wrongType(value jsontext.Value, want string) error {
	kind := map[jsontext.Kind]string{
		'n': "null", 'f': "a boolean", 't': "a boolean", '"': "a string", '0': "a number", '{': "an object", '[': "an array",
	}[value.Kind()]
	return fmt.Errorf("is %s; %s is accepted", kind, want)
}

func takeString(dst *string) func(jsontext.Value) error {
	return func(v jsontext.Value) error {
		if v.Kind() != '"' {
			return wrongType(v, "a string")
		}
		return json.Unmarshal(v, dst) //nolint:wrapcheck // a string can't fail
	}
}

func takeBool(dst *bool) func(jsontext.Value) error {
	return func(v jsontext.Value) error {
		if v.Kind() != 't' && v.Kind() != 'f' {
			return wrongType(v, "true or false")
		}
		*dst = v.Kind() == 't'
		return nil
	}
}

func takeInt[T int | int64](dst *T, lowest T) func(jsontext.Value) error {
	return func(v jsontext.Value) error {
		var n T
		if v.Kind() != '0' {
			return wrongType(v, "a whole number")
		}
		if json.Unmarshal(v, &n) != nil {
			return fmt.Errorf("is %.40s; a whole number is accepted", v)
		}
		if n < lowest {
			return fmt.Errorf("is %d; %d and above are accepted", n, lowest)
		}
		*dst = n
		return nil
	}
}

func takeTime(dst *time.Time) func(jsontext.Value) error {
	return func(v jsontext.Value) error {
		var text string
		if v.Kind() != '"' {
			return wrongType(v, "a time such as 2030-01-31T23:59:59Z (RFC 3339)")
		}
		if err := json.Unmarshal(v, &text); err != nil {
			return wrongType(v, "a time")
		}
		t, err := parseTime(text)
		if err != nil {
			return err
		}
		*dst = t
		return nil
	}
}

// orNull lets null stand for unset, and keep what take's target has by default.
func orNull(unset func(), take func(jsontext.Value) error) func(jsontext.Value) error {
	return func(v jsontext.Value) error {
		if v.Kind() == 'n' {
			unset()
			return nil
		}
		return take(v)
	}
}

func parseTime(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("is %.40q; a time such as 2030-01-31T23:59:59Z (RFC 3339) is accepted", text)
	}
	if t = t.UTC(); t.Year() < 1970 || t.Year() > 9999 {
		return time.Time{}, fmt.Errorf("is %.40q; the years 1970 to 9999 are accepted", text)
	}
	return t, nil
}
