package testservices

import (
	"cmp"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// MissingError says that a server is not installed, and which command installs it.
type MissingError struct {
	Binary  string
	Install string
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("find %s: not installed; run: %s", e.Binary, e.Install)
}

// program is a server's binary: its names, where packagers put it besides PATH, and how each of them installs it.
type program struct {
	names   []string
	globs   []string // of folders; the highest version is tried first
	install map[string]string
}

func postgresProgram(binary string) program {
	return program{
		names: []string{binary},
		globs: []string{
			"/usr/lib/postgresql/*/bin",                      // Debian
			"/usr/pgsql-*/bin",                               // Fedora, packages of postgresql.org
			"/usr/lib64/pgsql/bin",                           // Fedora, older
			"/opt/homebrew/opt/postgresql*/bin",              // Homebrew on arm64
			"/usr/local/opt/postgresql*/bin",                 // Homebrew on amd64
			"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin", // Homebrew on Linux
		},
		install: map[string]string{
			"apt-get": "apt-get install -y postgresql",
			"dnf":     "dnf install -y postgresql-server",
			"brew":    "brew install postgresql@17",
		},
	}
}

// redisProgram also takes Valkey, which newer Fedoras ship in Redis' place.
func redisProgram() program {
	return program{
		names: []string{"redis-server", "valkey-server"},
		globs: []string{"/usr/bin", "/usr/sbin", "/usr/local/bin", "/opt/homebrew/bin", "/home/linuxbrew/.linuxbrew/bin"},
		install: map[string]string{
			"apt-get": "apt-get install -y redis-server",
			"dnf":     "dnf install -y valkey",
			"brew":    "brew install redis",
		},
	}
}

// find looks in PATH first, then in the folders. Debian keeps Postgres' server binaries out of PATH.
func (p program) find() (string, error) {
	for _, name := range p.names {
		if path, err := exec.LookPath(name); err == nil || errors.Is(err, exec.ErrDot) {
			return filepath.Abs(path)
		}
		for _, glob := range p.globs {
			dirs, err := filepath.Glob(glob)
			if err != nil {
				return "", fmt.Errorf("find %s in %q: %w", name, glob, err)
			}
			slices.SortFunc(dirs, func(a, b string) int { return cmp.Or(cmp.Compare(version(b), version(a)), cmp.Compare(b, a)) })
			for _, dir := range dirs {
				if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
					return path, nil
				}
			}
		}
	}
	return "", &MissingError{Binary: strings.Join(p.names, " or "), Install: p.installCommand()}
}

func (p program) installCommand() string {
	for _, manager := range []string{"apt-get", "dnf", "brew"} {
		if _, err := exec.LookPath(manager); err == nil {
			return p.install[manager]
		}
	}
	return p.install["apt-get"] + " (or what your system has in its place)"
}

// version is the last whole number in a folder's path ("postgresql@17", "pgsql-16"), 0 when there is none.
func version(dir string) int {
	digits := strings.FieldsFunc(dir, func(r rune) bool { return !unicode.IsDigit(r) })
	if len(digits) == 0 {
		return 0
	}
	n, err := strconv.Atoi(digits[len(digits)-1])
	if err != nil {
		return 0
	}
	return n
}
