package faults_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/carom-dev/carom/persistence/testservices"
)

// The variables that change how the program is built and tried, the first three as for loadtest/e2e.
const (
	envRace     = "E2E_RACE"            // not empty: carom runs under the race detector
	envCoverDir = "E2E_GOCOVERDIR"      // where carom leaves its coverage
	envCoverPkg = "E2E_COVERPKG"        // the packages it is measured in
	envSeconds  = "CAROM_FAULT_SECONDS" // how long a fault lasts; with 10 or more there are more edits, too, and times are held to what is promised
)

// faultDefault is long enough for every time-out on the way of a click but the longest.
const faultDefault = 2 * time.Second

// Written once by TestMain.
var (
	caromBinary string
	// failpointCarom builds the program with the failpoints in it, once.
	failpointCarom func() (string, error)
	faultTime      = faultDefault
	services       testservices.Shared
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "carom-faults-")
	if err == nil {
		err = prepare(dir)
	}
	code := 1
	if err == nil {
		code = services.Run(m)
	}
	if dir != "" {
		if gone := os.RemoveAll(dir); gone != nil {
			fmt.Fprintln(os.Stderr, gone)
			code = max(code, 1)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
	}
	os.Exit(code)
}

// prepare reads the variables and builds the program.
func prepare(dir string) error {
	if text := os.Getenv(envSeconds); text != "" {
		seconds, err := strconv.Atoi(text)
		if err != nil || seconds < 1 {
			return fmt.Errorf("%s is %q; a number of seconds is accepted", envSeconds, text)
		}
		faultTime = time.Duration(seconds) * time.Second
		// The program warns of a variable that it does not know.
		if err := os.Unsetenv(envSeconds); err != nil {
			return err
		}
	}
	caromBinary = filepath.Join(dir, "carom")
	failpointCarom = sync.OnceValues(func() (string, error) {
		binary := filepath.Join(dir, "carom-failpoint")
		return binary, build(binary, "-tags", "failpoint")
	})
	return build(caromBinary)
}

// build builds the program as the variables say.
func build(binary string, flags ...string) error {
	args := append([]string{"build", "-pgo=off", "-o", binary}, flags...) // optimised by a profile, all that it imports is compiled once more
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

// long reports whether the faults last as long as they are promised to be borne.
func long() bool { return faultTime >= 10*time.Second }

// lasting is how long each of n faults of one test lasts.
func lasting(n int) time.Duration { return max(faultTime/time.Duration(n), time.Second) }
