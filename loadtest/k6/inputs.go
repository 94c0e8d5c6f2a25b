package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/bits"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/carom-dev/carom/loadtest/program"
)

// inputs are the files of a run, in one directory.
type inputs struct {
	imports  string // what carom imports
	visitors string // what k6 reads: [User-Agent, Accept-Language, Referer] of each real click
	codes    []string
	targets  map[string]string // of the links that are made up: they are stored as they are written
}

// makeInputs writes the files: the links of the real clicks, the most visited first, and made-up ones up to n.
func makeInputs(dir, clicksFile string, n int) (*inputs, error) {
	clicks, err := readClicks(clicksFile)
	if err != nil {
		return nil, err
	}
	visits, urls := map[string]int{}, map[string]string{}
	var visitors [][3]string
	in := &inputs{imports: filepath.Join(dir, "links.ndjson"), visitors: filepath.Join(dir, "visitors.json"), targets: map[string]string{}}
	for _, c := range clicks {
		if _, known := urls[c.Code]; !known {
			in.codes, urls[c.Code] = append(in.codes, c.Code), strings.ReplaceAll(c.Target, " ", "%20") // no header carries a space
		}
		visits[c.Code]++
		referrer := c.Referrer
		if referrer == "direct" {
			referrer = ""
		}
		visitors = append(visitors, [3]string{c.Agent, c.Language, referrer})
	}
	in.codes = byVisits(in.codes, visits)
	in.codes = in.codes[:min(n, len(in.codes))]
	for i := len(in.codes); i < n; i++ {
		code := fmt.Sprintf("load-%06d", i)
		urls[code] = fmt.Sprintf("https://www.example.com/articles/%d/what-a-target-of-usual-length-looks-like?source=load", i)
		in.codes, in.targets[code] = append(in.codes, code), urls[code]
	}
	if err := writeJSON(in.visitors, visitors); err != nil {
		return nil, err
	}
	f, err := os.Create(in.imports)
	if err != nil {
		return nil, fmt.Errorf("make list of links: %w", err)
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	lines := json.NewEncoder(w)
	for _, code := range in.codes {
		if err := lines.Encode(map[string]string{"code": code, "url": urls[code]}); err != nil {
			return nil, fmt.Errorf("write list of links: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return nil, fmt.Errorf("write list of links: %w", err)
	}
	return in, nil
}

// importInto imports the links through a running Carom, and writes for k6 what is stored: "code TAB target TAB id".
func (in *inputs) importInto(ctx context.Context, carom, dir string, s *service) (linksFile string, err error) {
	cmd := exec.CommandContext(ctx, carom, "import", in.imports, "--server", "http://"+s.addr, "--key", program.AdminKey)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("import links: %w: %s", err, out)
	}
	stored, err := s.api.Links(ctx)
	if err != nil {
		return "", err
	}
	if len(stored) != len(in.codes) {
		return "", fmt.Errorf("import links: %d are stored, want %d", len(stored), len(in.codes))
	}
	byCode := make(map[string]program.Link, len(stored))
	for _, l := range stored {
		byCode[l.Code] = l
	}
	lines := make([]string, 0, len(in.codes))
	for _, code := range in.codes {
		l := byCode[code]
		if target, made := in.targets[code]; made && l.URL != target {
			return "", fmt.Errorf("import links: %s leads to %q, want %q", code, l.URL, target)
		}
		lines = append(lines, strings.Join([]string{code, l.URL, strings.TrimPrefix(l.Path(), "/urls/")}, "\t"))
	}
	linksFile = filepath.Join(dir, "links-"+s.name+".json")
	return linksFile, writeJSON(linksFile, lines)
}

// Redirects are counted by groups of links: rank 1, ranks 2 and 3, 4 to 7 and so on, and the links that the load itself made.
const groupOwn = "redirects_own"

func groupOf(index int) string { return fmt.Sprintf("redirects_rank_%02d", bits.Len(uint(index+1))-1) }

// stored sums the stored clicks of each group.
func (in *inputs) stored(ctx context.Context, api *program.API) (map[string]int64, error) {
	links, err := api.Links(ctx)
	if err != nil {
		return nil, err
	}
	groups := make(map[string]string, len(in.codes))
	for i, code := range in.codes {
		groups[code] = groupOf(i)
	}
	sums := map[string]int64{}
	for _, l := range links {
		group, known := groups[l.Code]
		if !known {
			group = groupOwn
		}
		sums[group] += l.Clicks
	}
	return sums, nil
}

func writeJSON(name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(name), err)
	}
	if err := os.WriteFile(name, text, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(name), err)
	}
	return nil
}
