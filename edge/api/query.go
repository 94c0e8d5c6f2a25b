package api

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/carom-dev/carom/engine"
)

// query is a request's query with the parameters it may have. What is wrong is gathered, and told at once by err.
type query struct {
	values map[string]string
	names  []string
	wrong  []engine.FieldError
}

// query reads the parameters; each may stand once.
func (r *request) query(names ...string) *query {
	q := &query{values: make(map[string]string), names: names}
	for k, v := range r.ctx.QueryArgs().All() {
		name := string(k)
		if !slices.Contains(names, name) {
			accepted := "no parameter is accepted here"
			if len(names) > 0 {
				accepted = "accepted are " + strings.Join(names, ", ")
			}
			q.fail(printable(name), "is not known; "+accepted)
			continue
		}
		if _, twice := q.values[name]; twice {
			q.fail(name, "stands twice")
		}
		q.values[name] = string(v)
	}
	return q
}

// noQuery refuses any parameter.
func (r *request) noQuery() error { return r.query().err() }

func (q *query) fail(name, detail string) {
	q.wrong = append(q.wrong, engine.FieldError{Field: name, Detail: detail})
}

func (q *query) err() error {
	if len(q.wrong) == 0 {
		return nil
	}
	return &engine.Error{Code: engine.CodeInvalid, Message: "the query has parameters that are not accepted", Fields: q.wrong}
}

// text is a parameter's value as it is.
func (q *query) text(name string) string { return q.values[name] }

// number is a whole number from lowest to highest.
func (q *query) number(name string, otherwise, lowest, highest int) int {
	text, ok := q.values[name]
	if !ok {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < lowest || n > highest {
		q.fail(name, fmt.Sprintf("is %.40q; %d to %d are accepted", text, lowest, highest))
		return otherwise
	}
	return n
}

// boolean is true or false, nil when not given.
func (q *query) boolean(name string) *bool {
	switch text, ok := q.values[name]; {
	case !ok:
	case text == "true", text == "false":
		return new(text == "true")
	default:
		q.fail(name, fmt.Sprintf("is %.40q; true and false are accepted", text))
	}
	return nil
}

// time is a time or a day, the zero time when not given.
func (q *query) time(name string) time.Time {
	text, ok := q.values[name]
	if !ok {
		return time.Time{}
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil && day.Year() >= 1970 {
		return day
	}
	t, err := parseTime(text)
	if err != nil {
		q.fail(name, err.Error()+", or a day such as 2030-01-31")
	}
	return t
}

// oneOf is a value of a closed set, the first when not given.
func (q *query) oneOf(name string, accepted ...string) string {
	text, ok := q.values[name]
	if !ok {
		return accepted[0]
	}
	if !slices.Contains(accepted, text) {
		q.fail(name, fmt.Sprintf("is %.40q; accepted are %s", text, strings.Join(accepted, ", ")))
		return accepted[0]
	}
	return text
}
