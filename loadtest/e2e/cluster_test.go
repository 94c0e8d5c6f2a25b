package e2e_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carom-dev/carom/loadtest/program"
)

// topology is three instances behind nginx, with Postgres and Redis, as deploy/topology runs them.
type topology struct {
	dir       string
	nginx     *program.Process   // not a child of ours, but it answers as an instance does
	instances []*program.Process // the same
}

// script runs deploy/topology.
func (c *topology) script(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "../../deploy/topology", append([]string{args[0], c.dir}, args[1:]...)...)
	cmd.Env = append(append(os.Environ(), environ()...), "CAROM_BIN="+caromBinary, "CAROM_ADMIN_KEY="+program.AdminKey, "TOPOLOGY_RETRY=off",
		"CAROM_RATE_LIMIT_API=0", "CAROM_RATE_LIMIT_WRITES=0", "CAROM_RATE_LIMIT_UNKNOWN=0")
	cmd.WaitDelay = 10 * time.Second
	return cmd.CombinedOutput()
}

func startTopology(t *testing.T) *topology {
	t.Helper()
	// Not t.TempDir: the server of Postgres has another user, who must be able to enter.
	dir, err := os.MkdirTemp("", "carom-topology-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	c := &topology{dir: dir}
	t.Cleanup(func() {
		if out, err := c.script(context.Background(), "down"); err != nil {
			t.Errorf("topology down: %v\n%s", err, out)
		}
		if t.Failed() {
			for _, name := range []string{"instance-1.log", "instance-2.log", "instance-3.log", "nginx.log"} {
				log, _ := os.ReadFile(filepath.Join(dir, name))
				t.Logf("%s:\n%s", name, log[max(0, len(log)-4000):])
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if out, err := c.script(t.Context(), "up"); err != nil {
		t.Fatalf("topology up: %v\n%s", err, out)
	}
	env := readEnv(t, filepath.Join(dir, "topology.env"))
	at := func(port string) *program.Process {
		return &program.Process{Addr: net.JoinHostPort("127.0.0.1", env[port])}
	}
	c.nginx, c.instances = at("port"), []*program.Process{at("port_1"), at("port_2"), at("port_3")}
	return c
}

func readEnv(t *testing.T, name string) map[string]string {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	env := map[string]string{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), "=")
		env[name] = value
	}
	return env
}

// importThrough imports the sample's links through a running Carom.
func importThrough(t *testing.T, p *program.Process) {
	t.Helper()
	links := filepath.Join(t.TempDir(), "links.ndjson")
	if err := os.WriteFile(links, []byte(shell(t, listLinks)), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, t.TempDir(), "import", links, "--server", "http://"+p.Addr, "--key", program.AdminKey)
}

// TestClusterReplayCountsExactly replays the real clicks through nginx to three instances, and compares every figure.
func TestClusterReplayCountsExactly(t *testing.T) {
	c := startTopology(t)
	importThrough(t, c.nginx)
	sample, api := readSample(t), ask(t, c.nginx)
	links, err := api.Links(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	from := time.Now()
	if code := replay(t, "-server", c.nginx.Addr); code != 0 {
		t.Fatalf("replay ended with %d, want every click answered", code)
	}
	to := time.Now()
	waitStored(t, api, links, int64(len(sample)))
	checkFigures(t, api, links, sample, from, to)
	for i, p := range c.instances {
		if n, err := ask(t, p).Metric(t.Context(), "carom_journal_appended_total"); err != nil || n == 0 {
			t.Errorf("instance %d recorded %v clicks (%v), so the load was not shared", i+1, n, err)
		}
	}
}

// TestClusterReplayThroughAKill kills one instance in the middle of the replay and starts it again before the end: what was answered is
// stored once, what was not is stored at most once.
func TestClusterReplayThroughAKill(t *testing.T) {
	c := startTopology(t)
	importThrough(t, c.nginx)
	sample := readSample(t)
	const repeat = 10
	answeredFile := filepath.Join(t.TempDir(), "answered")
	// Slow enough for nginx to believe, after two seconds, that the instance is back, and to give it requests again.
	args := []string{"-server", c.nginx.Addr, "-mark", "-repeat", "10", "-answered", answeredFile, "-connections", "16", "-rate", "2000"}
	over, back := make(chan struct{}), make(chan error, 1)
	ctx := t.Context()
	go func() { back <- c.killAndStart(ctx, int64(len(sample)/2), over) }()
	code, replays := -1, 0
	for ; code != 0 && replays < 20; replays++ { // nginx retries nothing here, so the kill ends one
		code = replay(t, args...)
	}
	close(over)
	if err := <-back; err != nil {
		t.Fatal(err)
	}
	if code != 0 || replays == 1 {
		t.Fatalf("replay %d ended with %d, want that the kill ends one, and every click answered in the end", replays, code)
	}
	if n, err := ask(t, c.instances[1]).Metric(ctx, "carom_journal_appended_total"); err != nil || n == 0 {
		t.Errorf("the instance that came back recorded %v clicks (%v), so it was not in the middle", n, err)
	}
	waitDrained(t, c)
	checkAnswered(t, ask(t, c.nginx), answeredFile, repeat*len(sample))
}

// killAndStart kills the second instance once it has recorded some clicks, and starts it again when the first one has half as many more.
func (c *topology) killAndStart(ctx context.Context, clicks int64, over <-chan struct{}) error {
	if err := recorded(ctx, c.instances[1], clicks, over); err != nil {
		return err
	}
	if out, err := c.script(ctx, "kill", "2"); err != nil {
		return fmt.Errorf("kill the second instance: %w\n%s", err, out)
	}
	if err := recorded(ctx, c.instances[0], clicks+clicks/2, over); err != nil {
		return err
	}
	if out, err := c.script(ctx, "start", "2"); err != nil {
		return fmt.Errorf("start the second instance: %w\n%s", err, out)
	}
	return nil
}

// waitDrained waits until no instance has a click that the store has not.
func waitDrained(t *testing.T, c *topology) {
	t.Helper()
	deadline := time.Now().Add(drained)
	for {
		pending := slices.ContainsFunc(c.instances, func(p *program.Process) bool {
			age, err := ask(t, p).Metric(t.Context(), "carom_journal_oldest_unread_seconds")
			return err != nil || age > 0
		})
		if !pending {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the journals were not drained")
		}
		if _, err := ask(t, c.nginx).WaitClicks(t.Context(), []string{"/urls/1"}, 1<<40, 100*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEditsReachEveryInstance edits through one instance and reads on the others.
func TestEditsReachEveryInstance(t *testing.T) {
	c := startTopology(t)
	apis := []*program.API{ask(t, c.instances[0]), ask(t, c.instances[1]), ask(t, c.instances[2])}
	flood(t, c.instances[1].Addr, "fresh", 1, 1) // its 404 is published there
	shorten(t, apis[0], map[string]any{"code": "fresh", "url": "https://example.com/"})
	deadline := time.Now().Add(drained)
	for _, p := range c.instances {
		for flood(t, p.Addr, "fresh", 1, 1)[302] == 0 {
			if time.Now().After(deadline) {
				t.Fatal("a link made on one instance is not found on another")
			}
		}
	}
}

// TestClusterBudgetIsExact spends one link's visits on all instances at once.
func TestClusterBudgetIsExact(t *testing.T) {
	c := startTopology(t)
	const visits = 1000
	shorten(t, ask(t, c.instances[0]), map[string]any{"code": "limited", "url": "https://example.com/", "max_visits": visits})
	redirected := make(chan int, len(c.instances))
	for _, p := range c.instances {
		go func() { redirected <- flood(t, p.Addr, "limited", 64, 6700)[302] }()
	}
	sum := 0
	for range c.instances {
		sum += <-redirected
	}
	if sum != visits {
		t.Errorf("%d redirects on three instances, want %d", sum, visits)
	}
}
