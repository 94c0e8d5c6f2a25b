package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/carom-dev/carom/loadtest/contract"
	"github.com/carom-dev/carom/loadtest/program"
)

// The variables that change how the programs are built.
const (
	envRace     = "E2E_RACE"       // not empty: carom runs under the race detector
	envCoverDir = "E2E_GOCOVERDIR" // where carom leaves its coverage
	envCoverPkg = "E2E_COVERPKG"   // the packages it is measured in
)

// The built programs; written once by TestMain.
var (
	caromBinary  string
	replayBinary string
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintf(os.Stderr, "e2e: %v\n", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "carom-e2e-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	caromBinary, replayBinary = filepath.Join(dir, "carom"), filepath.Join(dir, "replay")
	var flags []string
	if os.Getenv(envRace) != "" {
		flags = append(flags, "-race")
	}
	if os.Getenv(envCoverDir) != "" {
		flags = append(flags, "-race", "-cover", "-covermode=atomic", "-coverpkg="+os.Getenv(envCoverPkg))
	}
	if err := errors.Join(build(caromBinary, "../../cmd/carom", flags...), build(replayBinary, "../replay")); err != nil {
		return 1, err
	}
	if code = m.Run(); code == 0 {
		err = goleak.Find()
	}
	return code, err
}

func build(to, pkg string, flags ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	args := append(append([]string{"build", "-o", to}, flags...), pkg)
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return nil
}

// stopTimeout is above what a carom is given to store its clicks.
const stopTimeout = 5 * time.Minute

// environ is what every started carom gets besides its settings.
func environ() []string {
	// A 503 of a busy machine, or clicks that it leaves to the next start, would be right, and are not what these tests are about:
	// under the race detector the embedded store takes some 1,500 clicks a second.
	env := []string{"CAROM_LOOKUP_TIMEOUT=5s", "CAROM_SHUTDOWN_TIMEOUT=4m"}
	if dir := os.Getenv(envCoverDir); dir != "" {
		env = append(env, "GOCOVERDIR="+dir)
	}
	return env
}

// start runs a carom on dir, with more variables. It is killed at the end of the test if it is still there, and its log is shown if the test failed.
func start(t *testing.T, dir string, env ...string) *program.Process {
	t.Helper()
	log := &program.Tail{}
	p, err := program.Start(t.Context(), program.Config{Binary: caromBinary, DataDir: dir, Env: append(environ(), env...), Stderr: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("log of carom at %s:\n%s", p.Addr, log)
		}
		wantNoKey(t, dir, log)
	})
	return p
}

// wantNoKey looks for the admin key, which every test presents, in what a carom has said and left on the disk.
func wantNoKey(t *testing.T, dir string, log *program.Tail) {
	t.Helper()
	if strings.Contains(log.String(), program.AdminKey) {
		t.Errorf("the log has the admin key:\n%s", log)
	}
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(name)
		if bytes.Contains(data, []byte(program.AdminKey)) {
			t.Errorf("%s has the admin key", name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// stop ends a carom kindly; it has to drain and to exit with 0. Under the race detector a race is another code.
func stop(t *testing.T, p *program.Process) {
	t.Helper()
	if err := p.Stop(stopTimeout); err != nil {
		t.Fatal(err)
	}
}

// document is what the program says of its API: read from the first carom that is asked, as all are the same program.
var document struct {
	once sync.Once
	*contract.Contract
	err error
}

// promised reads the document once.
func promised(t *testing.T, p *program.Process) *contract.Contract {
	t.Helper()
	document.once.Do(func() { document.Contract, document.err = contract.Read(t.Context(), "http://"+p.Addr) })
	if document.err != nil {
		t.Fatal(document.err)
	}
	return document.Contract
}

// ask talks to p's API. Each request and each answer is held against the document.
func ask(t *testing.T, p *program.Process) *program.API {
	t.Helper()
	transport := promised(t, p).Transport(&http.Transport{MaxIdleConnsPerHost: 4}, func(err error) { t.Error(err) })
	api := p.APIThrough(transport)
	t.Cleanup(api.Close)
	return api
}

// command runs carom with arguments on the data in dir and returns its standard output.
func command(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), caromBinary, args...)
	cmd.Env = append(append(os.Environ(), "CAROM_DATA_DIR="+dir), environ()...)
	var stderr program.Tail
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("carom %v: %v\n%s", args, err, &stderr)
	}
	return string(out)
}
