package check

import (
	"regexp"
	"strings"
	"testing"
)

// instructions are a Dockerfile's, each on one line, without comments.
func instructions(t *testing.T) []string {
	t.Helper()
	var all []string
	joined := regexp.MustCompile(`(?m)^\s*#.*\n`).ReplaceAllString(text(t, "Dockerfile"), "")
	for line := range strings.Lines(strings.ReplaceAll(joined, "\\\n", " ")) {
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			all = append(all, line)
		}
	}
	if len(all) < 10 {
		t.Fatalf("the Dockerfile has %q", all)
	}
	return all
}

// TestDockerfile holds the rules that a reader of Dockerfiles has.
func TestDockerfile(t *testing.T) {
	stages, last := 0, map[string]string{}
	pinned := regexp.MustCompile(`^FROM (--platform=\S+ )?\S+:[\w.-]+@sha256:[0-9a-f]{64}( AS \w+)?$`)
	for _, line := range instructions(t) {
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "FROM":
			stages++
			last = map[string]string{}
			if !pinned.MatchString(line) || strings.Contains(line, ":latest") {
				t.Errorf("%q is not pinned by tag and digest", line)
			}
		case "ADD":
			t.Errorf("%q fetches and unpacks on its own; COPY does not", line)
		case "RUN":
			if regexp.MustCompile(`(curl|wget)\b.*\|`).MatchString(rest) || strings.Contains(rest, "sudo") || strings.Contains(rest, "apt-get install") {
				t.Errorf("%q runs what nobody has looked at", line)
			}
		case "ENV", "ARG":
			if regexp.MustCompile(`(?i)(password|secret|token|key)\s*=`).MatchString(rest) {
				t.Errorf("%q leaves a secret in the image", line)
			}
		case "ENTRYPOINT", "CMD", "HEALTHCHECK":
			if !strings.HasSuffix(rest, `"]`) {
				t.Errorf("%q needs a shell, which the image has not", line)
			}
		}
		last[word] = rest
	}
	if stages != 2 {
		t.Errorf("there are %d stages, want one that builds and one that runs", stages)
	}
	if !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(last["USER"]) {
		t.Errorf("USER is %q: a number that is not root's can be judged without the image's /etc/passwd", last["USER"])
	}
	if !strings.Contains(last["HEALTHCHECK"], `CMD ["/usr/local/bin/carom", "health"]`) {
		t.Errorf("HEALTHCHECK is %q", last["HEALTHCHECK"])
	}
	if _, installs := last["RUN"]; installs {
		t.Error("the stage that runs makes something: what it has should come from the stage that builds")
	}
}

// TestDockerfileBuilds holds that the image's compiler is one that go.mod takes, and how the program is built.
func TestDockerfileBuilds(t *testing.T) {
	dockerfile := strings.Join(instructions(t), "\n")
	wanted := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(text(t, "go.mod"))
	has := regexp.MustCompile(`golang:(\d+\.\d+)\.\d+-`).FindStringSubmatch(dockerfile)
	if wanted == nil || has == nil || has[1] != wanted[1] {
		t.Errorf("the image is built by Go %v, go.mod asks for %v", has, wanted)
	}
	for _, part := range []string{"CGO_ENABLED=0", "-pgo=auto", "-trimpath", "./cmd/carom", "GOARCH=$TARGETARCH"} {
		if !strings.Contains(dockerfile, part) {
			t.Errorf("the program is built without %s", part)
		}
	}
}
