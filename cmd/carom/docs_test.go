package main_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// documents are the Markdown files of the repository, by their path from its root.
func documents(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(archRoot(), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(archRoot(), path)
		if err != nil {
			return err
		}
		if d.IsDir() && name != "." && name != ".github" && (strings.HasPrefix(d.Name(), ".") || d.Name() == "bin" || d.Name() == "carom-data") {
			return fs.SkipDir
		}
		if d.IsDir() || filepath.Ext(name) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		all[filepath.ToSlash(name)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("%d documents found, want all of them", len(all))
	}
	return all
}

var (
	mdFence   = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	mdCode    = regexp.MustCompile("`[^`\n]*`")
	mdLink    = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	mdHeading = regexp.MustCompile(`(?m)^#{1,6} +(.*)$`)
	mdDropped = regexp.MustCompile(`[^\p{L}\p{N}_\- ]`)
)

// anchors are the names that a document's headings can be linked by.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	for _, heading := range mdHeading.FindAllStringSubmatch(mdFence.ReplaceAllString(text, ""), -1) {
		name := mdDropped.ReplaceAllString(strings.ToLower(strings.TrimSpace(heading[1])), "")
		all[strings.ReplaceAll(name, " ", "-")] = true
	}
	return all
}

// TestLinksLeadSomewhere follows every relative link of every document, to its heading too.
func TestLinksLeadSomewhere(t *testing.T) {
	all, followed := documents(t), 0
	for name, text := range all {
		text = mdCode.ReplaceAllString(mdFence.ReplaceAllString(text, ""), "")
		for _, link := range mdLink.FindAllStringSubmatch(text, -1) {
			path, anchor, _ := strings.Cut(link[1], "#")
			if strings.Contains(path, "://") || strings.HasPrefix(path, "mailto:") {
				continue
			}
			followed++
			target := name
			if path != "" {
				target = filepath.ToSlash(filepath.Join(filepath.Dir(name), path))
			}
			if _, err := os.Stat(filepath.Join(archRoot(), target)); err != nil {
				t.Errorf("%s: the link %s leads nowhere", name, link[1])
				continue
			}
			if anchor != "" && !anchors(all[target])[anchor] {
				t.Errorf("%s: the link %s leads to no heading of %s", name, link[1], target)
			}
		}
	}
	if followed < 50 {
		t.Errorf("%d links followed, want those of all documents", followed)
	}
}

