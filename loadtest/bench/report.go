package main

import (
	"bufio"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// report is everything that was measured.
type report struct {
	Started  time.Time     `json:"started"`
	Commit   string        `json:"commit"` // of the carom that was measured; of the working directory, where carom does not know its own
	Go       string        `json:"go"`     // that it was built with
	Command  string        `json:"command"`
	Machine  machine       `json:"machine"`
	Client   string        `json:"client"`
	Rounds   int           `json:"rounds"`
	Seconds  int           `json:"seconds_a_round"`
	Rows     []*measured   `json:"rows"`
	Imports  []importRate  `json:"imports,omitempty"`
	Big      *bigFigures   `json:"many_links,omitempty"`
	Missing  []string      `json:"not_measured,omitempty"`
	Faults   []string      `json:"faults,omitempty"`
	Verified int64         `json:"clicks_found_in_stores"` // by another process, after the one that recorded them had ended
	Took     time.Duration `json:"took_ns"`
}

// machine is the class of the machine, without a word about which one it is.
type machine struct {
	Processors int    `json:"processors"`
	Model      string `json:"model"`
	Memory     string `json:"memory"`
	Kernel     string `json:"kernel"`
}

// measured is a row in a shape.
type measured struct {
	Name      string    `json:"row"`
	Title     string    `json:"title"`
	Shape     shape     `json:"shape"`
	Rounds    []figures `json:"rounds"`
	Median    figures   `json:"median"`
	RateRatio ratio     `json:"requests_per_second_to_bare"`
	CPURatio  ratio     `json:"cpu_to_bare"`
	P99Ratio  ratio     `json:"p99_to_bare"`

	row *row
}

func newReport(cfg *config, client string) *report {
	r := &report{
		Started: time.Now().UTC().Truncate(time.Second), Client: client, Rounds: cfg.Rounds, Seconds: cfg.Seconds, Machine: thisMachine(),
		Command: command(cfg.Args),
	}
	if info, err := buildinfo.ReadFile(cfg.Carom); err == nil {
		r.Go, r.Commit = info.GoVersion, treeCommit()
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				r.Commit = s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				r.Commit += " and changes"
			}
		}
	}
	return r
}

// treeCommit is what the working directory is at, for a carom that was built without saying so itself.
func treeCommit() string {
	head, err := exec.Command("git", "rev-parse", "HEAD").Output() //nolint:noctx // it ends at once
	if err != nil {
		return "unknown"
	}
	commit := strings.TrimSpace(string(head))
	if changes, err := exec.Command("git", "status", "--porcelain").Output(); err == nil && len(changes) > 0 { //nolint:noctx // it ends at once
		commit += " and changes"
	}
	return commit
}

// command is how to measure the same again; files and folders of this machine are left out.
func command(args []string) string {
	text := "go run ./loadtest/bench"
	for i := 0; i < len(args); i++ {
		name, _, joined := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		switch name {
		case "carom", "json", "links-db":
			if !joined {
				i++
			}
		default:
			text += " " + quote(args[i])
		}
	}
	return text
}

// quote makes of an argument a word for a shell.
func quote(arg string) string {
	if arg != "" && !strings.ContainsFunc(arg, func(c rune) bool { return !strings.ContainsRune(plainRunes, c) }) {
		return arg
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}

// plainRunes mean nothing but themselves to a shell.
const plainRunes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=./:,%"

func thisMachine() machine {
	m := machine{Processors: runtime.NumCPU()}
	field := func(path, name string) string {
		f, err := os.Open(path)
		if err != nil {
			return ""
		}
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == name {
				return strings.TrimSpace(value)
			}
		}
		return ""
	}
	m.Model, m.Memory = field("/proc/cpuinfo", "model name"), field("/proc/meminfo", "MemTotal")
	if out, err := exec.Command("uname", "-sr").Output(); err == nil { //nolint:noctx // it ends at once
		m.Kernel = strings.TrimSpace(string(out))
	}
	return m
}

// fault notes what must not happen: a wrong answer, an error, a lost click.
func (r *report) fault(format string, args ...any) {
	r.Faults = append(r.Faults, fmt.Sprintf(format, args...))
}

