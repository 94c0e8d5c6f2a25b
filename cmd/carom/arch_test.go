package main_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const archModule = "github.com/carom-dev/carom"

// archPackage is what go list tells of a package of ours.
type archPackage struct {
	ImportPath   string
	Dir          string
	GoFiles      []string
	TestGoFiles  []string
	XTestGoFiles []string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// room is the package's path within the module, such as "persistence/sqlite".
func (p *archPackage) room() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, archModule), "/")
}

func archPackages(t *testing.T) []archPackage {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-pgo=off", "-json=ImportPath,Dir,GoFiles,TestGoFiles,XTestGoFiles,Imports,TestImports,XTestImports", "./...")
	list.Dir, list.Stderr = archRoot(), os.Stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("list packages: %v", err)
	}
	var all []archPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p archPackage
		if err := dec.Decode(&p); err != nil {
			t.Fatalf("read go list: %v", err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("go list knows %d packages; the whole house was expected", len(all))
	}
	return all
}

func archRoot() string { return filepath.Join("..", "..") }

// within reports whether path is root or below it.
func within(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }

func withinAny(path string, roots []string) bool {
	return slices.ContainsFunc(roots, func(root string) bool { return within(path, root) })
}

// TestRoomsImportOnlyDownwards holds the drawing of the rooms: cmd/carom over edge, actors and persistence, and those over engine.
func TestRoomsImportOnlyDownwards(t *testing.T) {
	rules := []struct {
		room   string
		ours   []string // packages of this module it may import, besides its own inner ones
		reason string
	}{
		{"engine", nil, "engine is the ground: what stays true if every other room changed can't know one of them"},
		{"edge", []string{"engine"}, "edge knows bytes on the wire, and speaks to actors and persistence by engine's interfaces alone"},
		{"actors", []string{"engine"}, "actors knows who owns state, and speaks to edge and persistence by engine's interfaces alone"},
		{"persistence", []string{"engine"}, "persistence knows stores, and speaks to edge and actors by engine's interfaces alone"},
		{"loadtest", nil, "loadtest measures from outside over HTTP; with a room imported it would measure itself"},
		{"cmd/carom/faults", []string{"loadtest/program", "loadtest/client", "persistence/testservices"}, "the faults are proved on the program from outside; only the services under it are ours to break"},
		{"cmd/carom/observe", []string{"loadtest/program", "loadtest/client", "persistence/testservices"}, "what an operator sees is looked at from outside; only the services under the program are ours"},
		{"cmd", []string{"edge", "actors", "persistence", "engine"}, "the hall imports the rooms, and nothing that only measures"},
	}
	for _, p := range archPackages(t) {
		i := slices.IndexFunc(rules, func(r struct {
			room   string
			ours   []string
			reason string
		},
		) bool {
			return within(p.room(), r.room)
		})
		if i < 0 {
			t.Errorf("%s is in no room; put it into one, or name the new room here with the arrows it may have", p.ImportPath)
			continue
		}
		for _, path := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			ours, ok := strings.CutPrefix(path, archModule+"/")
			if ok && !within(ours, rules[i].room) && !withinAny(ours, rules[i].ours) {
				t.Errorf("%s imports %s: %s", p.ImportPath, path, rules[i].reason)
			}
		}
	}
}

// TestEngineImportsValuesOnly holds that engine does no I/O: its dependencies are the standard library's pure part, a hash and
// a URL parser. Its tests may use more.
func TestEngineImportsValuesOnly(t *testing.T) {
	outside := []string{"github.com/cespare/xxhash/v2", "github.com/nlnwa/whatwg-url"}
	impure := []string{"net", "net/http", "os", "os/exec", "syscall", "log", "log/slog", "database/sql"}
	for _, p := range archPackages(t) {
		if !within(p.room(), "engine") {
			continue
		}
		for _, path := range p.Imports {
			host, _, _ := strings.Cut(path, "/")
			switch {
			case within(path, archModule+"/engine") || withinAny(path, outside):
			case strings.Contains(host, "."):
				t.Errorf("%s imports %s: engine has the standard library, %v and nothing else, so that it outlives every other choice", p.ImportPath, path, outside)
			case slices.Contains(impure, path):
				t.Errorf("%s imports %s: engine does no I/O and logs nothing; the caller passes in what it needs", p.ImportPath, path)
			}
		}
	}
}

