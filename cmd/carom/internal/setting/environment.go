package setting

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// secretFileMax is more than any secret has; a longer file is the wrong one.
const secretFileMax = 64 << 10

// Environment gives flags their values from the environment, for those that the command line does not set. A flag takes part
// when it is in a group; its variable is CAROM_ and its name, or what its tag `variable` says; a Secret may also be in a file
// that the variable with _FILE names. An empty variable counts as unset. Not safe for concurrent use.
type Environment struct {
	variables map[string]string
	origins   map[string]string
}

// NewEnvironment takes the environment as os.Environ gives it.
func NewEnvironment(environ []string) *Environment {
	e := &Environment{variables: map[string]string{}, origins: map[string]string{}}
	for _, line := range environ {
		if name, value, ok := strings.Cut(line, "="); ok && value != "" {
			e.variables[name] = value
		}
	}
	return e
}

// VariableOf is the variable of a flag, "" for a flag that is no setting.
func VariableOf(flag *kong.Flag) string {
	if flag.Group == nil {
		return ""
	}
	if name := flag.Tag.Get("variable"); name != "" {
		return name
	}
	return Variable(flag.Name)
}

// IsSecret reports whether a flag's value must not be shown.
func IsSecret(flag *kong.Flag) bool { return flag.Target.Type() == reflect.TypeFor[Secret]() }

// Get is a variable's value, for those that are no flags.
func (e *Environment) Get(name string) string { return e.variables[name] }

// Origin names the variable that gave the flag its value, or is "".
func (e *Environment) Origin(flag string) string { return e.origins[flag] }

// Validate is part of kong.Resolver; there is nothing to check before flags are resolved.
func (e *Environment) Validate(*kong.Application) error { return nil }

// Resolve is part of kong.Resolver: the flag's text from the environment, or nil.
func (e *Environment) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	variable := VariableOf(flag)
	if variable == "" {
		return nil, nil
	}
	value, found := e.variables[variable]
	origin := variable
	if IsSecret(flag) {
		if path, ok := e.variables[variable+"_FILE"]; ok {
			origin = variable + "_FILE"
			if found {
				return nil, fmt.Errorf("both %s and %s are set; give one of them", variable, origin)
			}
			secret, err := readSecret(path)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", origin, err)
			}
			value, found = secret, true
		}
	}
	if !found {
		return nil, nil
	}
	e.origins[flag.Name] = origin
	// Parsed here for the error's sake, which is to name the variable; kong parses it again into the flag.
	scratch := reflect.New(flag.Target.Type()).Elem()
	decode := &kong.DecodeContext{Value: flag.Value, Scan: kong.ScanFromTokens(kong.Token{Type: kong.FlagValueToken, Value: value})}
	if err := flag.Mapper.Decode(decode, scratch); err != nil {
		return nil, fmt.Errorf("%s: %w", origin, err)
	}
	return value, nil
}

func readSecret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, secretFileMax))
	switch {
	case err != nil:
		return "", fmt.Errorf("read %s: %w", path, err)
	case len(text) == secretFileMax:
		return "", fmt.Errorf("%s has %d bytes or more; give a file that holds the secret alone", path, len(text))
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" {
		return "", errors.New(path + " is empty; give a file that holds the secret")
	}
	return secret, nil
}

// Unknown lists the environment's CAROM_ variables that no flag of the program has, sorted.
func (e *Environment) Unknown(model *kong.Application) []string {
	known := map[string]bool{}
	_ = kong.Visit(model, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok {
			known[VariableOf(flag)] = true
			known[VariableOf(flag)+"_FILE"] = IsSecret(flag)
		}
		return next(nil)
	})
	return slices.DeleteFunc(slices.Sorted(maps.Keys(e.variables)), func(name string) bool {
		return known[name] || !strings.HasPrefix(name, variablePrefix)
	})
}
