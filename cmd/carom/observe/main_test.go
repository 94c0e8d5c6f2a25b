package observe_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/carom-dev/carom/loadtest/program"
	"github.com/carom-dev/carom/persistence/testservices"
)

// Variables that change how the program is built, as for loadtest/e2e.
const (
	envRace     = "E2E_RACE"
	envCoverDir = "E2E_GOCOVERDIR"
	envCoverPkg = "E2E_COVERPKG"
)

// patience is far above what anything here takes, also under the race detector on a busy machine.
const patience = 40 * time.Second

// Written once by TestMain.
var (
	caromBinary string
	services    testservices.Shared
)

func TestMain(m *testing.M) {
	code := 1
	dir, err := os.MkdirTemp("", "carom-observe-")
	if err == nil {
		if err = build(dir); err == nil {
			code = services.Run(m)
		}
		if gone := os.RemoveAll(dir); gone != nil {
			fmt.Fprintln(os.Stderr, gone)
			code = max(code, 1)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "observe:", err)
	}
	os.Exit(code)
}

func build(dir string) error {
	caromBinary = filepath.Join(dir, "carom")
	args := []string{"build", "-pgo=off", "-o", caromBinary} // optimised by a profile, all that it imports is compiled once more
	if os.Getenv(envRace) != "" {
		args = append(args, "-race")
	}
	if os.Getenv(envCoverDir) != "" {
		args = append(args, "-race", "-cover", "-covermode=atomic", "-coverpkg="+os.Getenv(envCoverPkg))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "go", append(args, "..")...).CombinedOutput(); err != nil {
		return fmt.Errorf("build carom: %w\n%s", err, out)
	}
	return nil
}

// start runs a carom, and kills it at the end of the test if it is still there.
func start(t *testing.T, log io.Writer, dir string, env ...string) *program.Process {
	t.Helper()
	if cover := os.Getenv(envCoverDir); cover != "" {
		env = append([]string{"GOCOVERDIR=" + cover}, env...)
	}
	p, err := program.Start(t.Context(), program.Config{Binary: caromBinary, DataDir: dir, Env: env, Stderr: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// visitor asks without following redirects.
func visitor(t *testing.T) *http.Client {
	c := &http.Client{
		Timeout: patience, Transport: &http.Transport{},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// ask sends a request with headers, given as name and value in turn, and returns the answer's status and body.
func ask(t *testing.T, c *http.Client, method, url string, body io.Reader, headers ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}
