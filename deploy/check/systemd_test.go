package check

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// exposureMax is what `systemd-analyze security` may find, of 10; what is left is the network.
const exposureMax = 2.0

// TestSystemdUnit holds that systemd understands the unit, that it leaves the service few rights, and that the program takes its settings.
func TestSystemdUnit(t *testing.T) {
	analyze := need(t, "systemd-analyze")
	unit := text(t, "deploy/systemd/carom.service")
	dir := t.TempDir()
	path := filepath.Join(dir, "carom.service")
	if err := os.WriteFile(path, []byte(strings.Replace(unit, "ExecStart=/usr/local/bin/carom", "ExecStart="+carom, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, ok := output(t, nil, analyze, "verify", path); !ok || strings.Contains(out, "carom.service") {
		t.Errorf("systemd-analyze verify says:\n%s", out)
	}
	out, ok := output(t, nil, analyze, "security", "--offline=true", "--no-pager", path)
	level := regexp.MustCompile(`Overall exposure level for carom\.service: ([\d.]+)`).FindStringSubmatch(out)
	if level == nil || !ok {
		t.Fatalf("systemd-analyze security says:\n%s", out)
	}
	if exposure, err := strconv.ParseFloat(level[1], 64); err != nil || exposure > exposureMax {
		t.Errorf("the service is exposed by %s of 10, want at most %v:\n%s", level[1], exposureMax, out)
	}

	line := regexp.MustCompile(`(?m)^Environment=(.*)$`).FindStringSubmatch(unit)
	if line == nil {
		t.Fatal("the unit has no Environment=")
	}
	if out, ok := output(t, nil, filepath.Join(root, "deploy/secrets-make"), dir); !ok {
		t.Fatal(out)
	}
	judged(t, strings.Fields(strings.NewReplacer("%S", dir, "%d", dir).Replace(line[1])))
	if !regexp.MustCompile(`(?m)^TimeoutStopSec=45$`).MatchString(unit) || !strings.Contains(unit, "LoadCredential=admin-key:/etc/carom/admin-key\n") {
		t.Error("the unit does not leave time to drain, or has no key")
	}
}

// TestSystemdInstall holds that the unit's text finds the program where a release's archive has it, and where `make build` puts it.
func TestSystemdInstall(t *testing.T) {
	unit := text(t, "deploy/systemd/carom.service")
	var release struct {
		Project  string `json:"project_name"`
		Builds   []struct{ Binary string }
		Archives []struct {
			Files           []string
			WrapInDirectory any `json:"wrap_in_directory"`
		}
	}
	if err := yaml.Unmarshal([]byte(text(t, "deploy/goreleaser.yaml")), &release); err != nil {
		t.Fatal(err)
	}
	if len(release.Builds) != 1 || len(release.Archives) != 1 {
		t.Fatalf("deploy/goreleaser.yaml makes %+v", release)
	}
	archive := release.Archives[0]
	if binary := cmp.Or(release.Builds[0].Binary, release.Project); archive.WrapInDirectory != nil || !strings.Contains(unit, "#   install -m 755 "+binary+" /usr/local/bin/carom ") {
		t.Errorf("the unit's text does not install %s of the archive", binary)
	}
	if !slices.Contains(archive.Files, "deploy/systemd/carom.service") || !strings.Contains(unit, "#   install -m 644 deploy/systemd/carom.service /etc/systemd/system/\n") {
		t.Errorf("the unit's text installs no unit of the archive, which has %v", archive.Files)
	}
	built := regexp.MustCompile(`(?m)^build:.*\n\t.* -o (\S+) \./cmd/carom$`).FindStringSubmatch(text(t, "Makefile"))
	if built == nil || !strings.Contains(unit, "#   install -m 755 "+built[1]+" /usr/local/bin/carom ") {
		t.Errorf("the unit's text does not install what make builds, %q", built)
	}
}
