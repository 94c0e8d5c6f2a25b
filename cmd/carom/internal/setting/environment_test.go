package setting_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/carom-dev/carom/cmd/carom/internal/setting"
)

type testFlags struct {
	Grouped
	Name string `default:"plain" help:"No setting: it is in no group."`
}

type Grouped struct {
	CacheBytes  setting.Size   `group:"g" default:"1GiB"`
	Private     bool           `group:"g"`
	AdminKey    setting.Secret `group:"g"`
	DatabaseURL setting.Secret `group:"g" variable:"DATABASE_URL"`
}

func parse(t *testing.T, environ []string, args ...string) (*testFlags, *setting.Environment, *kong.Kong, error) {
	t.Helper()
	flags, env := &testFlags{}, setting.NewEnvironment(environ)
	parser, err := kong.New(flags, kong.Resolvers(env))
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(args)
	return flags, env, parser, err
}

func TestEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("from-the-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	flags, env, _, err := parse(t, []string{
		"CAROM_CACHE_BYTES=64MiB", "CAROM_PRIVATE=true", "DATABASE_URL=postgres://db/x", "CAROM_ADMIN_KEY_FILE=" + file, "CAROM_NAME=x", "odd",
	})
	if err != nil {
		t.Fatal(err)
	}
	if flags.CacheBytes != 64<<20 || !flags.Private || flags.DatabaseURL != "postgres://db/x" || flags.AdminKey != "from-the-file" || flags.Name != "plain" {
		t.Errorf("flags = %+v", flags)
	}
	for flag, want := range map[string]string{
		"cache-bytes": "CAROM_CACHE_BYTES", "admin-key": "CAROM_ADMIN_KEY_FILE", "database-url": "DATABASE_URL", "name": "",
	} {
		if got := env.Origin(flag); got != want {
			t.Errorf("Origin(%q) = %q, want %q", flag, got, want)
		}
	}
}

func TestCommandLineGoesBeforeEnvironment(t *testing.T) {
	flags, env, _, err := parse(t, []string{"CAROM_CACHE_BYTES=64MiB"}, "--cache-bytes=2MiB")
	if err != nil || flags.CacheBytes != 2<<20 || env.Origin("cache-bytes") != "" {
		t.Errorf("CacheBytes = %v from %q, %v; want 2MiB from the command line", flags.CacheBytes, env.Origin("cache-bytes"), err)
	}
}

func TestEmptyVariableIsUnset(t *testing.T) {
	flags, _, _, err := parse(t, []string{"CAROM_CACHE_BYTES=", "CAROM_ADMIN_KEY_FILE="})
	if err != nil || flags.CacheBytes != 1<<30 {
		t.Errorf("CacheBytes = %v, %v; want the default", flags.CacheBytes, err)
	}
}

func TestWrongEnvironmentNamesItself(t *testing.T) {
	dir := t.TempDir()
	empty, large := filepath.Join(dir, "empty"), filepath.Join(dir, "large")
	for path, size := range map[string]int{empty: 0, large: 70_000} {
		if err := os.WriteFile(path, []byte(strings.Repeat("k", size)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		environ []string
		want    []string
	}{
		{[]string{"CAROM_CACHE_BYTES=64Mb"}, []string{"--cache-bytes", "CAROM_CACHE_BYTES", `"64Mb"`, "64MiB"}},
		{[]string{"CAROM_PRIVATE=maybe"}, []string{"--private", "CAROM_PRIVATE", `"maybe"`, "true"}},
		{[]string{"CAROM_ADMIN_KEY=x", "CAROM_ADMIN_KEY_FILE=" + empty}, []string{"CAROM_ADMIN_KEY", "CAROM_ADMIN_KEY_FILE", "one of them"}},
		{[]string{"CAROM_ADMIN_KEY_FILE=" + empty}, []string{"CAROM_ADMIN_KEY_FILE", empty, "is empty"}},
		{[]string{"CAROM_ADMIN_KEY_FILE=" + large}, []string{"CAROM_ADMIN_KEY_FILE", large, "65536 bytes or more"}},
		{[]string{"CAROM_ADMIN_KEY_FILE=" + dir}, []string{"CAROM_ADMIN_KEY_FILE", dir}},
		{[]string{"CAROM_ADMIN_KEY_FILE=" + dir + "/none"}, []string{"CAROM_ADMIN_KEY_FILE", dir + "/none"}},
	} {
		_, _, _, err := parse(t, test.environ)
		if err == nil {
			t.Errorf("%q was accepted", test.environ)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %q does not have %q", test.environ, err, want)
			}
		}
	}
}

func TestUnknown(t *testing.T) {
	_, env, parser, err := parse(t, []string{
		"CAROM_CACHE_BYTES=1MiB", "CAROM_CASHE_BYTES=1", "CAROM_ADMIN_KEY=k", "CAROM_CACHE_BYTES_FILE=x", "CAROM_NAME=x", "HOME=/root", "DATABASE_URL=y",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"CAROM_CACHE_BYTES_FILE", "CAROM_CASHE_BYTES", "CAROM_NAME"}
	if got := env.Unknown(parser.Model); !slices.Equal(got, want) {
		t.Errorf("Unknown() = %q, want %q", got, want)
	}
}
