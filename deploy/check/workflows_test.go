package check

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// workflows are the files of .github/workflows.
func workflows(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, ".github/workflows/*.yml"))
	if err != nil || len(files) < 3 {
		t.Fatalf("found the workflows %v, %v", files, err)
	}
	return files
}

// actionlint is run in a module of its own: it and Compose's reader want different versions of one library.
const actionlint = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"

// TestWorkflowsAreUnderstood holds that actionlint finds nothing.
func TestWorkflowsAreUnderstood(t *testing.T) {
	args := append([]string{"run", actionlint, "-shellcheck", need(t, "shellcheck")}, workflows(t)...)
	if out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput(); err != nil {
		t.Errorf("actionlint: %v\n%s", err, out)
	}
}

// workflow is what the rules below are about. A right is read or write; permissions may be one word for all of them.
type workflow struct {
	Permissions any
	Jobs        map[string]struct {
		Permissions    any
		TimeoutMinutes int `json:"timeout-minutes"`
		Uses           string
	}
}

// TestWorkflowsTrustNobody holds that an action is the one that was looked at, that a job has the rights it needs and no others, and
// ends some day.
func TestWorkflowsTrustNobody(t *testing.T) {
	pinned := regexp.MustCompile(`uses: (\./\S+|[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+)$`)
	for _, path := range workflows(t) {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		checkouts, credentials := 0, 0
		for line := range strings.Lines(string(content)) {
			line = strings.TrimSpace(line)
			if strings.Contains(line, "uses:") && !pinned.MatchString(line) {
				t.Errorf("%s: %q may be another action tomorrow", filepath.Base(path), line)
			}
			checkouts += strings.Count(line, "actions/checkout@")
			credentials += strings.Count(line, "persist-credentials: false")
		}
		if checkouts != credentials {
			t.Errorf("%s checks out %d times and forgets its credentials %d times", filepath.Base(path), checkouts, credentials)
		}
		var w workflow
		if err := yaml.Unmarshal(content, &w); err != nil {
			t.Fatalf("%s: %v", filepath.Base(path), err)
		}
		rights, ok := w.Permissions.(map[string]any)
		if !ok {
			t.Errorf("%s does not list the rights that its jobs have: %v", filepath.Base(path), w.Permissions)
		}
		for scope, right := range rights {
			if right != "read" {
				t.Errorf("%s gives every job the right to %v %s", filepath.Base(path), right, scope)
			}
		}
		for name, job := range w.Jobs {
			if job.TimeoutMinutes == 0 && job.Uses == "" {
				t.Errorf("%s: the job %s may run for six hours", filepath.Base(path), name)
			}
		}
		if strings.Contains(string(content), "pull_request_target") {
			t.Errorf("%s runs a stranger's change with our rights", filepath.Base(path))
		}
	}
}

// TestDependabotLooksEverywhere holds that each folder with a list of dependencies is kept up to date.
func TestDependabotLooksEverywhere(t *testing.T) {
	config := text(t, ".github/dependabot.yml")
	for ecosystem, directory := range map[string]string{"gomod": "/deploy/check", "github-actions": "/", "docker": "/", "docker-compose": "/"} {
		if !regexp.MustCompile(`package-ecosystem: ` + ecosystem + `\n\s+director(y|ies): .*"?` + regexp.QuoteMeta(directory)).MatchString(config) {
			t.Errorf("Dependabot does not look at %s in %s", ecosystem, directory)
		}
	}
}