// TestTechnologiesHaveOneRoom holds that each library with edges of its own is met in one place.
func TestTechnologiesHaveOneRoom(t *testing.T) {
	rules := []struct {
		library, reason string
		rooms           []string
	}{
		{"github.com/anthdm/hollywood", "Hollywood's rough edges are handled once, in the stage that all actors stand on", []string{"actors/stage"}},
		{"github.com/valyala/fasthttp", "only edge knows bytes on the wire; loadtest speaks it as a client", []string{"edge", "loadtest"}},
		{"github.com/fasthttp/router", "only edge knows routes", []string{"edge"}},
		{"github.com/jackc/pgx", "Postgres is spoken in one package, so that a store can be replaced", []string{"persistence/postgres", "persistence/testservices"}},
		{"github.com/redis/go-redis", "Redis is spoken in one package, so that a bus can be replaced", []string{"persistence/redis", "persistence/testservices"}},
		{"modernc.org/sqlite", "SQLite is spoken in one package, so that a store can be replaced", []string{"persistence/sqlite"}},
		{"github.com/grafana/pyroscope-go", "only the hall decides whether a profiler runs", []string{"cmd/carom"}},
		{"go.opentelemetry.io", "rooms speak engine.Tracer; only the hall decides where spans go", []string{"cmd/carom"}},
		{"github.com/alecthomas/kong", "flags and the environment are read in the hall alone", []string{"cmd/carom"}},
	}
	for _, p := range archPackages(t) {
		for _, path := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			for _, r := range rules {
				if within(path, r.library) && !withinAny(p.room(), r.rooms) {
					t.Errorf("%s imports %s, which belongs into %v: %s", p.ImportPath, path, r.rooms, r.reason)
				}
			}
		}
	}
}

// TestOnlyProgramsExit holds that a room's failure comes back as an error: a process that ends below main drains nothing.
func TestOnlyProgramsExit(t *testing.T) {
	for _, p := range archPackages(t) {
		if within(p.room(), "cmd/carom") || within(p.room(), "loadtest") {
			continue
		}
		for _, name := range p.GoFiles {
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if pkg, ok := sel.X.(*ast.Ident); ok && (pkg.Name == "os" && sel.Sel.Name == "Exit" || pkg.Name == "log" && strings.HasPrefix(sel.Sel.Name, "Fatal")) {
					t.Errorf("%s calls %s.%s: only cmd/carom ends the process, as only it knows what must be stopped first", fset.Position(n.Pos()), pkg.Name, sel.Sel.Name)
				}
				return true
			})
		}
	}
}

// TestPackageComments holds that each package says its one purpose, once.
func TestPackageComments(t *testing.T) {
	for _, p := range archPackages(t) {
		var with []string
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if file.Doc == nil {
				continue
			}
			with = append(with, name)
			want := "Package " + file.Name.Name + " "
			if file.Name.Name == "main" {
				want = "Command " + filepath.Base(p.ImportPath) + " "
			}
			if !strings.HasPrefix(file.Doc.Text(), want) {
				t.Errorf("%s: the comment of %s begins with %.30q, want %q", p.ImportPath, name, file.Doc.Text(), want)
			}
		}
		if len(p.GoFiles) > 0 && len(with) != 1 {
			t.Errorf("%s has a package comment in %d files %v, want it in one: a package has one sentence of purpose", p.ImportPath, len(with), with)
		}
	}
}

// TestRootHoldsOnlyWhatIsListed keeps the first thing a visitor sees short. What a build leaves behind is in .gitignore.
func TestRootHoldsOnlyWhatIsListed(t *testing.T) {
	listed := []string{
		"engine", "actors", "edge", "persistence", "cmd", "deploy", "loadtest", "profiles", "docs", ".github", ".ci",
		"Dockerfile", "docker-compose.yml", "go.mod", "go.sum", "README.md", "LICENSE", "Makefile",
		".golangci.yaml", ".gitignore", ".gitattributes", ".dockerignore", ".editorconfig",
	}
	left := []string{".git", "bin", "carom", "carom-data", "coverage.out"}
	entries, err := os.ReadDir(archRoot())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(listed, e.Name()) && !slices.Contains(left, e.Name()) {
			t.Errorf("%s stands in the root; it belongs into a room or one of the folders beside the house %v", e.Name(), listed[:9])
		}
	}
	for _, name := range []string{"go.mod", "engine", "cmd"} {
		if !slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == name }) {
			t.Errorf("%s is missing, so this is not the root that was meant", name)
		}
	}
}