// TestEachAlertHasItsSection holds the runbook to the rules: each alert leads to a section, and no section is left over.
func TestEachAlertHasItsSection(t *testing.T) {
	rules, err := os.ReadFile(filepath.Join(archRoot(), "deploy", "prometheus", "alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	runbook := documents(t)["docs/RUNBOOK.md"]
	sections, alerts := anchors(runbook), map[string]bool{}
	for _, alert := range regexp.MustCompile(`(?m)^ *- alert: (\w+)$`).FindAllStringSubmatch(string(rules), -1) {
		name := strings.ToLower(alert[1])
		alerts[name] = true
		if !sections[name] {
			t.Errorf("docs/RUNBOOK.md has no section %s", alert[1])
		}
		if !strings.Contains(string(rules), "docs/RUNBOOK.md#"+name+"\n") {
			t.Errorf("the alert %s does not lead to its section", alert[1])
		}
	}
	if len(alerts) < 10 {
		t.Errorf("%d alerts found, want all of them", len(alerts))
	}
	for _, heading := range regexp.MustCompile(`(?m)^### (Carom\w+)$`).FindAllStringSubmatch(runbook, -1) {
		if !alerts[strings.ToLower(heading[1])] {
			t.Errorf("docs/RUNBOOK.md has a section %s, and no alert has that name", heading[1])
		}
	}
}

// TestDocumentsNameMetricsThatThereAre compares what documents call a metric with the list that is made from the program.
func TestDocumentsNameMetricsThatThereAre(t *testing.T) {
	all, named := documents(t), 0
	// Not one that is cut with a star or goes on behind what is matched.
	metric := regexp.MustCompile(`\bcarom_(?:edge|actors|journal|store|redis|build)_[a-z_]+[a-z]\b`)
	for name, text := range all {
		if name == "docs/METRICS.md" {
			continue
		}
		for _, m := range metric.FindAllString(text, -1) {
			named++
			if !strings.Contains(all["docs/METRICS.md"], "`"+m+"`") {
				t.Errorf("%s speaks of %s, which is no metric", name, m)
			}
		}
	}
	if named < 20 {
		t.Errorf("%d metrics named, want those of all documents", named)
	}
}

// functions are the tests, benchmarks and fuzz targets of a package, given by its directory from the root.
func functions(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(archRoot(), dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Fuzz)\w+)\(`).FindAllStringSubmatch(string(text), -1) {
			all = append(all, f[1])
		}
	}
	return all
}

var (
	docMake  = regexp.MustCompile("(?m)(?:`|^)make ([a-z0-9-]+)")
	docTest  = regexp.MustCompile("\\bgo test ([^`#\n]+)")
	docRun   = regexp.MustCompile(`(?:^| )-run '?([\w.|^$*]+)`)
	docBench = regexp.MustCompile(`(?:^| )-bench '?([\w.|^$*]+)`)
	docDir   = regexp.MustCompile(`(?:^| )\./([\w./]+)`)
	docPath  = regexp.MustCompile("`((?:cmd|deploy|docs|edge|engine|actors|loadtest|persistence|profiles|\\.ci|\\.github)/[\\w./-]+)`")
)

// TestDocumentsNameCommandsThatThereAre holds that each make target, test, benchmark and file that a document names is there.
func TestDocumentsNameCommandsThatThereAre(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(archRoot(), "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	targets, tests, paths := 0, 0, 0
	for name, text := range documents(t) {
		for _, m := range docMake.FindAllStringSubmatch(text, -1) {
			targets++
			if !regexp.MustCompile(`(?m)^` + m[1] + `:`).Match(makefile) {
				t.Errorf("%s names make %s, which there is not", name, m[1])
			}
		}
		for _, m := range docTest.FindAllStringSubmatch(text, -1) {
			tests++
			var there []string
			for _, dir := range docDir.FindAllStringSubmatch(m[1], -1) {
				there = append(there, functions(t, dir[1])...)
			}
			if len(there) == 0 {
				t.Errorf("%s names go test %s, whose packages have no tests", name, m[1])
			}
			for prefix, flag := range map[string]*regexp.Regexp{"Test": docRun, "Benchmark": docBench} {
				named := flag.FindStringSubmatch(m[1])
				if named == nil || named[1] == "xxx" {
					continue
				}
				pattern := regexp.MustCompile(named[1])
				if !slices.ContainsFunc(there, func(f string) bool { return strings.HasPrefix(f, prefix) && pattern.MatchString(f) }) {
					t.Errorf("%s names go test %s, and no %s is called so", name, m[1], prefix)
				}
			}
		}
		for _, m := range docPath.FindAllStringSubmatch(text, -1) {
			paths++
			if _, err := os.Stat(filepath.Join(archRoot(), m[1])); err != nil {
				t.Errorf("%s names %s: %v", name, m[1], err)
			}
		}
	}
	if targets < 20 || tests < 15 || paths < 30 {
		t.Errorf("%d targets, %d tests and %d paths are named, want those of all documents", targets, tests, paths)
	}
}

// TestEachDecisionHasItsPrice holds that an entry says what was rejected and what the choice costs, and that none is missing.
func TestEachDecisionHasItsPrice(t *testing.T) {
	entries := strings.Split(documents(t)["docs/DECISIONS.md"], "\n## ")[1:]
	if len(entries) < 14 {
		t.Errorf("%d decisions, want at least 14", len(entries))
	}
	rejected, cost := regexp.MustCompile(`\b[Rr]ejected\b`), regexp.MustCompile(`\bCosts?: `)
	for i, entry := range entries {
		title, text, _ := strings.Cut(entry, "\n")
		if !strings.HasPrefix(title, strconv.Itoa(i+1)+". ") {
			t.Errorf("decision %d is called %q", i+1, title)
		}
		if !rejected.MatchString(text) {
			t.Errorf("decision %q does not say what was rejected", title)
		}
		if !cost.MatchString(text) {
			t.Errorf("decision %q does not say what it costs", title)
		}
	}
}

func TestAnchors(t *testing.T) {
	got := anchors("# The API\n## 9. The disk fails\n```\n# no heading\n```\n### CaromDown\n## Who, what & `code_x`\n")
	for _, want := range []string{"the-api", "9-the-disk-fails", "caromdown", "who-what--code_x"} {
		if !got[want] {
			t.Errorf("anchors = %v, want %s among them", got, want)
		}
	}
	if len(got) != 4 {
		t.Errorf("anchors = %v, want four", got)
	}
}
