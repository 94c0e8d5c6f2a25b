package e2e_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/carom-dev/carom/loadtest/program"
)

// drained is far above the writer's interval, also under the race detector on a busy machine.
const drained = 30 * time.Second

// replay runs the replay program to its end and returns its exit code.
func replay(t *testing.T, args ...string) int {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), replayBinary, append([]string{"-clicks", sampleFile, "-timeout", "30s"}, args...)...).CombinedOutput()
	t.Logf("replay: %s", out)
	exit, failed := errors.AsType[*exec.ExitError](err)
	if err != nil && !failed {
		t.Fatal(err)
	}
	if failed {
		return exit.ExitCode()
	}
	return 0
}

// paths of links in the API.
func paths(links []program.Link) []string {
	all := make([]string, len(links))
	for i := range links {
		all[i] = links[i].Path()
	}
	return all
}

// waitStored waits until want clicks are stored and fails when there are fewer or more.
func waitStored(t *testing.T, api *program.API, links []program.Link, want int64) {
	t.Helper()
	deadline := time.Now().Add(drained)
	for {
		found, err := api.Links(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var sum int64
		for _, l := range found {
			sum += l.Clicks
		}
		if sum > want || sum < want && time.Now().After(deadline) {
			t.Fatalf("%d clicks stored, want %d", sum, want)
		}
		if sum == want {
			return
		}
		// Look again when the first link has changed, or a little later.
		if _, err := api.WaitClicks(t.Context(), paths(links[:1]), want+1, 100*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReplayCountsExactly imports real links, replays real clicks at full speed, and compares every figure that Carom gives with
// counts over the file.
func TestReplayCountsExactly(t *testing.T) {
	t.Parallel()
	sample, dir := readSample(t), t.TempDir()
	importSample(t, dir)
	p := start(t, dir)
	api := ask(t, p)
	links, err := api.Links(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	targets := count(sample, func(c *sampleClick) string { return c.Code })
	if len(links) != len(targets) {
		t.Fatalf("%d links imported, want %d", len(links), len(targets))
	}
	from := time.Now()
	if code := replay(t, "-server", p.Addr); code != 0 {
		t.Fatalf("replay ended with %d, want every click answered", code)
	}
	to := time.Now()
	waitStored(t, api, links, int64(len(sample)))
	checkFigures(t, api, links, sample, from, to)
	stop(t, p)

	// What the store holds behind a restart is the same.
	p = start(t, dir)
	checkFigures(t, ask(t, p), links, sample, from, to)
	stop(t, p)
}

// checkFigures compares raw clicks, totals, referrers and the hourly series of each link with the sample, replayed once
// between from and to.
func checkFigures(t *testing.T, api *program.API, links []program.Link, sample []sampleClick, from, to time.Time) {
	t.Helper()
	ctx := t.Context()
	raw, err := api.Clicks(ctx)
	if err != nil {
		t.Fatal(err)
	}
	record := func(parts ...string) string { return strings.Join(parts, "\x00") }
	compare(t, "raw clicks",
		count(raw, func(c *program.Click) string { return record(c.Code, c.UserAgent, c.Language, c.Referrer) }),
		count(sample, func(c *sampleClick) string { return record(c.Code, c.UserAgent, c.Language, c.Referrer) }))

	wantHours := count(sample, func(c *sampleClick) string { return record(c.Code, hour(from)) })
	if hour(from) != hour(to) {
		// The replay went over the end of an hour, so that the file alone can't say which clicks came before it.
		wantHours = count(raw, func(c *program.Click) string { return record(c.Code, hour(c.At)) })
	}
	totals, visits, hosts, hours, codeHosts := map[string]int64{}, map[string]int64{}, map[string]int64{}, map[string]int64{}, map[string]int64{}
	for _, l := range links {
		s, err := api.Stats(ctx, l)
		if err != nil {
			t.Fatal(err)
		}
		totals[l.Code], visits[l.Code] = s.Clicks, s.Visits
		for _, point := range s.Series {
			hours[record(l.Code, hour(point.Start))] += point.Clicks
		}
		for _, r := range s.Referrers {
			hosts[r.Host] += r.Clicks
			codeHosts[record(l.Code, r.Host)] += r.Clicks
		}
	}
	compare(t, "clicks", totals, shellCount(t, countCodes))
	compare(t, "visits", visits, shellCount(t, countCodes))
	compare(t, "clicks by referrer", hosts, shellCount(t, countReferrers))
	compare(t, "clicks by link and referrer", codeHosts, count(sample, func(c *sampleClick) string { return record(c.Code, c.host()) }))
	compare(t, "clicks by link and hour", hours, wantHours)
}

func hour(at time.Time) string { return at.UTC().Truncate(time.Hour).Format(time.RFC3339) }

// TestReplayThroughKills kills the server in the middle of the replay, several times, and goes on with what was not answered.
// Each request has a name of its own: an answered one must be stored once, an unanswered one at most once.
func TestReplayThroughKills(t *testing.T) {
	t.Parallel()
	const kills, repeat = 4, 12
	dir, answeredFile := t.TempDir(), filepath.Join(t.TempDir(), "answered")
	importSample(t, dir)
	sample := readSample(t)
	total := repeat * len(sample)
	// Slow enough for the kills to come before all is answered: seconds in all, where the look at what is recorded takes milliseconds.
	args := []string{"-mark", "-repeat", "12", "-answered", answeredFile, "-connections", "16", "-rate", "10000"}
	for i := range kills {
		p := start(t, dir)
		over := make(chan struct{})
		killed := killAfter(t, p, int64(total/(kills+2)), over)
		code := replay(t, append([]string{"-server", p.Addr}, args...)...)
		close(over)
		if err := <-killed; err != nil {
			t.Fatal(err)
		}
		if code != 3 {
			t.Fatalf("replay %d ended with %d, want 3: the server gone in the middle", i, code)
		}
	}
	p := start(t, dir)
	if code := replay(t, append([]string{"-server", p.Addr}, args...)...); code != 0 {
		t.Fatalf("the last replay ended with %d, want every click answered", code)
	}
	stop(t, p) // drains: what was answered is in the store when it is gone

	p = start(t, dir)
	defer stop(t, p)
	checkAnswered(t, ask(t, p), answeredFile, total)
}

// checkAnswered checks that total clicks were answered, that each of them is stored once and every other one at most once, and that
// the totals that readers see are those of the single clicks.
func checkAnswered(t *testing.T, api *program.API, answeredFile string, total int) {
	t.Helper()
	answered := readAnswered(t, answeredFile)
	if len(answered) != total {
		t.Fatalf("%d clicks answered, want %d", len(answered), total)
	}
	raw, err := api.Clicks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stored := count(raw, mark)
	lost, twice, unanswered := 0, 0, 0
	for name := range answered {
		if stored[name] == 0 {
			lost++
		}
	}
	for name, n := range stored {
		if n > 1 {
			twice++
		}
		if !answered[name] {
			unanswered++
		}
	}
	t.Logf("%d clicks answered over the kills, %d stored, %d of them for requests whose answer was cut off", total, len(raw), unanswered)
	if lost > 0 || twice > 0 {
		t.Errorf("%d answered clicks lost, %d counted twice, want none", lost, twice)
	}
	links, err := api.Links(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	totals, hours := map[string]int64{}, map[string]int64{}
	for _, l := range links {
		s, err := api.Stats(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		totals[l.Code] = s.Clicks
		if l.Clicks != s.Clicks {
			t.Errorf("link %s says %d clicks, its stats say %d", l.Code, l.Clicks, s.Clicks)
		}
		for _, point := range s.Series {
			hours[l.Code+" "+hour(point.Start)] += point.Clicks
		}
	}
	compare(t, "clicks", totals, count(raw, func(c *program.Click) string { return c.Code }))
	compare(t, "clicks by link and hour", hours, count(raw, func(c *program.Click) string { return c.Code + " " + hour(c.At) }))
}

// killAfter kills p in a goroutine of its own when it has recorded some clicks of this run, or when load is over, whichever comes
// first. The channel tells when it is done, and how.
func killAfter(t *testing.T, p *program.Process, clicks int64, over <-chan struct{}) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	ctx := t.Context()
	go func() {
		done <- errors.Join(recorded(ctx, p, clicks, over), p.Kill())
	}()
	return done
}

// recorded returns when p has recorded some clicks since it was started, or when load is over.
func recorded(ctx context.Context, p *program.Process, clicks int64, over <-chan struct{}) error {
	api := p.API()
	defer api.Close()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		n, err := api.Metric(ctx, "carom_journal_appended_total")
		if err != nil || int64(n) >= clicks {
			return err
		}
		select {
		case <-tick.C:
		case <-over:
			return nil
		}
	}
}

// mark is the name that the replay gave the click's request.
func mark(c *program.Click) string {
	_, name, _ := strings.Cut(c.UserAgent, "click/")
	return name
}

// readAnswered reads the names of the answered requests.
func readAnswered(t *testing.T, name string) map[string]bool {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	answered := map[string]bool{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Split(lines.Text(), "\t")
		if len(fields) != 3 {
			t.Fatalf("line %q", lines.Text())
		}
		answered[fields[0]+"."+fields[2]] = true
	}
	return answered
}
