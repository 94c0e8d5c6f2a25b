// Package setting reads what an operator sets: the values' types, where they come from (flag, environment, secret file,
// default), and the one line that says what is wrong with one.
package setting

import (
	"fmt"
	"strings"
)

// variablePrefix begins the environment variable of each setting that has no conventional name.
const variablePrefix = "CAROM_"

// Error says that a setting can't be used. It reads as one line.
type Error struct {
	Name     string // the flag's name without dashes
	Value    string // as it was given; a secret is masked
	Accepted string // reads on after "give": "1MiB or more"
}

func (e *Error) Error() string {
	return fmt.Sprintf("--%s: %q is not accepted; give %s", e.Name, e.Value, e.Accepted)
}

// Checks collects what is wrong with settings that belong together.
type Checks struct{ err error }

// That notes that the setting has a value that is not accepted, unless ok. The first one stays.
func (c *Checks) That(ok bool, name string, value any, accepted string) {
	if !ok && c.err == nil {
		c.err = &Error{Name: name, Value: fmt.Sprint(value), Accepted: accepted}
	}
}

// Err is the first complaint, or nil.
func (c *Checks) Err() error { return c.err }

// Variable is the environment variable of a flag without a conventional name.
func Variable(flag string) string {
	return variablePrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// refuse is the error of a value that can't be read; the parser puts the flag's name in front.
func refuse(text []byte, accepted string) error {
	return fmt.Errorf("%q is not accepted; give %s", text, accepted)
}