// add notes a round, and what was wrong in it.
func (r *report) add(row *row, s shape, f figures) {
	at := r.find(row.name, s)
	if at == nil {
		at = &measured{Name: row.name, Title: row.title, Shape: s, row: row}
		r.Rows = append(r.Rows, at)
	}
	at.Rounds = append(at.Rounds, f)
	where := fmt.Sprintf("%s, %s connections", row.name, s)
	if f.Wrong > 0 || f.Broken > 0 || f.Right == 0 {
		r.fault("%s: %d right answers, %d wrong ones, %d requests without one", where, f.Right, f.Wrong, f.Broken)
	}
	c := f.Counted
	if c.Redirects < 0 || row.log {
		return
	}
	if answered, most := float64(f.Right), float64(f.Right+f.Uncounted); row.want == http.StatusFound && (c.Redirects < answered || c.Redirects > most) {
		r.fault("%s: the client got %.0f to %.0f redirects, and the server counted %.0f", where, answered, most, c.Redirects)
	}
	if !row.unrecorded && c.Lost > 0 {
		r.fault("%s: %.0f redirects left no click", where, c.Lost)
	}
	if !row.held && c.Stored != c.Redirects {
		r.fault("%s: %.0f clicks were stored of %.0f redirects", where, c.Stored, c.Redirects)
	}
}

func (r *report) find(name string, s shape) *measured {
	for _, m := range r.Rows {
		if m.Name == name && m.Shape == s {
			return m
		}
	}
	return nil
}

// finish computes medians and ratios, prints the tables, writes the file, and says whether anything was wrong.
func (r *report) finish(cfg *config) error {
	r.Took = time.Since(r.Started).Truncate(time.Second)
	for _, m := range r.Rows {
		m.summarize(r.find(nameBare, m.Shape))
	}
	errs := []error{r.print(os.Stdout)}
	if cfg.JSON != "" {
		text, err := json.MarshalIndent(r, "", "  ")
		if err == nil {
			err = os.WriteFile(cfg.JSON, append(text, '\n'), 0o644)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("write %s: %w", cfg.JSON, err))
		}
	}
	if len(r.Faults) > 0 {
		errs = append(errs, fmt.Errorf("%d faults:\n%s", len(r.Faults), strings.Join(r.Faults, "\n")))
	}
	return errors.Join(errs...)
}

func (m *measured) summarize(bare *measured) {
	of := func(f func(figures) float64) float64 { return medianOf(m.Rounds, f) }
	span := func(f func(figures) time.Duration) time.Duration {
		return time.Duration(of(func(x figures) float64 { return float64(f(x)) }))
	}
	m.Median = figures{
		load: load{
			Took: span(func(f figures) time.Duration { return f.Took }), P50: span(func(f figures) time.Duration { return f.P50 }),
			P99: span(func(f figures) time.Duration { return f.P99 }), P999: span(func(f figures) time.Duration { return f.P999 }),
		},
		Rate: of(rateOf), CPU: of(cpuOf), CPUStored: of(cpuStoredOf),
		BesideCPU:       of(func(f figures) float64 { return f.BesideCPU }),
		BesideCPUStored: of(func(f figures) float64 { return f.BesideCPUStored }),
		RSS:             int64(of(func(f figures) float64 { return float64(f.RSS) })),
		Anon:            int64(of(func(f figures) float64 { return float64(f.Anon) })),
		Mallocs:         of(func(f figures) float64 { return f.Mallocs }),
		GCs:             of(func(f figures) float64 { return f.GCs }),
		Faults:          of(func(f figures) float64 { return f.Faults }),
		Lag:             span(func(f figures) time.Duration { return f.Lag }),
	}
	for _, f := range m.Rounds { // these are sums
		s := &m.Median
		s.Right, s.Wrong, s.Broken, s.Uncounted = s.Right+f.Right, s.Wrong+f.Wrong, s.Broken+f.Broken, s.Uncounted+f.Uncounted
		s.Counted.Redirects, s.Counted.Stored, s.Counted.Lost = s.Counted.Redirects+f.Counted.Redirects, s.Counted.Stored+f.Counted.Stored, s.Counted.Lost+f.Counted.Lost
	}
	if bare != nil {
		m.RateRatio, m.CPURatio, m.P99Ratio = ratioOf(m.Rounds, bare.Rounds, rateOf), ratioOf(m.Rounds, bare.Rounds, cpuOf), ratioOf(m.Rounds, bare.Rounds, p99Of)
	}
}
