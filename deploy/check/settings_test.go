package check

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// deployment are the files and folders that an operator pastes.
func deployment(t *testing.T) []string {
	t.Helper()
	files := []string{"Dockerfile", "docker-compose.yml"}
	err := filepath.WalkDir(filepath.Join(root, "deploy"), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "check" || d.Name() == "secrets") {
			return filepath.SkipDir
		}
		if d.Type().IsRegular() {
			name, err := filepath.Rel(root, path)
			files = append(files, filepath.ToSlash(name))
			return err
		}
		return nil
	})
	if err != nil || len(files) < 10 {
		t.Fatalf("found the files %v, %v", files, err)
	}
	return files
}

// TestSettingsExist holds that no file sets what the program does not know: a misspelt variable is a default that nobody chose.
func TestSettingsExist(t *testing.T) {
	known := settings(t)
	// Not the server's: they are read by the scripts.
	script := []string{"CAROM_BIN"}
	variable := regexp.MustCompile(`\b(CAROM_[A-Z_]+[A-Z]|DATABASE_URL(_FILE)?|REDIS_URL(_FILE)?|PYROSCOPE_[A-Z_]+[A-Z])\b`)
	flag := regexp.MustCompile(`carom serve((?: +--[a-z-]+)+)`)
	help, _ := output(t, nil, carom, "serve", "--help")
	found := 0
	for _, file := range deployment(t) {
		content := text(t, file)
		for _, name := range variable.FindAllString(content, -1) {
			found++
			if !known[name] && !slices.Contains(script, name) {
				t.Errorf("%s has %s, which is no setting of carom serve", file, name)
			}
		}
		for _, flags := range flag.FindAllStringSubmatch(content, -1) {
			for _, name := range strings.Fields(flags[1]) {
				if !strings.Contains(help, name) {
					t.Errorf("%s has %s, which is no flag of carom serve", file, name)
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("found %d settings in all files, which can't be all", found)
	}
}

// TestHealthPathsExist holds that each path that a probe or a proxy asks is one that the program answers.
func TestHealthPathsExist(t *testing.T) {
	one := start(t)
	paths := map[string]string{}
	for _, file := range deployment(t) {
		for _, path := range regexp.MustCompile(`(?:[\s":]|:8080)(/health(?:/[a-z]+)?)\b`).FindAllStringSubmatch(text(t, file), -1) {
			paths[path[1]] = file
		}
	}
	if len(paths) < 2 {
		t.Fatalf("found the paths %v only", paths)
	}
	for path, file := range paths {
		if got := get(t, one.url+path, ""); got.StatusCode != 200 {
			t.Errorf("%s asks for %s, which answers %d", file, path, got.StatusCode)
		}
	}
}

// TestSecretsStaySecret holds that deploy/secrets-make makes every file that docker-compose.yml names, readable by a container's
// user, in a directory that others on the machine can't enter, and that git does not take them.
func TestSecretsStaySecret(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "secrets")
	if out, ok := output(t, nil, filepath.Join(root, "deploy/secrets-make"), dir); !ok {
		t.Fatal(out)
	}
	before, err := os.ReadFile(filepath.Join(dir, "admin-key"))
	if err != nil {
		t.Fatal(err)
	}
	output(t, nil, filepath.Join(root, "deploy/secrets-make"), dir)
	if after, err := os.ReadFile(filepath.Join(dir, "admin-key")); err != nil || string(after) != string(before) {
		t.Error("deploy/secrets-make replaces a secret that is there")
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory of secrets has mode %v", info.Mode())
	}
	for name, secret := range composed(t).Secrets {
		info, err := os.Stat(filepath.Join(dir, filepath.Base(secret.File)))
		if err != nil || info.Mode().Perm() != 0o444 {
			t.Errorf("the secret %s is in %s: %v", name, secret.File, err)
		}
	}
	if !strings.Contains(text(t, ".gitignore"), "/deploy/secrets/\n") || !strings.Contains(text(t, ".dockerignore"), "deploy/secrets\n") {
		t.Error("git or the image's build takes deploy/secrets along")
	}
}
